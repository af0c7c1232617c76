"""Rows against the chart: what `increase()` of a real Prometheus says of the rows that are in the tables."""

import contextlib
import math
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import requests

from tools.stack.ports import free_port
from tools.stack.process import poll_until
from tools.stack.programs.search import Binary
from tools.stack.servers import Prometheus
from tools.stack.servers.prometheus import start_flags
from tools.testing.exporter import command

SCRAPED = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: exporter
    static_configs: [{{targets: [{targets}]}}]
"""

CHECKS = {
    'platform_http_requests_total{code="200"}':
        ("route", "SELECT route, sum((status = 200)::int) FROM monitoring.http_request"),
    'platform_http_requests_total{code="500"}':
        ("route", "SELECT route, sum((status = 500)::int) FROM monitoring.http_request"),
    "platform_http_request_duration_seconds_count": ("route", "SELECT route, count(*) FROM monitoring.http_request"),
    "platform_http_request_duration_seconds_sum":
        ("route", "SELECT route, sum(duration_seconds) FROM monitoring.http_request"),
    'platform_http_request_duration_seconds_bucket{le="0.25"}':
        ("route", "SELECT route, sum((duration_seconds <= 0.25)::int) FROM monitoring.http_request"),
    "platform_api_calls_total": ("api", "SELECT api, count(*) FROM monitoring.api_call"),
    'platform_api_call_failures_total{reason="timeout"}':
        ("api", "SELECT api, sum((outcome = 'failure')::int) FROM monitoring.api_call"),
    "platform_scraping_runs_total": ("app", "SELECT app, count(*) FROM monitoring.scraping_run"),
    "platform_scraping_items_total": ("app", "SELECT app, sum(items_processed) FROM monitoring.scraping_run"),
    "platform_user_activity_total": ("app", "SELECT app, count(*) FROM monitoring.user_activity"),
    "platform_errors_total": ("error_type", "SELECT error_type, count(*) FROM monitoring.error"),
    "platform_error_issues_created_total": ("app", "SELECT app, count(DISTINCT fingerprint) FROM monitoring.error"),
    "platform_sample_sold_total":
        ("app", "SELECT app, sum(value) FROM monitoring.sample WHERE kind = 'COUNTER'"),
    "platform_sample_wait_seconds_count":
        ("app", "SELECT app, count(*) FROM monitoring.sample WHERE kind = 'HISTOGRAM'"),
}  # fmt: skip
"""Series -> the label by which they are compared, and what plain SQL says of it."""


def write(connection: psycopg.Connection[Any], number: int) -> None:
    """Write up to 9 rows of every kind that make label sets of their own, and one row each of those there were."""
    name, count = f"n{number}", number % 9 + 1
    for app, extra, rows in ((name, name, count), ("shop", "known", 1)):
        connection.execute(
            """WITH row AS (
                SELECT %(app)s::text AS app, %(extra)s::text AS name, i FROM generate_series(1, %(rows)s) i),
            requests AS (INSERT INTO monitoring.http_request (at, app, route, status, duration_seconds)
                SELECT now(), 'shop', name, CASE WHEN i % 3 = 0 THEN 500 ELSE 200 END, i * 0.1 FROM row),
            calls AS (INSERT INTO monitoring.api_call (at, app, api, outcome, reason, duration_seconds)
                SELECT now(), 'shop', name, CASE WHEN i % 2 = 0 THEN 'failure' ELSE 'success' END,
                    CASE WHEN i % 2 = 0 THEN 'timeout' END, 0.1 FROM row),
            runs AS (INSERT INTO monitoring.scraping_run (at, app, scraper, outcome, duration_seconds, items_processed)
                SELECT now(), app, 's', 'success', 1, i FROM row),
            activity AS (INSERT INTO monitoring.user_activity (at, app, activity) SELECT now(), app, 'login' FROM row),
            errors AS (INSERT INTO monitoring.error (at, app, error_type, fingerprint)
                SELECT now(), app, name, i FROM row)
            INSERT INTO monitoring.sample (at, app, name, kind, value, unit)
            SELECT now(), app, 'sold', 'COUNTER', i, NULL FROM row
            UNION ALL SELECT now(), app, 'wait', 'HISTOGRAM', i, 's' FROM row""".replace(" % ", " %% "),
            {"app": app, "extra": extra, "rows": rows},
        )


def rows(connection: psycopg.Connection[Any], what: str) -> dict[str, float]:
    """Return what plain SQL says of a series, by its label, without zeros."""
    found = connection.execute(f"{CHECKS[what][1]} GROUP BY 1".encode()).fetchall()
    return {label: float(value) for label, value in found if value}


@dataclass
class Served:
    """An exporter on one address, which may be killed and started again."""

    config: Path
    port: int
    log: Path
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self.log.open("ab") as log:
            options = ("--config", self.config, "--listen", f"127.0.0.1:{self.port}", "--web.enable-lifecycle")
            argv = command("serve", *options)
            self.process = subprocess.Popen(argv, stdout=log, stderr=log)
        poll_until(self.answers, what="the exporter")

    def answers(self) -> bool:
        """Return whether every source was read."""
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(f"http://127.0.0.1:{self.port}/-/ready", timeout=10).ok
        return False

    def reload(self) -> None:
        requests.post(f"http://127.0.0.1:{self.port}/-/reload", timeout=60).raise_for_status()

    def kill(self) -> None:
        """End it at once."""
        if self.process:
            self.process.kill()
            self.process.wait()


CONFIGURATION = """
database: {{dsn: "{dsn}", poll_interval_seconds: 1}}
scrape_interval_seconds: 1
state_folder: {folder}
limits: {{series_per_metric: 5000}}
"""


@contextlib.contextmanager
def served(folder: Path, dsn: str, text: str = CONFIGURATION) -> Iterator[Served]:
    """Run an exporter of the event store at `dsn` until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "platform-exporter.yml").write_text(text.format(dsn=dsn, folder=folder / "state"))
    exporter = Served(folder / "platform-exporter.yml", free_port(), folder / "exporter.log")
    try:
        exporter.start()
        yield exporter
    finally:
        exporter.kill()


def prometheus_of(
    folder: Path, binary: Binary, *exporters: Served, flags: bool = True, name: str = "chart"
) -> Prometheus:
    """Return a Prometheus, not started, that scrapes them every second."""
    targets = ", ".join(f'"127.0.0.1:{exporter.port}"' for exporter in exporters)
    config = SCRAPED.format(targets=targets)
    return Prometheus(folder, config, name=name, binary=binary, flags=start_flags(binary) if flags else ())


def by_label(
    prometheus: Prometheus, query: str, label: str, at: float | None = None, instance: str = ""
) -> dict[str, float]:
    """Return a query's values by one label, of one replica or the highest of all, without zeros."""
    query = f'({query}) and on (instance) up{{instance="{instance}"}}' if instance else query
    found = prometheus.query(f"sum by ({label}) (max without (instance) ({query}))", at)
    values = {sample["metric"].get(label, ""): float(sample["value"][1]) for sample in found}
    return {name: value for name, value in values.items() if value}


def scrapes(prometheus: Prometheus) -> dict[str, float]:
    """Return the time of the last scrape that succeeded, by instance."""
    # Of a selector alone, timestamp() is the sample's own time.
    found = prometheus.query('timestamp(up{job="exporter"}) and up{job="exporter"} == 1')
    return {sample["metric"]["instance"]: float(sample["value"][1]) for sample in found}


def all_scrapes(prometheus: Prometheus) -> dict[str, float]:
    """Wait until the last scrape of every target succeeded; return their times by instance."""
    count = len(prometheus.targets())
    poll_until(lambda: len(scrapes(prometheus)) == count > 0, what=f"scrapes of {count} targets")
    found = scrapes(prometheus)
    return found if len(found) == count else all_scrapes(prometheus)


def wait_for_scrapes(prometheus: Prometheus, count: int = 1, targets: int = 1) -> float:
    """Wait until all targets were scraped so many seconds from now on; return the time."""
    since = time.time() + count - 1
    poll_until(
        lambda: len([at for at in scrapes(prometheus).values() if at > since]) >= targets,
        interval_seconds=0.2, what="scrapes",
    )  # fmt: skip
    return time.time()


def close(found: Mapping[str, float], expected: Mapping[str, float]) -> bool:
    """Tell whether two sets of values are the same but for the rounding of sums."""
    return found.keys() == expected.keys() and all(
        math.isclose(found[name], value, rel_tol=1e-9) for name, value in expected.items()
    )


def settled(prometheus: Prometheus, expected: Mapping[str, dict[str, float]]) -> None:
    """Wait until every replica's counters in Prometheus are what is expected, by series."""

    def holds() -> bool:
        return all(
            close(by_label(prometheus, what, CHECKS[what][0], instance=instance), values)
            for what, values in expected.items()
            for instance in all_scrapes(prometheus)
        )

    poll_until(holds, interval_seconds=0.5, what="all rows in Prometheus")


def differences(
    connection: psycopg.Connection[Any], prometheus: Prometheus, since: float
) -> list[tuple[str, str, str, float, float]]:
    """Return where increase() since a time, at a replica's last scrape, is not what the rows say.

    Each is (series, instance, label, rows, chart).
    """
    expected = {what: rows(connection, what) for what in CHECKS}
    settled(prometheus, expected)
    found = []
    for instance, at in all_scrapes(prometheus).items():
        for what, values in expected.items():
            window = f"{what}[{math.ceil(at - since)}s]"
            chart = by_label(prometheus, f"increase({window})", CHECKS[what][0], at, instance)
            found += [
                (what, instance, label, values.get(label, 0.0), chart.get(label, 0.0))
                for label in values.keys() | chart.keys()
                if not math.isclose(values.get(label, 0.0), chart.get(label, 0.0), rel_tol=1e-9)
            ]
    return found
