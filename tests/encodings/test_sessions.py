"""Settings of a role or a database change nothing of what is counted, listed and exported."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from exporter.__main__ import main
from exporter.database import schema
from exporter.database.connection import connect
from tests.aggregation.counting import Store, settings
from tests.servers import fresh_database, poll_until
from tools.stack.servers import Postgres

HOSTILE = {
    "client_encoding": "LATIN1",
    "datestyle": "German",
    "intervalstyle": "sql_standard",
    "timezone": "Asia/Kolkata",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "default_transaction_isolation": "serializable",
    "quote_all_identifiers": "on",
    "search_path": "nowhere",
    "lock_timeout": "1ms",
    "idle_session_timeout": "300ms",
    "transaction_timeout": "3s",
    "statement_timeout": "3s",
    "xmloption": "document",
    "array_nulls": "off",
}
OLDER = {"transaction_timeout": 170000}

FAR = ("'0044-03-15 BC'", "'infinity'", "'20000-01-01'")
"""Times that PostgreSQL has and Python has not."""


@pytest.fixture(scope="module", params=["postgres", "newest_postgres"])
def hostile(request: pytest.FixtureRequest) -> Iterator[Store]:
    """Return an event store whose every session begins with settings that change texts, times and patience."""
    server: Postgres = request.getfixturevalue(request.param)
    with fresh_database(server) as database:
        with database.connect() as connection:
            for name, value in HOSTILE.items():
                if connection.info.server_version >= OLDER.get(name, 0):
                    connection.execute(f"ALTER DATABASE {database.name} SET {name} = '{value}'".encode())
        with connect(settings(database.dsn), "test") as connection:
            schema.apply(connection)
            for at in ("now()", *FAR):
                connection.execute(
                    "INSERT INTO monitoring.error (at, app, severity, error_type, message, fingerprint) "
                    f"VALUES ({at}, 'Größe', 'high', 'E', 'ü', 'f')".encode()
                )
        yield Store(database.dsn)


@pytest.fixture
def run(hostile: Store, tmp_path: Path) -> Callable[..., Result]:
    """Return a function that runs a command to its end, after a poll."""
    config = tmp_path / "platform-exporter.yml"
    config.write_text(json.dumps({"database": {"dsn": hostile.dsn}}))
    hostile.poll()

    def run(*words: str) -> Result:
        done = CliRunner().invoke(main, [*words, "--config", str(config)])
        assert done.exit_code == 0, done.output
        return done

    return run


def backend(connection: psycopg.Connection | None) -> int:
    assert connection is not None
    return connection.info.backend_pid


def ended(connection: psycopg.Connection) -> bool:
    """Return whether the server has ended a session."""
    try:
        connection.pgconn.consume_input()
    except psycopg.OperationalError:
        return True
    return False


def test_a_session_outlasts_the_timeouts_of_its_role(hostile: Store) -> None:
    """The source stays up where polls are further apart than idle sessions may be."""
    worker = hostile.worker()
    worker.poll()
    first = backend(worker._connection)
    other = hostile.connect()
    poll_until(lambda: ended(other))
    worker.poll()

    assert (worker.view.problems, backend(worker._connection)) == ((), first)
    worker._disconnect()


def test_values_are_read_as_they_are(hostile: Store) -> None:
    """A sum loses no digit, and a duration is one."""
    with connect(settings(hostile.dsn), "test") as connection:
        row = connection.execute("SELECT 0.1234567890123456::float8, interval '1 d 2 s', bytea '\\x00'").fetchone()

    assert row is not None
    assert (row[0], row[1].total_seconds(), row[2]) == (0.1234567890123456, 86402.0, b"\0")


def test_issues_are_listed_whatever_their_times(run: Callable[..., Result], hostile: Store) -> None:
    """An issue that a row of the year 44 BC began; rows of the future are rejected."""
    assert "Größe" in run("errors", "list").stdout
    (issue,) = json.loads(run("errors", "list", "--json").stdout)["issues"]
    assert issue["first_seen"] == "0001-01-01 00:00:00+00:00"

    shown = run("errors", "show", issue["id"], "--since", "2000-01-01").stdout
    assert "9999-12-31" in shown
    assert hostile.rejected() == {"future": 2}


def test_issues_changed_are_listed(run: Callable[..., Result]) -> None:
    """So is what people did to them."""
    run("errors", "resolve", "--app", "Größe", "--all-matching", "--yes", "--note", "für €")

    assert (
        "für €" in run("errors", "show", json.loads(run("errors", "list", "--json").stdout)["issues"][0]["id"]).stdout
    )


@pytest.mark.parametrize("format_", ["csv", "json", "parquet"])
def test_rows_are_exported_whatever_their_times(run: Callable[..., Result], tmp_path: Path, format_: str) -> None:
    """As CSV, JSON and Parquet, times in ISO and UTC."""
    file = tmp_path / "out"
    run("export", "error", "--since", "0001-01-01", "--until", "9999-01-01", "--format", format_, "-o", str(file))

    if format_ != "parquet":
        assert "Größe" in file.read_text(encoding="utf-8")
        assert "+00" in file.read_text(encoding="utf-8")
