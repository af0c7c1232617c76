"""`reconcile`: counters are what plain SQL says, whatever was removed, rejected, folded or not yet counted."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import Result

from exporter.aggregation import retention, tally
from exporter.aggregation.snapshot import Window
from exporter.config import loader
from exporter.config.settings import Limits, Retention
from exporter.inspection import reconciler as reconciling
from exporter.inspection.reconciler import Reconciler
from tests.aggregation.counting import Store, add_runs
from tests.servers import Database, poll_until
from tests.sources.demo import DEMO, DemoSource, run
from tools.stack.servers import Prometheus
from tools.testing.exporter import exporting

Reconcile = Callable[..., Result]

ROWS = """INSERT INTO monitoring.http_request (at, app, route, status, duration_seconds)
    SELECT now() - interval '1 h', 'a' || i % 3, '/' || i, 200 + i % 4, i * 0.37 FROM generate_series(1, 300) i;
INSERT INTO monitoring.http_request (at, app, route, status, duration_seconds) VALUES (now(), 'a', '/', 200, -1);
INSERT INTO monitoring.scraping_run (at, app, scraper, outcome, duration_seconds, items_processed)
    SELECT now(), 'a', 's', 'failure', i, i FROM generate_series(1, 50) i;
INSERT INTO monitoring.sample (at, app, name, kind, value, unit)
    SELECT now(), 'a', 'n' || i, (ARRAY['counter', 'histogram', 'summary', 'gauge'])[1 + i % 4], i, 'ms'
    FROM generate_series(1, 300) i;
INSERT INTO monitoring.error (at, app, error_type) SELECT now(), 'a', 'E' FROM generate_series(1, 7)"""

OLD = """INSERT INTO monitoring.scraping_run (at, app, scraper, outcome, duration_seconds, items_processed)
    SELECT current_date - 200, 'a', 's', 'success', i, i FROM generate_series(1, 40) i"""


@pytest.fixture
def store(store_database: Database) -> Store:
    return Store(store_database.dsn, limits=Limits(series_per_metric=30))


@pytest.fixture
def reconcile(store: Store, tmp_path: Path) -> Reconcile:
    """Return a function that reconciles the store."""
    path = tmp_path / "c.yml"
    path.write_text(f"database: {{dsn: '{store.dsn}'}}\n")
    return lambda *options: run("reconcile", "--config", str(path), *options)


def figures(result: Result) -> dict[str, dict[str, Any]]:
    """Return what --json says of each metric of the only source."""
    (source,) = json.loads(result.stdout)["sources"]
    assert source["problems"] == []
    return {one["metric"]: one for one in source["metrics"]}


def maintain(store: Store) -> None:
    """Run maintenance as the exporter does."""
    with store.connect_as_exporter() as connection:
        list(retention.maintain(connection, store.plan, Retention()))


def test_everything_is_exact(store: Store, reconcile: Reconcile) -> None:
    """Rejected rows, folded label sets and samples included; and rows that come later are not yet counted."""
    store.execute(ROWS)
    store.poll()
    add_runs(store, rows=3)
    result = reconcile("--json")
    found = figures(result)

    assert result.exit_code == 0
    assert {one["difference"] for one in found.values()} == {0}
    assert found["platform_http_requests_total"]["counter"] == found["platform_http_requests_total"]["rows"] == 300
    assert found["platform_exporter_rows_rejected_total negative"]["counter"] == 1
    assert found["platform_scraping_items_total"]["rows"] == 50 * 51 / 2
    assert {"platform_sample counter", "platform_sample_count histogram"} <= set(found)
    assert json.loads(result.stdout)["sources"][0]["rows_waiting"] == 3
    assert store.value("platform_exporter_series_folded_total")


def test_what_retention_removed_is_known(store: Store, reconcile: Reconcile) -> None:
    """By metric: partitions and rows of the default partition, also those of which some were rejected."""
    store.execute("SELECT monitoring.ensure_partition('scraping_run', current_date - 200)")
    store.execute(OLD + "; " + OLD.replace("200", "300").replace(", i, i FROM", ", i - 10, i FROM"))
    add_runs(store, rows=5)
    store.poll()
    maintain(store)
    result = reconcile("--json")
    found = figures(result)

    assert store.one("SELECT count(*) FROM monitoring.scraping_run") == 5
    assert result.exit_code == 0
    assert {one["difference"] for one in found.values()} == {0}
    runs = found["platform_scraping_runs_total"]
    assert (runs["counter"], runs["rows"], runs["removed"]) == (76, 5, 71)
    assert found["platform_exporter_rows_rejected_total negative"]["removed"] == 9


def test_a_row_that_comes_while_its_day_is_read_keeps_the_day(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be missing in what is recorded: the day is dropped the next time."""
    store.execute("SELECT monitoring.ensure_partition('scraping_run', current_date - 200)")
    store.execute(OLD)
    store.poll()
    read = tally.before_removal

    def late(connection: Any, stream: Any, going: Window) -> tally.Removal:
        removal = read(connection, stream, going)
        if stream.name == "scraping_run" and "day" in going.parameters:
            store.execute(OLD.replace("40", "1"))
            store.poll()
        return removal

    with monkeypatch.context() as patched:
        patched.setattr(tally, "before_removal", late)
        maintain(store)
    kept = store.one("SELECT count(*) FROM monitoring.scraping_run")
    maintain(store)

    assert (kept, store.one("SELECT count(*) FROM monitoring.scraping_run")) == (41, 0)
    assert store.one("SELECT value FROM monitoring.removed WHERE metric = 'platform_scraping_runs_total'") == 41


def test_two_replicas_remove_a_day_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slower one, which had read the day as well, neither fails nor records it again."""
    store.execute("SELECT monitoring.ensure_partition('scraping_run', current_date - 200)")
    store.execute(OLD)
    store.poll()
    read = tally.before_removal

    def overtaken(connection: Any, stream: Any, going: Window) -> tally.Removal:
        removal = read(connection, stream, going)
        with monkeypatch.context() as other:
            other.setattr(tally, "before_removal", read)
            maintain(store)
        return removal

    monkeypatch.setattr(tally, "before_removal", overtaken)
    maintain(store)

    assert store.one("SELECT count(*) FROM monitoring.scraping_run") == 0
    assert store.one("SELECT value FROM monitoring.removed WHERE metric = 'platform_scraping_runs_total'") == 40


def test_writers_do_not_wait_while_a_day_is_read(store: Store) -> None:
    """Reading takes no lock that a writer of the same day would wait for."""
    store.execute("SELECT monitoring.ensure_partition('scraping_run', current_date - 200)")
    store.execute(OLD)
    store.poll()
    (stream,) = (stream for stream in store.plan.streams if stream.name == "scraping_run")
    with store.connect() as writer, store.connect_as_exporter() as connection:
        writer.execute("BEGIN")
        writer.execute(OLD)
        removal = tally.before_removal(connection, stream, Window("t.at < now()", {}))
        writer.execute("COMMIT")

    assert removal.tally is not None
    assert removal.tally["platform_scraping_runs_total", ""].value == 40


@pytest.mark.parametrize(
    ("damage", "metric", "difference"),
    [
        ("DELETE FROM monitoring.scraping_run WHERE duration_seconds > 40", "platform_scraping_runs_total", 10),
        ("UPDATE monitoring.rollup SET value = value - 2 WHERE metric = 'platform_errors_total'",
         "platform_errors_total", -2),
    ],
    ids=["rows deleted manually", "a counter changed"],
)  # fmt: skip
def test_what_has_no_cause_remains(
    store: Store, reconcile: Reconcile, damage: str, metric: str, difference: float
) -> None:
    """By how much, with exit status 1 and a line that says so."""
    store.execute(ROWS)
    store.poll()
    store.execute(damage)
    found, text = figures(reconcile("--json"))[metric], reconcile()

    assert (found["difference"], found["explained"], text.exit_code) == (difference, False, 1)
    assert f"{difference:+} UNEXPLAINED" in text.stdout
    assert max(map(len, text.stdout.splitlines())) <= 100


def test_rows_that_were_ahead_of_the_clock(store: Store, reconcile: Reconcile) -> None:
    """They are good rows later: the difference is as large as what was rejected."""
    store.execute(ROWS)
    store.execute("UPDATE monitoring.scraping_run SET at = now() + interval '1 d' WHERE duration_seconds <= 3")
    store.poll()
    store.execute("UPDATE monitoring.scraping_run SET at = now() WHERE at > now()")
    result = reconcile("--json")
    found = figures(result)["platform_scraping_runs_total"]

    assert (result.exit_code, found["difference"]) == (0, -3)
    assert found["why"].startswith("3 rows were ahead of the clock")


def test_before_the_first_count(store: Store, reconcile: Reconcile) -> None:
    """It says what to do."""
    result = reconcile()

    assert result.exit_code == 1
    assert "never counted in this database: start `platform-exporter serve`" in " ".join(result.stdout.split())


@pytest.mark.parametrize("preset", ["stratlogic", "scitex"])
def test_an_adopted_source(database: Database, tmp_path: Path, preset: str) -> None:
    """Malformed rows included; rows that the application deletes are explained by its table's statistics."""
    database.load_sql(DEMO / f"{preset}.sql.gz")
    database.load_sql(Path(__file__).parents[1] / "sources" / f"{preset}_more.sql")
    source = DemoSource(database, preset, tmp_path)
    assert source.adopt().exit_code == 0
    source.poll()
    exact = run("reconcile", preset, "--config", str(source.path), "--json")
    table = {"stratlogic": "user_activity", "scitex": "monitoring_app_useractivity"}[preset]
    database.execute(f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} LIMIT 9)")

    def explained() -> bool:
        return run("reconcile", preset, "--config", str(source.path)).exit_code == 0

    poll_until(explained)
    after = figures(run("reconcile", preset, "--config", str(source.path), "--json"))["platform_user_activity_total"]
    assert {one["difference"] for one in figures(exact).values()} == {0}
    assert after["difference"] == 9
    assert "9 deleted" in after["why"]


def test_on_a_schedule(store: Store, tmp_path: Path) -> None:
    """In a thread of its own, as gauges; what has no cause is not 0."""
    store.execute(ROWS)
    store.poll()
    store.execute("UPDATE monitoring.rollup SET value = value + 2 WHERE metric = 'platform_errors_total'")
    path = tmp_path / "c.yml"
    path.write_text(f"database: {{dsn: '{store.dsn}'}}\nreconcile: {{interval_seconds: 3600}}\n")
    reconciler = Reconciler(loader.load(path))
    reconciler.start()
    try:
        poll_until(lambda: list(reconciler.differences()))
        ((source, _, differences),) = reconciler.differences()
    finally:
        reconciler.stop()

    assert source == "native"
    assert {metric: value for metric, value in differences.items() if value} == {"platform_errors_total": 2}
    assert not any(thread.name == "reconcile" for thread in threading.enumerate())


def test_a_source_that_is_counted_later(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the first start, when nothing is counted yet: it is tried again soon, not after the whole interval."""
    monkeypatch.setattr(reconciling, "RETRY_SECONDS", 0.1)
    path = tmp_path / "c.yml"
    path.write_text(f"database: {{dsn: '{store.dsn}'}}\nreconcile: {{interval_seconds: 604800}}\n")
    reconciler = Reconciler(loader.load(path))
    reconciler.start()
    try:
        before = list(reconciler.differences())
        store.execute(ROWS)
        store.poll()
        poll_until(lambda: list(reconciler.differences()))
    finally:
        reconciler.stop()

    assert before == []


SINCE = 'platform_exporter_reconcile_success_timestamp_seconds{source="native"}'

JOBS = """app: shop
streams:
  jobs:
    table: public.jobs
    kind: background_task
    counted_when: t.status IN ('DONE', 'FAILED')
    columns: {at: t.at, task: t.task, outcome: "CASE t.status WHEN 'DONE' THEN 'success' ELSE 'failure' END"}
"""


def test_rows_that_count_later(database: Database, tmp_path: Path) -> None:
    """Those that do not meet their condition yet are not a difference; those that do not any more are explained."""
    database.execute(
        "CREATE TABLE jobs (id bigserial PRIMARY KEY, at timestamptz DEFAULT now(), task text, status text); "
        "INSERT INTO jobs (task, status) SELECT 'a', 'RUNNING' FROM generate_series(1, 10)"
    )
    (tmp_path / "m.yml").write_text(JOBS)
    source = DemoSource(database, "m.yml", tmp_path)
    assert source.adopt().exit_code == 0
    options = ("--config", str(source.path), "--json")
    found = []
    for change in (
        "status = 'DONE' WHERE id <= 6",
        "status = 'RUNNING' WHERE id <= 2",
        "status = 'FAILED' WHERE id <= 2",
    ):
        source.poll()
        database.execute(f"UPDATE jobs SET {change}")
        source.poll()
        found.append(figures(run("reconcile", *options))["platform_background_tasks_total"])

    assert [(one["counter"], one["rows"], one["explained"]) for one in found] == [
        (6, 6, True),
        (6, 4, True),
        (6, 6, True),
    ]
    assert found[1]["why"] == "2 rows that were counted do not meet `counted_when` any more"


@pytest.mark.parametrize(
    ("damage", "explained"),
    [("SELECT 1", True), ("UPDATE monitoring.rollup SET value = value - 5 WHERE metric ~ '^platform_'", False)],
    ids=["more changes than rows", "fewer"],
)
def test_rows_of_which_every_change_counts(database: Database, tmp_path: Path, damage: str, explained: bool) -> None:
    """A counter is at least its rows; one that lost some is not explained."""
    database.execute(
        "CREATE TABLE jobs (id bigserial PRIMARY KEY, at timestamptz DEFAULT now(), task text, status text); "
        "INSERT INTO jobs (task, status) SELECT 'a', 'DONE' FROM generate_series(1, 4)"
    )
    (tmp_path / "m.yml").write_text(JOBS.replace("    columns:", "    counted: every_change\n    columns:"))
    source = DemoSource(database, "m.yml", tmp_path)
    assert source.adopt().exit_code == 0
    source.poll()
    database.execute("UPDATE jobs SET status = 'FAILED' WHERE id <= 2")
    source.poll()
    database.execute(damage)
    result = run("reconcile", "--config", str(source.path), "--json")
    found = figures(result)["platform_background_tasks_total"]

    assert (found["rows"], found["difference"] > 0, found["explained"]) == (4, explained, explained)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("TRUNCATE jobs", "the table was emptied or written again after rows were counted"),
        (
            "ALTER TABLE jobs RENAME TO jobs_old; CREATE TABLE jobs (LIKE jobs_old INCLUDING ALL)",
            "the table is another one than was counted, made again or restored: only 0 rows were ever written to it",
        ),
    ],
    ids=["emptied", "made again"],
)
def test_a_table_that_was_emptied_or_made_again(database: Database, tmp_path: Path, change: str, why: str) -> None:
    """Counters stay above the rows there are, and reconcile says by what; where they are below nothing explains it."""
    database.execute(
        "CREATE TABLE jobs (id bigserial PRIMARY KEY, at timestamptz DEFAULT now(), task text, status text); "
        "INSERT INTO jobs (task, status) SELECT 'a', 'DONE' FROM generate_series(1, 4)"
    )
    (tmp_path / "m.yml").write_text(JOBS)
    source = DemoSource(database, "m.yml", tmp_path)
    assert source.adopt().exit_code == 0
    database.execute(change)
    found = figures(run("reconcile", "--config", str(source.path), "--json"))["platform_background_tasks_total"]

    assert found["difference"] == 4
    assert found["why"].startswith(why)


def test_a_removal_that_is_cancelled_is_none(store: Store) -> None:
    """An exporter that is stopped while it reads a day does not take its rows for unreadable: they stay."""
    store.poll()
    window = Window("true", {})
    (stream,) = (one for one in store.plan.streams if one.name == "scraping_run")
    with store.connect() as other, store.connect_as_exporter() as connection, other.transaction():
        other.execute("LOCK TABLE monitoring.scraping_run")
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"

        def cancel() -> None:
            poll_until(lambda: store.one(waiting, [connection.info.backend_pid]) == 1)
            connection.cancel_safe()

        thread = threading.Thread(target=cancel)
        thread.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            tally.before_removal(connection, stream, window)
        thread.join()


def test_what_prometheus_has(store: Store, tmp_path: Path, start_prometheus: Callable[..., Prometheus]) -> None:
    """Rows, counter and chart side by side: the same number, of all replicas once."""
    store.execute(ROWS)
    store.poll()  # so that the first look, at the start, has something to compare
    configuration = f"database: {{dsn: '{store.dsn}'}}\nreconcile: {{interval_seconds: 60}}\n"
    with exporting(tmp_path, configuration) as exporter:
        address = exporter.base.removeprefix("http://")
        scrape = tmp_path / "prometheus.yml"
        replicas = [address, address.replace("127.0.0.1", "localhost")]
        job = {"job_name": "platform-exporter", "static_configs": [{"targets": replicas}]}
        scrape.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}))
        prometheus = start_prometheus(scrape)
        path = tmp_path / "c.yml"
        path.write_text(configuration + f"stack: {{prometheus_url: '{prometheus.url}'}}\n")

        def equal() -> dict[str, dict[str, float]] | None:
            result = run("reconcile", "--config", str(path), "--json")
            charts = {one["metric"]: one for one in json.loads(result.stdout)["prometheus"]}
            return charts if all(one["value"] == pytest.approx(one["counter"]) for one in charts.values()) else None

        charts = poll_until(equal, interval_seconds=0.5)
        poll_until(lambda: SINCE in exporter.metrics(), interval_seconds=0.2)
        metrics = exporter.metrics()
        text = run("reconcile", "--config", str(path)).stdout

    assert charts["platform_http_requests_total"]["counter"] == 300
    assert "in Prometheus" in text
    assert metrics['platform_exporter_reconcile_difference{metric="platform_errors_total",source="native"}'] == 0
    assert max(map(len, text.splitlines())) <= 100
