"""Measure the exposition, with a PostgreSQL and a Redis of its own: `python -m tools.benchmarks.exposition`."""

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import psycopg
import requests

from exporter.database import schema
from tools.stack.process import poll_until
from tools.stack.servers import Postgres, Redis
from tools.testing.databases import Database, fresh_database
from tools.testing.exporter import Exporter, exporting, value
from tools.testing.page_server import serving

T = TypeVar("T")

SERIES, EVENTS, SCRAPES, FROZEN_SCRAPES, VISIBLE = 2_000, 1_000_000, 500, 20, 100
POLL_SECONDS, PROBE_TIMEOUT_SECONDS = 0.5, 1.0

# 154 routes of 13 series each, a histogram and a counter: with the rest just over 2,000.
FILL = """INSERT INTO monitoring.http_request (at, app, route, status, duration_seconds, user_id)
SELECT now() - n * interval '1 ms', 'shop', '/route/' || n %% 154, 200, (n %% 1000) / 100.0, n %% 5000
FROM generate_series(%s, %s) n"""

COUNT_AT_SCRAPE = """SELECT app, route, method, status, count(*), sum(duration_seconds),
count(*) FILTER (WHERE duration_seconds <= 0.1), count(*) FILTER (WHERE duration_seconds <= 1)
FROM monitoring.http_request GROUP BY 1, 2, 3, 4"""


def main() -> None:
    """Run everything, one after the other, and print a line each."""
    with tempfile.TemporaryDirectory(prefix="platform-benchmark-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with Postgres(folder / "postgres", durable=False) as postgres, Redis(folder / "redis") as redis:
            print(f"{'what':<58} {'measured':>22} {'to reach':>12}")
            with fresh_database(postgres) as database:
                run(folder, database, postgres, redis)


def run(folder: Path, database: Database, postgres: Postgres, redis: Redis) -> None:
    """Fill the store, start the exporter and measure."""
    with database.connect() as connection:
        schema.apply(connection)
        for start in range(1, EVENTS, 100_000):
            connection.execute(FILL, [start, start + 99_999])
    text = f"""database: {{dsn: '{database.dsn}', poll_interval_seconds: {POLL_SECONDS}}}
probe_timeout_seconds: {PROBE_TIMEOUT_SECONDS}
probes:
  postgresql: [{{name: main, dsn: '{postgres.dsn_of("postgres")}'}}]
  redis: [{{name: main, url: '{redis.url}'}}]
"""
    with exporting(folder, text) as exporter:
        series = len(exporter.metrics())
        report(f"series exposed after {EVENTS:,} events", str(series), f">= {SERIES:,}")
        healthy(exporter)
        peer(database)
        visible(exporter, database)
        report("resident memory, VmRSS", f"{rss(exporter.process.pid) / 1e6:.1f} MB", "<= 90 MB")
        own = exporter.metrics()["process_resident_memory_bytes"]
        report("resident memory, process_resident_memory_bytes", f"{own / 1e6:.1f} MB", "<= 90 MB")
        frozen(exporter, postgres, redis)


def healthy(exporter: Exporter) -> None:
    """Scrape over HTTP; what is beyond the slowest probe is the exporter's own."""
    took, beyond = [], []
    with requests.Session() as session:
        for _ in range(SCRAPES):
            seconds, text = timed(lambda: session.get(f"{exporter.base}/metrics").text)
            probes = [float(line.rpartition(" ")[2]) for line in text.splitlines()
                      if line.startswith("platform_component_probe_duration_seconds{")]  # fmt: skip
            took.append(seconds)
            beyond.append(seconds - max(probes))
    report(f"{SCRAPES} scrapes, all healthy, p50 / p99", quantiles(took), "")
    report("  beyond the slowest probe, p50 / p99", quantiles(beyond), "p99 <= 25 ms")


def peer(database: Database) -> None:
    """Count everything at every scrape, as exporters without rollups do, over the same events and the same HTTP."""

    def counted() -> str:
        with psycopg.connect(database.dsn) as connection:
            return "\n".join(map(str, connection.execute(COUNT_AT_SCRAPE).fetchall()))

    with serving(counted) as address:
        took = [timed(lambda: requests.get(f"http://{address}/").text)[0] for _ in range(10)]
    report("  peer: count(*) of the same events at scrape, 10 times", quantiles(took), "")


def visible(exporter: Exporter, database: Database) -> None:
    """Commit an event and ask until it is counted."""
    took = []
    with database.connect() as connection:
        for number in range(1, VISIBLE + 1):
            connection.execute(
                "INSERT INTO monitoring.error (at, app, severity, error_type) VALUES (now(), 'fresh', 'low', 'x')"
            )
            began = time.monotonic()
            poll_until(partial(is_counted, exporter, number), 20)
            took.append(time.monotonic() - began)
    report(f"{VISIBLE} events, committed to visible, p50 / p99", quantiles(took), f"<= {POLL_SECONDS + 1:g} s")


def is_counted(exporter: Exporter, number: int) -> bool:
    """Return whether so many fresh events are on /metrics."""
    return (value(exporter.metrics(), "platform_errors_total", app="fresh") or 0) >= number


def frozen(exporter: Exporter, postgres: Postgres, redis: Redis) -> None:
    """Scrape while each and both dependencies hang."""
    for servers in ((redis,), (postgres,), (redis, postgres)):
        for server in servers:
            server.freeze()
        try:
            took, right = [], 0
            for _ in range(FROZEN_SCRAPES):
                seconds, answer = timed(lambda: exporter.get("/metrics"))
                took.append(seconds)
                lines = answer.text.splitlines()
                down = sum(line.startswith("platform_component_up{") and line.endswith(" 0.0") for line in lines)
                right += answer.status_code == 200 and down == len(servers)
        finally:
            for server in servers:
                server.thaw()
        what = " and ".join(type(server).__name__ for server in servers)
        report(f"{FROZEN_SCRAPES} scrapes, {what} frozen, longest", f"{max(took) * 1000:.0f} ms", "<= 1100 ms")
        report("  with HTTP 200 and the right `up` 0", f"{right} of {FROZEN_SCRAPES}", str(FROZEN_SCRAPES))
        poll_until(lambda: value(exporter.metrics(), "platform_component_up") == 2, 20)


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Return how long a call took, and what it gave."""
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def rss(pid: int) -> float:
    """Return a process's resident bytes, as Linux has them."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(float(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))


def quantiles(seconds: list[float]) -> str:
    """Return median and 99th percentile in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return f"{cuts[49] * 1000:.1f} / {cuts[98] * 1000:.1f} ms"


def report(what: str, measured: str, target: str) -> None:
    print(f"{what:<58} {measured:>22} {target:>12}", flush=True)


if __name__ == "__main__":
    main()
