"""Applications that change their tables: no statement of theirs fails, and nothing is lost in silence."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Database, fresh_database
from tests.sources.applications import TABLE, Application, mapping
from tools.stack.servers import Postgres

INSERT = "INSERT INTO jobs (name) VALUES ('new')"


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Iterator[Application]:
    """Return an application with an adopted table, whose old row is counted."""
    application = Application(database, tmp_path)
    application.execute(TABLE.format(table="jobs", key=" PRIMARY KEY", partitioned=""))
    application.execute("INSERT INTO jobs (name) VALUES ('old')")
    application.adopt()
    application.counts()
    return application


def is_noticed(app: Application) -> bool:
    """Return whether a poll says that something is wrong: a problem of the source, or rejected rows."""
    return bool(app.view().problems) or app.rejected() > 0


CHANGES = {
    "rename": ("ALTER TABLE jobs RENAME millis TO ms", "ALTER TABLE jobs RENAME ms TO millis"),
    "drop": ("ALTER TABLE jobs DROP millis", "ALTER TABLE jobs ADD millis int NOT NULL DEFAULT 1000"),
    "type": ("ALTER TABLE jobs ALTER millis DROP DEFAULT, ALTER millis TYPE text USING 'x'",
             "ALTER TABLE jobs ALTER millis TYPE int USING 1000, ALTER millis SET DEFAULT 1000"),
    "status": ("ALTER TABLE jobs RENAME status TO state", "ALTER TABLE jobs RENAME state TO status"),
    "table": ("ALTER TABLE jobs RENAME TO jobs_2; CREATE VIEW jobs AS SELECT * FROM jobs_2",
              "DROP VIEW jobs; ALTER TABLE jobs_2 RENAME TO jobs"),
    "schema": ("CREATE SCHEMA s; ALTER TABLE jobs SET SCHEMA s; SET search_path = s",
               "ALTER TABLE s.jobs SET SCHEMA public"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_table(app: Application, name: str) -> None:
    """A migration under a running application: its statements work, the exporter says so, and counts again later."""
    change, repair = CHANGES[name]
    with app.connect() as session:
        session.execute("SELECT 1", prepare=True)
        session.execute(change.encode())
        given = ("name, millis", "'new', 'x'") if name == "type" else ("name", "'new'")
        session.execute(f"INSERT INTO jobs ({given[0]}) VALUES ({given[1]})".encode())
        session.execute(f"UPDATE jobs SET {'state' if name == 'status' else 'status'} = 'DONE'".encode())
        session.execute("DELETE FROM jobs WHERE name = 'new'")
    noticed = is_noticed(app)
    app.execute(repair)
    app.adopt()
    app.execute("INSERT INTO jobs (name) VALUES ('repaired')")
    problems, runs = app.view().problems, app.counted()["added"]

    assert noticed
    assert problems == ()
    assert runs["repaired"] == 1
    assert runs["old"] == 1
    assert runs.get("new", 0) <= 1


def test_virtual_columns(newest_postgres: Postgres, tmp_path: Path) -> None:
    """What PostgreSQL 18 computes when it is read no trigger can read: refused, and harmless where it comes later."""
    virtual = "GENERATED ALWAYS AS (1 + 1) VIRTUAL"
    with fresh_database(newest_postgres) as database:
        app = Application(database, tmp_path)
        app.execute(f"{TABLE.format(table='jobs', key=' PRIMARY KEY', partitioned='')}; ALTER TABLE jobs DROP millis")
        app.execute(f"ALTER TABLE jobs ADD millis int {virtual}")
        status, refused = app.try_to_adopt()
        app.execute("ALTER TABLE jobs DROP millis; ALTER TABLE jobs ADD millis int DEFAULT 1000")
        app.adopt()
        with app.connect() as session:
            session.execute(INSERT)
            app.execute(f"ALTER TABLE jobs DROP millis; ALTER TABLE jobs ADD millis int {virtual}")
            session.execute(INSERT)
            session.execute("UPDATE jobs SET status = 'DONE'")
            session.execute("DELETE FROM jobs")
        (problem, *_) = app.view().problems

        assert (status, "t.millis of public.jobs is computed when it is read" in refused) == (1, True)
        assert "no longer has t.millis" in problem
        assert app.counted()["removed"] == {"new": 2}


BYPASSES = {
    "all triggers disabled": "ALTER TABLE jobs DISABLE TRIGGER ALL",
    "user triggers disabled": "ALTER TABLE jobs DISABLE TRIGGER USER",
    "triggers dropped": "DO $$ DECLARE n name; BEGIN FOR n IN SELECT tgname FROM pg_trigger WHERE tgrelid = "
                        "'jobs'::regclass AND NOT tgisinternal LOOP EXECUTE format('DROP TRIGGER %I ON jobs', n); "
                        "END LOOP; END $$",
    "table swapped": "CREATE TABLE jobs_2 (LIKE jobs INCLUDING ALL); INSERT INTO jobs_2 SELECT * FROM jobs; "
        "SELECT setval(pg_get_serial_sequence('jobs_2', 'id'), 9); "
                     "ALTER TABLE jobs RENAME TO jobs_1; ALTER TABLE jobs_2 RENAME TO jobs",
    "table made again": "DROP TABLE jobs; " + TABLE.format(table="jobs", key=" PRIMARY KEY", partitioned=""),
}  # fmt: skip


@pytest.mark.parametrize("name", BYPASSES)
def test_a_bypass_is_noticed(app: Application, name: str) -> None:
    """A table that writes past us is a problem of its source, which the next `adopt` ends."""
    app.execute(BYPASSES[name])
    app.execute(INSERT)
    (problem, *_) = app.view().problems
    app.adopt()
    app.execute("INSERT INTO jobs (name) VALUES ('repaired')")
    counted = app.counts()["added"]

    assert "adopt" in problem
    assert "jobs" in problem
    assert counted["repaired"] == 1
    assert counted["old"] == 1


def test_replica_role(app: Application) -> None:
    """A session in the role of a replica fires no ordinary trigger (pg_restore --disable-triggers): ours fire."""
    with app.connect() as session:
        session.execute("SET session_replication_role = replica")
        session.execute(INSERT)
        session.execute("UPDATE jobs SET status = 'DONE' WHERE name = 'new'")

    counted = app.counts()
    assert counted["added"] == {"old": 1, "new": 1}
    assert counted["ended"] == {"DONE": 1}


@pytest.mark.parametrize(
    "breaks",
    [
        "DROP SCHEMA monitoring CASCADE",
        (
            "DO $$ DECLARE n regclass; BEGIN FOR n IN SELECT oid FROM pg_class WHERE relnamespace = "
            "'monitoring'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition LOOP "
            "EXECUTE format('DROP TABLE IF EXISTS %s CASCADE', n); END LOOP; END $$"
        ),
        "ALTER SCHEMA monitoring RENAME TO gone",
        "REVOKE ALL ON ALL TABLES IN SCHEMA monitoring FROM CURRENT_USER, PUBLIC",
    ],
    ids=["schema dropped", "tables dropped", "schema renamed", "rights revoked"],
)
def test_broken_monitoring_harms_no_application(app: Application, breaks: str) -> None:
    """Whatever becomes of our tables, the application's statements work in a session that ran before."""
    with app.connect() as session:
        session.execute(INSERT)
        app.execute(breaks)
        for statement in (
            INSERT,
            "UPDATE jobs SET status = 'DONE'",
            "DELETE FROM jobs WHERE name = 'new'",
            "TRUNCATE jobs",
        ):
            session.execute(statement)

    assert app.execute("SELECT count(*) FROM jobs") == [(0,)]


def test_rows_deleted_before_the_first_poll(database: Database, tmp_path: Path) -> None:
    """Old rows that change or go between the adoption and the first poll are counted as they were."""
    app = Application(database, tmp_path)
    app.execute(TABLE.format(table="jobs", key=" PRIMARY KEY", partitioned=""))
    app.execute("INSERT INTO jobs (name, status) VALUES ('a', 'DONE'), ('b', 'NEW'), ('c', 'DONE')")
    app.adopt()
    app.execute("DELETE FROM jobs WHERE name = 'a'; UPDATE jobs SET status = 'FAILED' WHERE name = 'b'; TRUNCATE jobs")

    assert app.counts() == {
        "added": {"a": 1, "b": 1, "c": 1},
        "ended": {"DONE": 2, "FAILED": 1},
        "changed": {"DONE": 2, "NEW": 1, "FAILED": 1},
        "removed": {"a": 1},
    }


def test_undo_leaves_another_source_alone(app: Application, tmp_path: Path) -> None:
    """Two sources count one table: taking one away leaves what the other needs, and its counters."""
    folder = tmp_path / "second"
    folder.mkdir()
    other = Application(app.database, folder, mapping("public.jobs", "added", "removed"))
    other.source.path.write_text(
        other.source.path.read_text().replace("{preset: shop.yml}", "{preset: shop.yml, name: b}")
    )
    other.adopt()
    other.counts()
    app.adopt("--undo")
    app.execute(f"{INSERT}; DELETE FROM jobs WHERE name = 'new'")

    assert other.counts() == {"added": {"old": 1, "new": 1}, "removed": {"new": 1}}
    assert app.execute("SELECT DISTINCT source FROM monitoring.cursor") == [("b",)]
