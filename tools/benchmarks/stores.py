"""Measure what one event store takes and what two take, in turns: `python -m tools.benchmarks.stores`.

    end to end  applications emit through the SDK as fast as events are stored: events a second, from the first call to
                the counter in /metrics that has the last
    counting    rows that are there at once: rows a second from their commit to the counter. A poll of a store is one
                core of its server, so two stores use two

Each side has an exporter of its own. The two PostgreSQL servers, without fsync, share the machine with the exporters
and the applications: on one of few cores the first ratio is near 1, as the cores are busy with either. Exit status 1
where a counter is not what was emitted.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from exporter.database import schema
from platform_sdk.stores import chosen
from tools.stack.servers import Postgres
from tools.testing.exporter import Exporter, exporting, value

ROUNDS, APPS, EVENTS, ROWS = 3, 4, 20_000, 300_000
POLL_SECONDS = 0.5
REQUESTS = "platform_http_requests_total"
SECONDS_A_DAY = 86_400

APPLICATION = """
import sys, time, platform_sdk
from platform_sdk import emit
app, events, dsns = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
platform_sdk.init(dsn=dsns, app=app, spool_folder="", sample_above_per_second=None, plain_events=50_000,
                  buffer_bytes=2**30, connect_timeout_seconds=120, statement_timeout_seconds=120)
print("ready", flush=True)
sys.stdin.readline()
for number in range(events):
    emit.request_finished(f"/things/{number % 40}", "GET", 200, 0.05, 1200, 5, f"user{number % 2000}", "s1",
                          "203.0.113.9", "Mozilla/5.0")
    if number % 1000 == 0:
        while platform_sdk.stats().buffered > 30_000:
            time.sleep(0.005)
assert platform_sdk.flush(300)
assert platform_sdk.stats().stored == events
"""

ADD = """INSERT INTO monitoring.http_request (at, app, route, method, status, duration_seconds, user_id)
SELECT now(), 'rows', '/things/' || i %% 40, 'GET', 200, random(), 'user' || i %% 2000 FROM generate_series(1, %s) i"""


@dataclass
class Side:
    """An exporter with its stores, and what it has to show."""

    name: str
    dsns: list[str]
    exporter: Exporter
    apps: list[str]
    emitted: int = 0
    rates: dict[str, list[float]] = field(default_factory=lambda: {"end to end": [], "counting": []})

    def shown(self) -> float:
        """Return what its counters say."""
        return value(self.exporter.metrics(), REQUESTS) or 0.0

    def wait(self) -> None:
        """Wait until all that was emitted is counted."""
        while self.shown() < self.emitted:
            time.sleep(0.02)


def main() -> int:
    """Run both sides in turns, and print a table."""
    with tempfile.TemporaryDirectory(prefix="platform-benchmark-") as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o711)
        settings = {"shared_buffers": "256MB", "max_wal_size": "4GB", "checkpoint_timeout": "30min"}
        servers = [
            stack.enter_context(Postgres(folder / place, durable=False, settings=settings)) for place in ("a", "b")
        ]
        one = side(stack, folder, "one", servers[:1])
        two = side(stack, folder, "two", servers)
        print(f"PostgreSQL {servers[0].version}, {os.cpu_count()} cores, {ROUNDS} rounds in turns, medians", flush=True)
        for number in range(ROUNDS):
            for each in (one, two):
                for what, measure in (("end to end", end_to_end), ("counting", counting)):
                    each.rates[what].append(measure(each))
                    print(f"round {number + 1}: {what}, {each.name}: {each.rates[what][-1]:,.0f} a second", flush=True)
        report(one, two)
        return int(any(each.shown() != each.emitted for each in (one, two)))


def side(stack: ExitStack, folder: Path, name: str, servers: list[Postgres]) -> Side:
    """Return a side: a database in each server, an exporter, and apps that are spread over them evenly."""
    dsns = [server.create_database(f"events_{name}") for server in servers]
    for dsn in dsns:
        with psycopg.connect(dsn, autocommit=True) as connection:
            schema.apply(connection)
    lines = [f"database: {{dsn: '{dsns[0]}', poll_interval_seconds: {POLL_SECONDS}}}", "scrape_interval_seconds: 0"]
    lines += ["sources:", "  - preset: native"]
    lines += [
        f"  - {{preset: native, name: second, database: {{dsn: '{dsn}', poll_interval_seconds: {POLL_SECONDS}}}}}"
        for dsn in dsns[1:]
    ]
    (folder / name).mkdir()
    exporter = stack.enter_context(exporting(folder / name, "\n".join(lines)))
    found: dict[str, list[str]] = {dsn: [] for dsn in dsns}
    number = 0
    while any(len(apps) < APPS // len(dsns) for apps in found.values()):
        app, number = f"app{number}", number + 1
        found[chosen(dsns, app, socket.gethostname())].append(app)
    return Side(name, dsns, exporter, [app for apps in found.values() for app in apps[: APPS // len(dsns)]])


def end_to_end(each: Side) -> float:
    """Return the events a second of applications that start at once, until all are counted."""
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen([sys.executable, "-c", APPLICATION, app, str(EVENTS), *each.dsns],
                                 text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            for app in each.apps
        ]  # fmt: skip
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        began = time.monotonic()
        for process in processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        each.emitted += EVENTS * len(processes)
        for process in processes:
            assert process.wait(600) == 0
        each.wait()
        return EVENTS * len(processes) / (time.monotonic() - began)


def counting(each: Side) -> float:
    """Return the rows a second of polls, from the commit of all rows to the counter that has them."""
    with ExitStack() as stack:
        connections = [stack.enter_context(psycopg.connect(dsn)) for dsn in each.dsns]
        for connection in connections:
            connection.execute(ADD, [ROWS // len(connections)])
        each.emitted += ROWS
        began = time.monotonic()
        for connection in connections:
            connection.commit()
        each.wait()
        return ROWS / (time.monotonic() - began)


def report(one: Side, two: Side) -> None:
    """Print rates, ratios, the days' worth, and whether the counters are exact."""
    for what in one.rates:
        rates = [statistics.median(each.rates[what]) for each in (one, two)]
        spread = [b / a for a, b in zip(one.rates[what], two.rates[what], strict=True)]
        print(
            f"{what:<11} one store {rates[0]:>9,.0f} a second ({rates[0] * SECONDS_A_DAY / 1e6:,.0f} million a day), "
            f"two {rates[1]:>9,.0f}, ratio {rates[1] / rates[0]:.2f} ({min(spread):.2f} - {max(spread):.2f})"
        )
    with psycopg.connect(one.dsns[0]) as connection:
        row = connection.execute(
            "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('monitoring.http_request') WHERE isleaf"
        ).fetchone()
        assert row
        print(f"on disk     {float(row[0]) / one.emitted:,.0f} bytes a request, indexes included")
    for each in (one, two):
        print(f"{each.name:<11} emitted {each.emitted:,}, counters {each.shown():,.0f}")


if __name__ == "__main__":
    sys.exit(main())
