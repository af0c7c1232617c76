"""Measure how exact the chart is: rows against increase() in real Prometheus servers, while new label sets come.

Two exporters, one of which is killed once a minute, and beside them one that shows new series with their value at once
(`scrape_interval_seconds: 0`), all scraped every 5 seconds by Prometheus as the machine has it and by the newest. Every
new label set has its own route, API, app and error type, and up to nine rows of each kind. Exit status 1 where a chart
of the first two differs from the rows.
"""

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg

from exporter.database import schema
from tools.stack.programs.catalogue import NEWEST_SUITE
from tools.stack.programs.search import find
from tools.stack.servers import Postgres
from tools.testing.chart import (
    CHECKS,
    CONFIGURATION,
    Served,
    differences,
    prometheus_of,
    rows,
    served,
    wait_for_scrapes,
    write,
)


def main() -> int:
    """Print a line per Prometheus and exporter; return 1 where a chart is not exact."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="for how long (default: 10)")
    parser.add_argument("--a-minute", type=int, default=20, help="new label sets a minute (default: 20)")
    options = parser.parse_args()
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory(prefix="platform-chart-", ignore_cleanup_errors=True))
        folder = Path(name)
        folder.chmod(0o711)
        postgres = stack.enter_context(Postgres(folder, durable=False))
        connection = stack.enter_context(psycopg.connect(postgres.create_database("events"), autocommit=True))
        schema.apply(connection)
        dsn = postgres.dsn_of("events")
        held = CONFIGURATION.replace("scrape_interval_seconds: 1", "scrape_interval_seconds: 5")
        at_once = CONFIGURATION.replace("scrape_interval_seconds: 1", "scrape_interval_seconds: 0")
        exporters = {
            "held": stack.enter_context(served(folder / "held", dsn, held)),
            "held, killed once a minute": stack.enter_context(served(folder / "killed", dsn, held)),
            "values at once": stack.enter_context(served(folder / "once", dsn, at_once)),
        }
        binaries = [find("prometheus"), find("prometheus", suite=NEWEST_SUITE)]
        servers = [
            stack.enter_context(
                prometheus_of(folder, binary, *exporters.values(), name=f"prometheus-{number}", interval_seconds=5)
            )
            for number, binary in enumerate(binaries)
        ]
        since = max(wait_for_scrapes(server, 6, targets=3) for server in servers)
        written = _write(connection, options.minutes, options.a_minute, list(exporters.values())[1])
        names = {f"127.0.0.1:{exporter.port}": title for title, exporter in exporters.items()}
        series = sum(len(rows(connection, what)) for what in CHECKS)
        print(f"{written} new label sets, {series} series compared by exporter and Prometheus", flush=True)
        exact = True
        for server in servers:
            found = differences(connection, server, since)
            for instance, title in names.items():
                mine = [one for one in found if one[1] == instance]
                lost = sum(max(0.0, row - chart) for _, _, _, row, chart in mine)
                more = sum(max(0.0, chart - row) for _, _, _, row, chart in mine)
                title_of = f"Prometheus {server.binary.version:12} {title:28}"
                print(f"{title_of} {len(mine):5} differ, {lost:g} lost, {more:g} too many", flush=True)
                exact &= title == "values at once" or not mine
    return 0 if exact else 1


def _write(connection: psycopg.Connection[Any], minutes: float, a_minute: int, killed: Served) -> int:
    began, number = time.monotonic(), 0
    total = round(minutes * a_minute)
    while number < total:
        write(connection, number)
        number += 1
        if number % a_minute == a_minute // 2:
            killed.kill()
            killed.start()
        time.sleep(max(0.0, began + number * 60 / a_minute - time.monotonic()))
    return number


if __name__ == "__main__":
    sys.exit(main())
