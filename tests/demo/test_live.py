"""`platform-exporter demo` as it is run: processes of its own, a user who may write, queues in Redis."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from exporter.__main__ import main
from exporter.database import schema
from exporter.demo import event_history
from exporter.demo.platform import APPS
from tests.demo.simulated import count, rows, write_past
from tests.servers import Database, fresh_database, poll_until
from tools.stack.servers import Postgres, Redis

USER = "demo_live"


@pytest.fixture
def store(postgres: Postgres) -> Iterator[Database]:
    """Return an empty event store, and a user `demo_live` who may write events."""
    with fresh_database(postgres) as database:
        with database.connect() as connection:
            schema.apply(connection)
        database.execute(f"CREATE ROLE {USER} LOGIN IN ROLE platform_writer")
        yield database
    with postgres.connect() as connection:
        connection.execute(f"DROP ROLE {USER}")


@pytest.fixture
def config(store: Database, redis_server: Redis, tmp_path: Path) -> Path:
    """Return a configuration for that user, with queues of the demo's and one of an application's."""
    path = tmp_path / "c.yml"
    dsn = store.dsn.replace("://postgres@", f"://{USER}@") if "://" in store.dsn else f"{store.dsn} user={USER}"
    path.write_text(
        f"database: {{dsn: '{dsn}'}}\n"
        "probes: {redis: [{name: main, url: '" + redis_server.url + "', "
        "queues: [demo-orders, demo-stream, celery]}]}\n"
    )
    return path


def run(*arguments: object) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, ["demo", *map(str, arguments)])


def test_it_runs_until_it_is_stopped(store: Database, config: Path, redis_server: Redis) -> None:
    """Both apps write; after SIGTERM all is stored, the ledger is complete and no job is left running."""
    client = redis_server.client()
    argv = [sys.executable, "-m", "exporter", "demo", "--config", str(config), "--speed", "20"]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
    try:
        poll_until(lambda: all(sum(rows(store, app).values()) > 50 for app in APPS))
        running = "SELECT count(*) > 0 FROM monitoring.scraping_job WHERE status = 'running'"
        poll_until(lambda: store.execute(running) == [(True,)])
        poll_until(lambda: client.llen("demo-orders") and client.xlen("demo-stream"))
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()

    assert process.returncode == 0, said
    assert client.exists("celery") == 0
    assert store.execute("SELECT count(*) FROM monitoring.scraping_job WHERE status IN ('pending', 'running')") == [
        (0,)
    ]
    books = dict(
        store.execute(
            "SELECT app, sum(produced)::integer FROM monitoring.sdk_ledger "
            "WHERE ended_at IS NOT NULL AND produced = stored AND spooled = 0 AND dropped = '{}' GROUP BY app"
        )
    )
    assert {app: int(produced) for app, produced in books.items()} == {
        app: sum(rows(store, app).values()) for app in APPS
    }
    client.flushdb()
    client.close()


def test_a_user_who_may_not_write(store: Database, config: Path) -> None:
    """Exit status 1, and what to grant."""
    store.execute(f"REVOKE platform_writer FROM {USER}")
    done = run("--config", config)

    assert done.exit_code == 1
    assert USER in done.stderr
    assert "platform_writer" in done.stderr


def test_a_past_and_its_removal(store: Database, config: Path) -> None:
    """`--past` writes once, `--remove` leaves nothing."""
    config.write_text(f"database: {{dsn: '{store.dsn}'}}\n")
    first = run("--config", config, "--past", "2h", "--no-live")
    second = run("--config", config, "--past", "2h", "--no-live")
    removed = run("--config", config, "--remove")

    assert (first.exit_code, second.exit_code, removed.exit_code) == (0, 0, 0), first.stderr + second.stderr
    assert "demo-shop: " in first.stderr
    assert "no past events were added" in second.stderr
    assert all(sum(rows(store, app).values()) == 0 for app in APPS)


def test_what_is_removed_is_the_demos(store: Database) -> None:
    """Rows, issues, ledger and counters of the demo's apps go; those of others stay."""
    now = time.time()
    write_past(store, event_history.Period(now - 3600, now))
    store.execute(
        "INSERT INTO monitoring.api_call (at, app, api, outcome, duration_seconds) "
        "VALUES (now(), 'x', 'y', 'success', 1)"
    )
    count(store)
    with store.connect() as connection:
        removed = event_history.remove(connection)

    left = store.execute("SELECT DISTINCT labels->>'app' FROM monitoring.rollup WHERE labels ? 'app'")
    assert removed > 100
    assert left == [("x",)]
    for table in ("error_issue", "sdk_ledger", "scraping_job", "release", "actor", "audit"):
        assert store.execute(f"SELECT count(*) FROM monitoring.{table}") == [(0,)]


def test_a_past_that_is_no_past(config: Path) -> None:
    """A time that is not before now is refused, as every other mistake on the command line."""
    done = run("--config", config, "--past", "2999-01-01", "--no-live")

    assert done.exit_code == 2
    assert "--past 2999-01-01" in done.stderr
