"""Measure what the SDK costs: in the request thread, and altogether.

    python -m tools.benchmarks.sdk_core [--events 200000] [--dsn DSN]

Without --dsn a PostgreSQL is started for the time of it, durable as it comes. Prints microseconds per append, per
exception 30 frames deep, per response of a scraper that is looked at for blocks,
microseconds of this process's CPU per event with everything in it, and events stored per
second by one process. Ends with 1 where a target is missed or the ledger does not balance.
"""

import argparse
import gc
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

import platform_sdk
from exporter.database import schema
from platform_sdk import client, emit
from platform_sdk.jobs.traffic import HISTORY
from platform_sdk.outgoing.blocks import START_BYTES, Page, block_of, headers_of

TARGETS = {
    "append_us": 2.0,
    "exception_us": 40.0,
    "blocks_us": 15.0,
    "cpu_us_per_event": 20.0,
    "stored_per_second": 40_000.0,
}
ROUNDS = 7


def main() -> int:
    """Run all, print a table, return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--dsn")
    arguments = parser.parse_args()
    with event_store(arguments.dsn) as dsn, tempfile.TemporaryDirectory() as spool:
        options = {"dsn": dsn, "app": "bench", "spool_folder": spool, "sample_above_per_second": None}
        figures = {
            "noop_us": measure(served, 10_000, None),
            "append_us": measure(served, 10_000, options),
            "exception_us": measure(raised, 1_000, options) - measure(raised, 1_000, None),
            "blocks_us": measure(looked_at, 2_000, None) / len(PAGES),
            **throughput(arguments.events, options),
        }
    return report(figures)


@contextmanager
def event_store(dsn: str | None) -> Iterator[str]:
    """Yield the address of a database with the schema."""
    if dsn is not None:
        yield dsn
        return
    from tools.stack.servers import Postgres

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        server = Postgres(Path(name) / "postgres", max_connections=20)
        server.start()
        try:
            server.create_database("bench")
            with psycopg.connect(server.dsn_of("bench"), autocommit=True) as connection:
                schema.apply(connection)
            yield server.dsn_of("bench")
        finally:
            server.destroy()


def served() -> None:
    """Emit a request as a middleware does."""
    emit.request_finished(
        "/articles/{id}", "GET", 200, 0.0123, 1200, 4711, "reader", "3f2a9c", "203.0.113.9",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36",
    )  # fmt: skip


def raised() -> None:
    """Emit an exception from 30 frames down."""
    try:
        descend(29)
    except ValueError as error:
        emit.exception(error)


_TEXT = b'<link rel="stylesheet" href="/a.css"><div class="card"><a href="/items/17">A chair &amp; more</a></div>\n'
_HEADERS = [(f"X-Header-{number}", "value") for number in range(18)]
_HTML, _JSON = [*_HEADERS, ("Content-Type", "text/html; charset=utf-8"), ("Server", "cloudflare")], [
    *_HEADERS, ("Content-Type", "application/json")
]  # fmt: skip
PAGES = [
    (_HTML, b"<!DOCTYPE html><html><head><title>Item 17</title></head><body>" + _TEXT * times)
    for times in (8, 30, 100, 600)
] + [(_JSON, b'{"items": [1, 2, 3]}')]
"""Good pages of 1, 3, 10 and 60 KB, and JSON: the usual ones, which cost most."""


def looked_at() -> None:
    """Look at some responses as a scraping job does."""
    for headers, body in PAGES:
        page = Page("GET", "/items/17", 200, headers_of(headers), body[:START_BYTES], len(body))
        if block_of(page) or HISTORY.is_small("shop.example", page):
            raise AssertionError("a good page was called blocked")


def descend(frames: int) -> None:
    if frames == 0:
        raise ValueError("out of range")
    descend(frames - 1)


def measure(function: Callable[[], None], times: int, options: dict[str, object] | None) -> float:
    """Return the median cost of a call in microseconds, in this thread alone; the writer sleeps meanwhile."""
    costs = []
    for _ in range(ROUNDS):
        if options is not None:
            limits = {"plain_events": 10**6, "urgent_events": 10**6, "buffer_bytes": 2**31, "batch_events": 10**6}
            platform_sdk.init(**{**options, **limits, "flush_interval_seconds": 3600, "spool_folder": ""})
            client.current.running = True  # type: ignore[union-attr]
        gc.collect()
        began = time.thread_time_ns()
        for _ in range(times):
            function()
        costs.append((time.thread_time_ns() - began) / times / 1000)
        if options is not None:
            client._writer._abandon()  # type: ignore[union-attr]
            client.current = client._writer = client._options = None
    return statistics.median(costs)


def throughput(events: int, options: dict[str, object]) -> dict[str, float]:
    """Return what it takes to store events produced as fast as they are taken."""
    platform_sdk.init(**options)
    served()
    assert platform_sdk.flush(10), "the database does not answer"
    cpu, began = usage(), time.perf_counter()
    for number in range(events):
        served()
        if number % 500 == 0:
            while client.current.waiting > 12_000:  # type: ignore[union-attr]
                time.sleep(0.001)
    assert platform_sdk.flush(60), "not everything was stored in a minute"
    seconds, cpu = time.perf_counter() - began, usage() - cpu
    stats = platform_sdk.stats()
    platform_sdk.close()
    with psycopg.connect(str(options["dsn"])) as connection:
        rows = connection.execute("SELECT count(*) FROM monitoring.http_request").fetchone()
    balance = stats["produced"] - (rows[0] if rows else 0)
    return {"cpu_us_per_event": cpu / events * 1e6, "stored_per_second": events / seconds, "ledger_difference": balance}


def usage(who: int = resource.RUSAGE_SELF) -> float:
    """Return the seconds of CPU used by this process, or by its children that ended."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def report(figures: dict[str, float]) -> int:
    """Print the figures beside their targets; return 1 where one is missed."""
    missed = 0
    for name, figure in figures.items():
        target = TARGETS.get(name)
        good = target is None or (figure >= target if name == "stored_per_second" else figure <= target)
        if name == "ledger_difference":
            good = figure == 0
        missed += not good
        shown = "" if target is None else f"target {target:g}"
        print(f"{name:22} {figure:12.2f}   {shown:18} {'' if good else 'MISSED'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
