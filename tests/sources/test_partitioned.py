"""Tables in pieces: rows are counted whichever way they come into a partition, and once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Database
from tests.sources.applications import TABLE, Application, mapping

COLUMNS = (
    "id bigint NOT NULL, name text NOT NULL, status text NOT NULL, millis integer NOT NULL, at timestamptz NOT NULL"
)
DIRECT = "INSERT INTO {} (id, name, status, millis, at) VALUES (nextval('ids'), '{}', 'NEW', 1, '2026-01-01')"


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Iterator[Application]:
    """Return an application with a partitioned table, adopted, that has one old row and no partition for 'LATE'."""
    application = Application(
        database, tmp_path, mapping("public.jobs", "added", "removed").replace("kind:", "key: [id], kind:")
    )
    application.execute(TABLE.format(table="jobs", key="", partitioned=" PARTITION BY LIST (status)"))
    application.execute(
        "CREATE TABLE jobs_new PARTITION OF jobs FOR VALUES IN ('NEW', 'DONE') PARTITION BY LIST (name)"
    )
    application.execute("CREATE TABLE jobs_any PARTITION OF jobs_new DEFAULT")
    application.execute("CREATE SEQUENCE ids START 100; INSERT INTO jobs (name) VALUES ('old')")
    application.adopt()
    return application


def test_rows_written_to_a_partition(app: Application) -> None:
    """Writers name the parent, a partition and a partition's partition; COPY as well."""
    for table in ("jobs", "jobs_new", "jobs_any"):
        app.execute(DIRECT.format(table, table))
    with app.connect() as session, session.cursor().copy("COPY jobs_any FROM STDIN") as copy:
        copy.write("9\tcopied\tNEW\t1\t2026-01-01 00:00Z\n")

    expected = {"old": 1, "jobs": 1, "jobs_new": 1, "jobs_any": 1, "copied": 1}
    assert app.counts() == {"added": expected}


def test_partition_made_later(app: Application) -> None:
    """A partition made later counts from its first row, whoever is named: a poll finds it, the next counts."""
    app.execute("CREATE TABLE jobs_late PARTITION OF jobs FOR VALUES IN ('LATE')")
    app.execute(DIRECT.format("jobs_late", "direct").replace("NEW", "LATE"))
    app.execute(DIRECT.format("jobs", "parent").replace("NEW", "LATE"))
    app.counts()
    first = app.counts()
    app.execute(DIRECT.format("jobs_late", "direct").replace("NEW", "LATE"))

    assert first == {"added": {"old": 1, "direct": 1, "parent": 1}}
    assert app.counts() == {"added": {"old": 1, "direct": 2, "parent": 1}}


def test_filled_table_attached(app: Application) -> None:
    """Rows of a table made with its columns named and filled before it is attached are counted, once."""
    app.counts()
    app.execute(f"CREATE TABLE late ({COLUMNS})")
    app.execute(DIRECT.format("late", "before").replace("NEW", "LATE"))
    app.execute("ALTER TABLE jobs ATTACH PARTITION late FOR VALUES IN ('LATE')")
    app.execute(DIRECT.format("jobs", "after").replace("NEW", "LATE"))
    app.execute(DIRECT.format("late", "direct").replace("NEW", "LATE"))
    expected = {"added": {"old": 1, "before": 1, "after": 1, "direct": 1}}
    app.counts()  # finds it

    assert [app.counts() for _ in range(3)] == [expected] * 3


def test_partition_detached_and_attached_again(app: Application) -> None:
    """What was counted is not counted again, and rows written while it was not a partition are when it is one again."""
    app.execute(DIRECT.format("jobs", "first"))
    app.counts()
    app.execute("ALTER TABLE jobs DETACH PARTITION jobs_new")
    detached = app.counts()
    app.execute("ALTER TABLE jobs ATTACH PARTITION jobs_new FOR VALUES IN ('NEW', 'DONE')")
    app.execute(DIRECT.format("jobs", "second"))

    assert detached == {"added": {"old": 1, "first": 1}}
    assert [app.counts() for _ in range(2)] == [{"added": {"old": 1, "first": 1, "second": 1}}] * 2


def test_rows_that_move_between_partitions(app: Application) -> None:
    """An UPDATE that moves a row is an update: nothing is added or removed."""
    app.execute("CREATE TABLE jobs_late PARTITION OF jobs FOR VALUES IN ('LATE')")
    app.execute("UPDATE jobs SET status = 'LATE'")
    app.counts()
    app.execute("UPDATE jobs SET status = 'NEW', name = 'moved'")

    assert app.counts() == {"added": {"old": 1}}


def test_partition_dropped_and_truncated(app: Application) -> None:
    """Retention drops partitions: what was in them stays counted."""
    app.execute(DIRECT.format("jobs", "new"))
    app.execute("DROP TABLE jobs_any")

    assert app.counts()["added"] == {"old": 1, "new": 1}


def test_foreign_table_attached(app: Application) -> None:
    """PostgreSQL refuses to write such a partition of a table with our triggers: polls say so, and what to do."""
    app.execute("CREATE FOREIGN DATA WRAPPER w; CREATE SERVER far FOREIGN DATA WRAPPER w")
    app.execute("CREATE FOREIGN TABLE jobs_far PARTITION OF jobs FOR VALUES IN ('FAR') SERVER far")
    app.execute("INSERT INTO jobs (name) VALUES ('new')")
    (problem, *_) = app.view().problems
    app.execute("ALTER TABLE jobs DETACH PARTITION jobs_far")

    assert "partition public.jobs_far is a foreign table" in problem
    assert "detach it" in problem
    assert app.counts()["added"] == {"old": 1, "new": 1}


def test_undo(app: Application) -> None:
    """--undo leaves a partitioned table and its partitions without a trigger of ours, and writers work."""
    app.execute("CREATE TABLE jobs_late PARTITION OF jobs FOR VALUES IN ('LATE')")
    app.counts()
    app.adopt("--undo")
    app.execute(DIRECT.format("jobs", "new"))

    assert app.execute("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal") == [(0,)]
    assert app.execute("SELECT count(*) FROM jobs") == [(2,)]


@pytest.mark.parametrize("to", ["child", "parent"])
def test_inherited_tables(database: Database, tmp_path: Path, to: str) -> None:
    """The old way to partition: rows of children are rows of the parent, as its SELECT shows them."""
    app = Application(database, tmp_path, mapping("public.jobs", "added").replace("kind:", "key: [id], kind:"))
    app.execute(TABLE.format(table="jobs", key="", partitioned=""))
    app.execute("CREATE TABLE child () INHERITS (jobs); INSERT INTO child (id, name) VALUES (1, 'old')")
    app.adopt()
    target = "child" if to == "child" else "jobs"
    app.execute(f"INSERT INTO {target} (id, name) VALUES (2, 'new')")

    assert app.counts() == {"added": {"old": 1, "new": 1}}
