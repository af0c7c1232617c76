"""Adopted tables that are dumped, restored, replicated and committed in two phases."""

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from exporter.database.schema import ROLES
from tests.servers import Database, ServerFactory, fresh_database, poll_until
from tests.sources.applications import TABLE, Application, mapping
from tools.stack.servers import Postgres

INSERT = "INSERT INTO jobs (name) VALUES ('new')"


@pytest.fixture(scope="module")
def publisher(session_servers: ServerFactory) -> Postgres:
    """Return a PostgreSQL that replicates logically and prepares transactions."""
    settings = {"wal_level": "logical", "max_prepared_transactions": "4"}
    return session_servers.start(Postgres, durable=False, settings=settings)


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Application:
    """Return an application with one old row, not adopted."""
    return filled(Application(database, tmp_path))


@pytest.fixture
def published(publisher: Postgres, tmp_path: Path) -> Iterator[Application]:
    """Return the same on the publisher."""
    with fresh_database(publisher) as database:
        yield filled(Application(database, tmp_path))


def filled(app: Application) -> Application:
    app.execute(TABLE.format(table="jobs", key=" PRIMARY KEY", partitioned=""))
    app.execute("INSERT INTO jobs (name) VALUES ('old')")
    return app


class Subscriber:
    """A subscription in a database of another server to what an application publishes."""

    def __init__(self, stack: ExitStack, server: Postgres, app: Application, database: Database | None = None) -> None:
        self.database = database or stack.enter_context(fresh_database(server))
        if database is None:
            # IDENTITY would make the subscriber assign ids of its own to rows that it writes itself.
            self.database.execute(TABLE.format(table="jobs", key=" PRIMARY KEY", partitioned=""))
        name = f"s_{app.database.name}_{self.database.name}"
        self.database.execute(f"CREATE SUBSCRIPTION {name} CONNECTION '{app.database.dsn}' PUBLICATION p")
        stack.callback(self.database.execute, f"DROP SUBSCRIPTION {name}")

    def names(self) -> list[str]:
        return [name for (name,) in self.database.execute("SELECT name FROM jobs ORDER BY id")]

    def wait_for(self, *names: str) -> None:
        """Wait until it has rows of these names. Raises StackError."""
        poll_until(lambda: self.names() == list(names), what=f"the subscriber has {names}")


def test_subscriber_goes_on(published: Application, postgres: Postgres) -> None:
    """A subscriber of the table notices nothing of adoption, counting and --undo; the publisher counts."""
    published.execute("CREATE PUBLICATION p FOR TABLE jobs")
    with ExitStack() as stack:
        subscriber = Subscriber(stack, postgres, published)
        subscriber.wait_for("old")
        published.adopt()
        published.execute(INSERT)
        published.execute("UPDATE jobs SET status = 'DONE'; DELETE FROM jobs WHERE name = 'old'")
        subscriber.wait_for("new")
        counted = published.counts()
        published.adopt("--undo")
        published.execute(INSERT)
        subscriber.wait_for("new", "new")

    assert counted == {
        "added": {"old": 1, "new": 1}, "ended": {"DONE": 2}, "changed": {"NEW": 2, "DONE": 2}, "removed": {"old": 1},
    }  # fmt: skip


def test_publication_of_all_tables_is_refused(published: Application, postgres: Postgres) -> None:
    """Our tables would be published as well and stop the subscriber: refused beforehand, nothing changed."""
    published.execute("CREATE PUBLICATION p FOR ALL TABLES")
    with ExitStack() as stack:
        subscriber = Subscriber(stack, postgres, published)
        subscriber.wait_for("old")
        status, output = published.try_to_adopt()
        published.execute(INSERT)
        subscriber.wait_for("old", "new")

    assert status == 1
    assert "publication p" in output
    assert "every new table" in output
    assert published.execute("SELECT to_regnamespace('monitoring')::text") == [(None,)]
    assert published.execute("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal") == [(0,)]


def test_table_of_a_subscription_is_refused(published: Application, postgres: Postgres, tmp_path: Path) -> None:
    """Replication fires no statement's trigger: where rows arrive by it, adopt says so instead of counting nothing."""
    published.execute("CREATE PUBLICATION p FOR TABLE jobs")
    with ExitStack() as stack:
        subscriber = Subscriber(stack, postgres, published)
        subscriber.wait_for("old")
        status, output = Application(subscriber.database, tmp_path).try_to_adopt()

    assert status == 1
    assert "subscription" in output
    assert subscriber.database.name in output or "public.jobs" in output


def test_a_subscription_made_later(published: Application, postgres: Postgres, tmp_path: Path) -> None:
    """Where an adopted table becomes one that a subscription writes, polls say that those rows are not counted."""
    published.execute("CREATE PUBLICATION p FOR TABLE jobs")
    with ExitStack() as stack:
        here = Application(stack.enter_context(fresh_database(postgres)), tmp_path / "here")
        here.folder.mkdir()
        here.execute(TABLE.format(table="jobs", key=" PRIMARY KEY", partitioned=""))
        here.adopt()
        before = here.view().problems
        Subscriber(stack, postgres, published, here.database).wait_for("old")
        (problem, *_) = here.view().problems

    assert before == ()
    assert "a subscription writes public.jobs" in problem


def test_two_phase_commit(published: Application) -> None:
    """Rows of a prepared transaction count when it is committed, and not when it is rolled back."""
    published.adopt()
    for name, end in (("kept", "COMMIT"), ("gone", "ROLLBACK")):
        with published.connect() as session:
            session.execute("BEGIN")
            session.execute("INSERT INTO jobs (name) VALUES (%s)", [name])
            session.execute("UPDATE jobs SET status = 'DONE' WHERE name = %s", [name])
            session.execute(f"PREPARE TRANSACTION '{name}_{published.database.name}'".encode())
        before = published.counts()
        published.execute(f"{end} PREPARED '{name}_{published.database.name}'")
        after = published.counts()

        assert before["added"] == {"old": 1} | ({"kept": 1} if name == "gone" else {})
        assert after["added"] == {"old": 1, "kept": 1}
        assert after["ended"] == {"DONE": 1}


def client(server: Postgres, database: str, argv: list[str], script: str | None = None) -> str:
    """Run one of PostgreSQL's programs and return what it prints."""
    run = subprocess.run(
        [str(server.binary.path / argv[0]), *argv[1:]],
        env=server.client_environment(database), input=script, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[Database]:
    """Return a database to restore into."""
    with fresh_database(postgres) as database:
        yield database


RESTORE = ["psql", "--no-psqlrc", "--quiet", "--single-transaction", "--set", "ON_ERROR_STOP=1"]


@pytest.mark.parametrize("options", [[], ["--inserts"], ["--clean", "--if-exists"]], ids=str)
def test_dump_and_restore(app: Application, empty: Database, options: list[str], tmp_path: Path) -> None:
    """A whole dump restores without an error, and what was and was not counted is counted once in the copy."""
    app.adopt()
    app.counts()
    app.execute(f"{INSERT}; UPDATE jobs SET status = 'DONE'")
    dump = client(app.database.server, app.database.name, ["pg_dump", *options])
    client(empty.server, empty.name, RESTORE, dump)
    copy = Application(empty, app.folder)
    copy.execute("INSERT INTO jobs (name) VALUES ('copy'); UPDATE jobs SET status = 'FAILED' WHERE name = 'copy'")

    assert copy.counts() == {
        "added": {"old": 1, "new": 1, "copy": 1},
        "ended": {"DONE": 2, "FAILED": 1},
        "changed": {"NEW": 3, "DONE": 2, "FAILED": 1},
    }


def test_changes_of_a_row_before_and_after_a_dump(
    app: Application, start_postgres: Callable[..., Postgres], tmp_path: Path
) -> None:
    """What was captured before a dump comes before what a new server captures, whose log is a shorter one."""
    app.execute("UPDATE jobs SET status = 'DONE'")
    app.adopt()
    counted = app.counts()["ended"]
    app.execute("UPDATE jobs SET status = 'NEW'")
    archive = str(tmp_path / "whole.dump")
    with fresh_database(start_postgres()) as empty:
        empty.execute("; ".join(f"CREATE ROLE {role}" for role in ROLES))
        client(app.database.server, app.database.name, ["pg_dump", "-Fc", "-f", archive])
        client(empty.server, empty.name, ["pg_restore", "--exit-on-error", "-d", empty.name, archive])
        logs = [each.execute("SELECT pg_current_wal_lsn()") for each in (empty, app.database)]
        copy = Application(empty, app.folder)
        copy.execute("UPDATE jobs SET status = 'DONE'")
        again = copy.counts()["ended"]
        copy.execute("UPDATE jobs SET status = 'NEW'; UPDATE jobs SET status = 'FAILED'")

        assert logs[0] < logs[1]
        assert (counted, again, copy.counts()["ended"]) == ({"DONE": 1}, {"DONE": 1}, {"DONE": 1})


ALONE = (["-n", "public"], ["-N", "monitoring"], ["-t", "public.jobs"])
"""What dumps an application's tables with our triggers, and without the schema that their function is in."""


def without_triggers() -> list[str]:
    """Return the sed commands of docs/adopting.md, as arguments."""
    (line,) = re.findall("sed '(.*platform_capture.*)'", Path("docs/adopting.md").read_text(encoding="utf-8"))
    return ["sed", line]


def adopted_again(copy: Application) -> dict[str, int]:
    """Adopt a copy, write a row, and return what is counted."""
    copy.adopt()
    copy.execute(INSERT)
    assert copy.view().problems == ()
    return copy.counts()["added"]


@pytest.mark.parametrize("options", ALONE, ids=str)
def test_dump_of_the_application_alone(app: Application, empty: Database, options: list[str]) -> None:
    """Without the triggers, as the documents say, it restores where errors end it, and can be adopted."""
    app.adopt()
    dump = client(app.database.server, app.database.name, ["pg_dump", "--clean", "--if-exists", *options])
    assert "platform_capture_" in dump
    kept = subprocess.run(without_triggers(), input=dump, capture_output=True, text=True, check=True).stdout
    client(empty.server, empty.name, RESTORE, kept)
    copy = Application(empty, app.folder)
    copy.execute("INSERT INTO jobs (name) VALUES ('copy')")

    assert adopted_again(copy) == {"old": 1, "copy": 1, "new": 1}


def test_archive_of_the_application_alone(app: Application, empty: Database, tmp_path: Path) -> None:
    """An archive restores by a list without the triggers; `pg_restore -t` restores a table without any."""
    app.adopt()
    archive = str(tmp_path / "app.dump")
    client(app.database.server, app.database.name, ["pg_dump", "-Fc", "-n", "public", "-f", archive])
    listed = client(app.database.server, app.database.name, ["pg_restore", "-l", archive])
    triggers = [line for line in listed.splitlines() if " TRIGGER " in line and " platform_capture_" in line]
    kept = tmp_path / "list"
    kept.write_text("\n".join(line for line in listed.splitlines() if line not in triggers))
    restore = ["pg_restore", "--exit-on-error", "--clean", "--if-exists", "-d", empty.name]
    client(empty.server, empty.name, [*restore, "-t", "jobs", archive])
    client(empty.server, empty.name, [*restore, "-L", str(kept), archive])

    assert len(triggers) == 8
    assert adopted_again(Application(empty, app.folder)) == {"old": 1, "new": 1}


def test_restored_with_errors(app: Application, empty: Database) -> None:
    """Where the restore goes on after the triggers failed, everything else is there, and can be adopted."""
    app.adopt()
    dump = client(app.database.server, app.database.name, ["pg_dump", *ALONE[0]])
    client(empty.server, empty.name, ["psql", "--no-psqlrc", "--quiet"], dump)

    assert adopted_again(Application(empty, app.folder)) == {"old": 1, "new": 1}


def test_restored_over_the_source(app: Application) -> None:
    """The application's schema, restored over an adopted one, keeps its triggers: nothing is counted again."""
    app.adopt()
    dump = client(app.database.server, app.database.name, ["pg_dump", "--clean", "--if-exists", "-t", "public.jobs"])
    app.execute(INSERT)
    counted = app.counts()["added"]
    client(app.database.server, app.database.name, RESTORE, dump)
    app.execute("INSERT INTO jobs (name) VALUES ('later')")

    assert app.view().problems == ()
    assert (counted, app.counts()["added"]) == ({"old": 1, "new": 1}, {"old": 1, "new": 1, "later": 1})


def test_restored_beside_another_source(app: Application, empty: Database, tmp_path: Path) -> None:
    """Triggers that a dump carries never write to another source's changes: each has its own name in every database."""
    app.adopt()
    dump = client(app.database.server, app.database.name, ["pg_dump", "-t", "public.jobs"])
    (tmp_path / "other").mkdir()
    other = Application(empty, tmp_path / "other", mapping("public.orders").replace("  ", "  x"))
    empty.execute(TABLE.format(table="orders", key=" PRIMARY KEY", partitioned=""))
    other.adopt()
    client(empty.server, empty.name, ["psql", "-d", empty.name], dump)
    empty.execute("INSERT INTO jobs (name) VALUES ('new')")

    assert other.view().problems == ()
    assert other.counted() == {}


def test_a_table_like_an_adopted_one(app: Application) -> None:
    """CREATE TABLE ... LIKE ... INCLUDING ALL copies no trigger: what is written to the copy is not counted."""
    app.adopt()
    app.execute("CREATE TABLE jobs_old (LIKE jobs INCLUDING ALL)")
    app.execute("INSERT INTO jobs_old SELECT * FROM jobs; INSERT INTO jobs_old (id, name) VALUES (9, 'copy')")

    assert app.counts()["added"] == {"old": 1}
    assert app.view().problems == ()


def test_adopt_says_what_dumps_lack(app: Application) -> None:
    """That dumps of the application alone hold triggers without their function, it says beforehand."""
    status, output = app.try_to_adopt("--dry-run")

    assert status == 0
    assert "-- dumps without schema `monitoring`" in output


@pytest.mark.parametrize("options", [[], ["--disable-triggers"]], ids=str)
def test_data_restored_into_a_live_table(app: Application, empty: Database, options: list[str]) -> None:
    """Rows that pg_restore --data-only adds are rows inserted there; if it disabled triggers, that is noticed."""
    other = filled(Application(empty, app.folder))
    other.execute(INSERT)
    app.adopt()
    app.counts()
    app.execute("TRUNCATE jobs")
    dump = client(empty.server, empty.name, ["pg_dump", "--data-only", *options, "-t", "jobs"])
    client(app.database.server, app.database.name, RESTORE, dump)
    problems = app.view().problems
    app.adopt()
    app.execute("INSERT INTO jobs (id, name) VALUES (77, 'new')")

    assert bool(problems) == bool(options)
    assert app.counts()["added"] == ({"old": 1, "new": 1} if options else {"old": 2, "new": 2})


def test_unlogged_and_temporary_tables(app: Application) -> None:
    """An unlogged table is adopted as others; a temporary one of the same name is none of ours."""
    app.execute("ALTER TABLE jobs SET UNLOGGED")
    app.adopt()
    with app.connect() as session:
        session.execute("CREATE TEMP TABLE jobs (LIKE jobs INCLUDING ALL)")
        session.execute("INSERT INTO jobs (id, name) VALUES (9, 'temporary')")
        session.execute("INSERT INTO public.jobs (name) VALUES ('new')")

    assert app.counts()["added"] == {"old": 1, "new": 1}
