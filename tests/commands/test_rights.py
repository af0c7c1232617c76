"""Commands as the database user of the documents: a login in the role platform_exporter, and no more."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import psycopg
import pytest
from click.testing import CliRunner, Result

from exporter.__main__ import main
from exporter.history.tables import STATES
from platform_sdk.events import KINDS
from tests.aggregation.counting import Store
from tests.events.test_schema import MINIMAL
from tests.servers import Database, PrometheusBinaries

Run = Callable[..., Result]

READING = (
    ("health", 0),
    ("doctor", 1),  # no exporter runs
    ("preview native", 0),
    ("reconcile", 0),
    ("series list", 0),
    ("errors list", 0),
    ("errors show ISSUE", 0),
    ("alerts list", 1),  # there is no Alertmanager
    ("alerts backtest --since 1h --warm-up 1h --step 240 --alert PlatformApiSuccessLow", 0),
    ("backfill --since 4h --output FOLDER", 0),
    *((f"export {name}", 0) for name in (*KINDS, *STATES)),
    *((f"export {name} --source stratlogic", 0) for name in STATES),
)
"""Each command that only reads the event store, and its exit status."""

FOR_THE_OWNER = {"users export"}
WITHOUT_STORE = {"check-config", "rules", "schema show", "receive-notifications"}
CHANGING = {
    "serve", "schema apply", "adopt", "series forget", "alerts create", "alerts resolve", "alerts silence",
    "alerts test-watchdog", "errors assign", "errors comment", "errors ignore", "errors merge", "errors reopen",
    "errors resolve", "errors split", "users erase", "demo",
}  # fmt: skip


def commands(command: click.Command, name: str = "") -> Iterator[str]:
    """Yield the whole name of every command."""
    if not isinstance(command, click.Group):
        yield name
        return
    context = click.Context(command)
    for part in command.list_commands(context):  # not all are imported before they are asked for
        below = command.get_command(context, part)
        assert below is not None
        yield from commands(below, f"{name} {part}".strip())


@pytest.fixture
def as_exporter(store_database: Database, tmp_path: Path) -> Iterator[Run]:
    """Return a function that runs a command as the exporter on a store with an event of each kind, all counted."""
    login = f"lowly_{store_database.name}"
    store_database.execute(f"CREATE ROLE {login} LOGIN IN ROLE platform_exporter")
    dsn = psycopg.conninfo.make_conninfo(store_database.dsn, user=login)
    for kind, values in MINIMAL.items():
        store_database.execute(f"INSERT INTO monitoring.{kind} {values}")
    store_database.execute(
        "INSERT INTO monitoring.scraping_job (app, job_id, scraper, status) VALUES ('a', '1', 's', 'running')"
    )
    Store(dsn).poll()
    ((issue,),) = store_database.execute("SELECT id FROM monitoring.error_issue")
    path = tmp_path / "c.yml"
    binaries = PrometheusBinaries.of("stable")
    programs = ["--promtool", str(binaries.promtool.path), "--prometheus", str(binaries.prometheus.path)]

    def run(command: str) -> Result:
        presets = ["native"] + ["stratlogic"] * command.endswith("stratlogic")
        configured = {
            "listen": "127.0.0.1:1",
            "database": {"dsn": dsn},
            "sources": [{"preset": preset} for preset in presets],
            "alertmanager": {"urls": ["http://127.0.0.1:1"]},
        }
        path.write_text(json.dumps(configured))
        arguments = command.replace("ISSUE", issue).replace("FOLDER", str(tmp_path)).split()
        if {"backfill", "backtest"} & set(arguments):
            arguments += programs
        return CliRunner().invoke(main, [*arguments, "--config", str(path)])

    yield run
    store_database.execute(f"DROP ROLE {login}")


def test_every_command_is_told_by_what_it_does() -> None:
    """A new one that reads is tested below."""
    reading = {name for name in commands(main) if any(f"{command} ".startswith(f"{name} ") for command, _ in READING)}

    assert set(commands(main)) == reading | FOR_THE_OWNER | WITHOUT_STORE | CHANGING


@pytest.mark.parametrize(("command", "status"), READING)
def test_a_command_that_reads_works_as_the_exporter(as_exporter: Run, command: str, status: int) -> None:
    """Its policies let it see all, and nothing asks for rights that it has."""
    done = as_exporter(command)

    assert done.exit_code == status, done.output
    assert "polic" not in done.output
    assert "GRANT" not in done.output
