"""Alerts over the past: what would have fired and notified."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from exporter.__main__ import main
from exporter.database import schema
from exporter.history.backtest import Firing, held, judge
from tests.history.test_backfill import count, spanning
from tests.servers import PrometheusBinaries, fresh_database
from tools.stack.process import poll_until
from tools.stack.servers import Postgres
from tools.testing.databases import Database

ROOT = Path(__file__).parents[2]
END = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=5)
START = END - timedelta(hours=4)


@pytest.mark.parametrize(
    ("times", "hold", "keep", "expected"),
    [
        ([], 60, 0, []),
        ([0, 60], 120, 0, []),
        ([0, 60, 120], 120, 0, [(120, 180)]),
        ([0, 60, 180, 240], 120, 0, []),
        ([0, 60, 180], 60, 120, [(60, 360)]),
        ([0, 60, 300], 60, 120, [(60, 240)]),
        ([0, 60, 300, 360], 60, 120, [(60, 240), (360, 540)]),
        ([60, 0, 60], 60, 0, [(60, 120)]),
    ],
    ids=["never", "too short", "long enough", "interrupted", "kept", "over", "twice", "in any order"],
)
def test_held(times: list[int], hold: int, keep: int, expected: list[tuple[int, int]]) -> None:
    """An alert fires after `for`, and ends `keep_firing_for` after the first moment without its condition."""
    assert list(held(times, 60, hold, keep)) == expected


def firing(severity: str, start: int, end: int, **labels: str) -> Firing:
    """Return a firing of an alert A."""
    return Firing("A", tuple(sorted({"severity": severity, **labels}.items())), start, end)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([firing("high", 0, 60, app="a", api="x"), firing("high", 30, 90, app="a", api="y")], {"high": (2, 1)}),
        ([firing("high", 0, 60, app="a"), firing("high", 30, 90, app="b")], {"high": (2, 2)}),
        ([firing("high", 0, 60, app="a"), firing("high", 61, 90, app="a")], {"high": (2, 2)}),
        (
            [firing("medium", 0, 60, app="a", indicator="i"), firing("critical", 30, 90, app="a", indicator="i")],
            {"critical": (1, 1), "medium": (1, 0)},
        ),
        (
            [firing("medium", 0, 600, app="a", indicator="i"), firing("critical", 30, 90, app="a", indicator="i")],
            {"critical": (1, 1), "medium": (1, 1)},
        ),
        (
            [firing("medium", 0, 60, app="a", indicator="i"), firing("critical", 30, 90, app="b", indicator="i")],
            {"critical": (1, 1), "medium": (1, 1)},
        ),
    ],
    ids=["one group", "two apps", "one after the other", "muted", "outlasts the graver", "graver of another"],
)
def test_a_group_notifies_once(found: list[Firing], expected: dict[str, tuple[int, int]]) -> None:
    """What fires while its group does is in the same notification; a graver band mutes a milder one."""
    assert {one.severity: (len(one.firings), one.notified) for one in judge(found)} == expected


@pytest.fixture(scope="module")
def config(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the configuration of a store with four hours of requests, 30 a minute.

    From 1 h on, 10 % fail for ten minutes in `shop`; from 3 h on, 3 %. In `till` all is well. `few` fails always, but
    has two requests a minute.
    """
    with fresh_database(postgres) as database:
        with database.connect() as connection:
            schema.apply(connection)
        path = tmp_path_factory.mktemp("backtest") / "c.yml"
        path.write_text(f"database: {{dsn: '{database.dsn}'}}\nobjectives: {{http_availability: null}}\n")
        requests(database, "shop", 2, "CASE WHEN i BETWEEN 1800 AND 2099 THEN mod(i, 10) = 0 "
                                      "WHEN i BETWEEN 5400 AND 5699 THEN mod(i, 33) = 0 ELSE false END")  # fmt: skip
        requests(database, "till", 2, "false")
        requests(database, "few", 30, "true")
        count(path)
        yield path


def requests(database: Database, app: str, every_seconds: int, failed: str) -> None:
    """Insert a request every so many seconds; `failed` is SQL on its number `i`."""
    database.execute(
        "INSERT INTO monitoring.http_request (at, app, route, method, status, duration_seconds) "
        f"SELECT to_timestamp(%s) + i * interval '{every_seconds} s', %s, '/', 'GET', "
        f"CASE WHEN {failed} THEN 500 ELSE 200 END, 0.02 FROM generate_series(0, %s) i",
        [START.timestamp(), app, 4 * 3600 // every_seconds - 1],
    )  # fmt: skip


def run(config: Path, binaries: PrometheusBinaries, *options: object) -> Result:
    """Run the command in this process, on the alert that the rows are about."""
    return CliRunner().invoke(main, [*arguments(config, binaries), *map(str, options)])


def arguments(config: Path, binaries: PrometheusBinaries) -> list[str]:
    found = ["alerts", "backtest", "--config", config, *spanning(START, END), "--warm-up", "10m",
             "--rules", ROOT / "prometheus/rules", "--alert", "PlatformHttpErrorsHigh", "--step", "30",
             "--promtool", binaries.promtool.path, "--prometheus", binaries.prometheus.path]  # fmt: skip
    return list(map(str, found))


def test_finds_what_happened(config: Path, prometheus_binaries: PrometheusBinaries) -> None:
    """Each incident fires once with its severity and at its time; below the minimum of events nothing does."""
    done = run(config, prometheus_binaries, "--json")
    assert done.exit_code == 0, done.output
    [judged] = json.loads(done.stdout)["configurations"].values()
    fired = [(one["severity"], firing) for one in judged for firing in one["firings"]]

    assert {firing["labels"]["app"] for _, firing in fired} == {"shop"}
    assert {(severity, int(firing["start"] - START.timestamp()) // 3600) for severity, firing in fired} == {
        ("critical", 1),
        ("medium", 1),
        ("medium", 3),
    }
    [critical] = [firing for severity, firing in fired if severity == "critical"]
    # Above 5 % of five minutes after some 2.5 minutes, and until 2.5 minutes after the last failure.
    assert 120 <= critical["start"] - START.timestamp() - 3600 <= 240
    assert 750 <= critical["end"] - START.timestamp() - 3600 <= 900


def test_compares_with_other_thresholds(config: Path, prometheus_binaries: PrometheusBinaries, tmp_path: Path) -> None:
    """Milder thresholds in another file fire less, and the table says how often each would have notified."""
    trial = tmp_path / "trial.yml"
    trial.write_text(config.read_text() + "thresholds: {http_error_ratio: {medium: 0.05, critical: 0.5}}\n")

    done = run(config, prometheus_binaries, "--against", trial)

    assert done.exit_code == 0, done.output
    before, after = done.stdout.split(f"{trial}: ")
    assert "critical  PlatformHttpErrorsHigh" in before
    assert "critical" not in after
    assert after.startswith("1 notification in 4h (1 medium)")


def test_names_what_rows_do_not_tell(config: Path, prometheus_binaries: PrometheusBinaries) -> None:
    """An alert about components is not said to have been quiet."""
    done = run(config, prometheus_binaries, "--alert", "PlatformComponentDown")

    beside = "Not judged, because they need what the exporter measures beside the rows"
    assert done.stdout.splitlines()[-1] == f"{beside}: PlatformComponentDown"


def test_ends_in_order(config: Path, prometheus_binaries: PrometheusBinaries, tmp_path: Path) -> None:
    """What a supervisor ends leaves neither its folder nor its Prometheus."""
    (tmp_path / "tmp").mkdir()
    command = [sys.executable, "-m", "exporter", *arguments(config, prometheus_binaries)]
    with subprocess.Popen(command, env=os.environ | {"TMPDIR": str(tmp_path / "tmp")}) as running:
        # The Prometheus that evaluates stands in a folder of its own.
        poll_until(lambda: len(list((tmp_path / "tmp").glob("platform-back*"))) > 1)
        running.terminate()
        status = running.wait(120)

    assert status == 128 + signal.SIGTERM
    assert list((tmp_path / "tmp").iterdir()) == []


def test_unknown_alert_is_refused(config: Path, prometheus_binaries: PrometheusBinaries) -> None:
    """A misspelt name would show an alert that never fires."""
    done = run(config, prometheus_binaries, "--alert", "PlatformHttpErorsHigh")

    assert done.exit_code == 2
    assert "'PlatformHttpErorsHigh' for --alert" in done.output
