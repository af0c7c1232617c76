"""The presets of other people's systems count what those systems write.

`systems/NAME.sql` holds tables as the system's own migrations make them, then the statements that it ran on them, in
its own transactions, recorded by triggers while it worked. Times were moved to the past. Lines that begin with `-- =`
say what is to be counted.
"""

import re
from pathlib import Path

import pytest

from exporter.config.settings import Source
from exporter.sources import mapping
from tests.servers import Database
from tests.sources.demo import DemoSource, Series, run

FOLDER = Path(__file__).parent / "systems"
SYSTEMS = sorted(path.stem for path in FOLDER.glob("*.sql"))
OURS = re.compile(r"platform_exporter_|.*(_bucket|_created|_gsum|_last_success_timestamp_seconds)$|platform_active_")


def tables(system: str) -> str:
    """Return the statements that make a system's tables."""
    return (FOLDER / f"{system}.sql").read_text().split("-- writes\n")[0]


def writes(system: str) -> list[str]:
    """Return what the system ran, one transaction each."""
    text = (FOLDER / f"{system}.sql").read_text().split("-- writes\n")[1]
    return re.findall(r"^(?:[A-Z](?:.|\n(?!\S))*;)$", text, re.MULTILINE)


def expected(system: str) -> list[str]:
    """Return the series that its writes make."""
    return re.findall(r"^-- = (.*)$", (FOLDER / f"{system}.sql").read_text(), re.MULTILINE)


def shown(series: Series) -> list[str]:
    """Return series as lines, those of the exporter itself and those that are 0 left out."""
    return sorted(
        f"{name.removeprefix('platform_')}{{{', '.join(f'{key}={text}' for key, text in labels if key != 'app')}}} "
        f"{round(value, 6):g}"
        for name, values in series.items()
        for labels, value in values.items()
        if value and not OURS.match(name)
    )  # fmt: skip


def source(database: Database, system: str, folder: Path) -> DemoSource:
    """Return the database with a system's tables as a source of its preset."""
    database.execute(tables(system))
    preset = re.sub(r"-\d$", "", system)
    return DemoSource(database, preset, folder)


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_a_system_writes_is_counted(database: Database, tmp_path: Path, system: str) -> None:
    """Rows that are inserted, updated and deleted as the system does it, counted meanwhile, give the exact series."""
    adopted = source(database, system, tmp_path)
    assert adopted.adopt().exit_code == 0
    transactions = writes(system)
    third = len(transactions) // 3 + 1
    for start in range(0, len(transactions), third):
        with database.connect() as connection:
            for transaction in transactions[start : start + third]:
                connection.execute(transaction.encode())
        series = adopted.poll()

    assert shown(series) == sorted(expected(system))
    assert "platform_exporter_rows_rejected_total" not in series


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_is_there_already_is_counted(database: Database, tmp_path: Path, system: str) -> None:
    """Rows that a system wrote before count once, as they are; what it deleted does not."""
    adopted = source(database, system, tmp_path)
    with database.connect() as connection:
        for transaction in writes(system):
            connection.execute(transaction.encode())
    assert adopted.adopt().exit_code == 0
    there = 0
    for stream in mapping.plan(Source(preset=adopted.preset)).streams:
        if stream.counted != "deleted":
            query = f"SELECT count(*) FROM {stream.relation} t {stream.join} WHERE {stream.condition}"
            there += database.execute(query)[0][0]

    series = adopted.poll()
    counted = sum(series["platform_exporter_events_total"].values())
    assert counted == there > 0
    assert adopted.poll()["platform_exporter_events_total"] == series["platform_exporter_events_total"]


def test_a_version_without_a_column_is_refused(database: Database, tmp_path: Path) -> None:
    """The column that an older version lacks is named, with its place in the mapping, before anything is changed."""
    adopted = source(database, "celery-results", tmp_path)
    database.execute("ALTER TABLE django_celery_results_taskresult DROP COLUMN date_started")
    result = adopted.adopt()

    assert result.exit_code == 1
    assert "stream finished.columns.duration_seconds: column t.date_started does not exist" in result.output
    assert database.execute("SELECT to_regnamespace('monitoring')") == [(None,)]


def test_jobs_that_run_are_not_exported(database: Database, tmp_path: Path) -> None:
    """Where a row counts when it is deleted, those that are still there have not happened."""
    exported = source(database, "procrastinate", tmp_path)
    job = "INSERT INTO procrastinate_jobs (id, queue_name, task_name, status) VALUES ({0}, 'q', 'job{0}', {1})"
    database.execute(job.format(1, "'doing'"))
    database.execute(job.format(2, "'succeeded'"))
    database.execute("INSERT INTO procrastinate_events (job_id, type) VALUES (1, 'started'), (2, 'succeeded')")
    result = run("export", "background_task", "--config", str(exported.path), "--until", "2100-01-01")

    assert result.exit_code == 0, result.output
    assert "job2" in result.output
    assert "job1" not in result.output
