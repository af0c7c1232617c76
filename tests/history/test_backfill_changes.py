"""`backfill` of rows that changed after they were inserted: the past ends where the counters are."""

import subprocess
from pathlib import Path

import pytest

from tests.servers import Database, PrometheusBinaries
from tests.sources.applications import TABLE, Application
from tests.sources.demo import run

SERIES = {"ended": "platform_api_calls_total", "added": "platform_scraping_runs_total"}


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Application:
    """Return an adopted table with ten rows, one every half hour, of which six ended and two of these are deleted."""
    application = Application(database, tmp_path)
    application.execute(TABLE.format(table="jobs", key=" PRIMARY KEY", partitioned=""))
    application.adopt()
    application.execute(
        "INSERT INTO jobs (name, at) SELECT 'job', now() - i * interval '30 minutes' FROM generate_series(1, 10) i"
    )
    application.counts()
    application.execute("UPDATE jobs SET status = 'DONE' WHERE id <= 6; DELETE FROM jobs WHERE id IN (1, 5)")
    application.counts()
    return application


def last_values(app: Application, folder: Path) -> dict[str, float]:
    """Return what each series of a backfill until now ends at."""
    binaries = PrometheusBinaries.of("stable")
    result = run(
        "backfill", "--config", str(app.source.path), "--output", str(folder), "--promtool",
        str(binaries.promtool.path), "--since", "8h", "--until", "1m",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    (folder / "wal").mkdir()  # which a folder of Prometheus has
    dump = subprocess.run(
        [str(binaries.promtool.path), "tsdb", "dump", str(folder)], capture_output=True, text=True, check=True
    ).stdout
    last: dict[str, tuple[int, float]] = {}
    for line in dump.splitlines():
        series, value, moment = line.rsplit(" ", 2)
        name = next((name for name, metric in SERIES.items() if f'"{metric}"' in series), "")
        last[name] = max(last.get(name, (0, 0.0)), (int(moment), float(value)))
    return {name: value for name, (_, value) in last.items() if name}


def test_past_ends_where_the_counters_are(app: Application, tmp_path: Path) -> None:
    """Rows that changed, went away, or changed since the last poll neither raise nor lower the end of the past."""
    folder = tmp_path / "blocks"
    folder.mkdir()
    app.execute("UPDATE jobs SET status = 'FAILED' WHERE id > 6")

    assert last_values(app, folder) == {"ended": 6, "added": 10}
