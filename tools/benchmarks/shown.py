"""Measure what it costs a poll to remember what was shown, beside reading the rollups, which it did before.

A source with 5,000 and with 100,000 series (counters, and a tenth histograms), of which none, a hundredth or all grew
since the last poll. Medians of the exporter's own CPU time; the disk is that of the temporary folder.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psycopg

from exporter.aggregation.series import Total, read_totals
from exporter.aggregation.shown import Shown, ShownSources
from exporter.aggregation.snapshot import StoreState, store_state
from exporter.config.settings import Source
from exporter.database import schema
from exporter.sources import mapping
from tools.stack.servers import Postgres

SERIES = (5_000, 100_000)
GROWN = {"none": 0.0, "1 %": 0.01, "all": 1.0}
REPEATS = 5
PLAN = mapping.plan(Source(preset="native"))

FILL = """INSERT INTO monitoring.rollup
    (source, stream, budget, metric, type, labels, value, total, buckets, created_at)
SELECT 'native', 'http_request', 'm', metric, type, jsonb_build_object('app', 'shop', 'route', '/r' || i), i,
    CASE type WHEN 'histogram' THEN 1 END, CASE type WHEN 'histogram' THEN array_fill(1::float8, ARRAY[11]) END, now()
FROM generate_series(1, %s) i CROSS JOIN LATERAL (SELECT
    CASE i %% 10 WHEN 0 THEN 'platform_http_request_duration_seconds' ELSE 'platform_http_requests_total' END,
    CASE i %% 10 WHEN 0 THEN 'histogram' ELSE 'counter' END) made(metric, type)"""


def main() -> int:
    """Print a line per number of series and share that grew."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="platform-shown-")))
        folder.chmod(0o711)
        postgres = stack.enter_context(Postgres(folder, durable=False))
        connection = stack.enter_context(psycopg.connect(postgres.create_database("events"), autocommit=True))
        schema.apply(connection)
        for series in SERIES:
            connection.execute("TRUNCATE monitoring.rollup")
            connection.execute(FILL, [series])
            connection.execute("VACUUM ANALYZE monitoring.rollup")
            memory = ShownSources(None, 5.0).of("native")
            file = ShownSources(folder / str(series), 5.0).of("native")
            for title, share in GROWN.items():
                _compare(connection, series, title, share, memory, file)
            size = sum(path.stat().st_size for path in (folder / str(series)).iterdir())
            print(f"{series:7,} series: {size / 1e6:.1f} MB in the state folder", flush=True)
    return 0


def _read(connection: psycopg.Connection) -> tuple[list[Total], StoreState]:
    names = [stream.name for stream in PLAN.streams]
    return read_totals(connection, PLAN), store_state(connection, PLAN.name, names)


def _compare(connection: psycopg.Connection, series: int, title: str, share: float, memory: Shown, file: Shown) -> None:
    ways: dict[str, Callable[[], object]] = {
        "read": lambda: read_totals(connection, PLAN),
        "memory": lambda: memory.hold(connection, _read),
        "file": lambda: file.hold(connection, _read),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(REPEATS):
        grow = "UPDATE monitoring.rollup SET value = value + 1 WHERE abs(hashtext(labels::text)) % 1000 < %s"
        connection.execute(grow.replace(" % 1000", " %% 1000"), [share * 1000])
        for name, way in ways.items():
            began = time.process_time()
            way()
            seconds[name].append(time.process_time() - began)
    plain, held, kept = (statistics.median(seconds[name]) for name in ways)
    print(
        f"{series:7,} series, {title:4} grew: read {plain * 1e3:7.1f} ms, held in memory {held / plain:.2f} times, "
        f"in a file too {kept / plain:.2f} times that ({kept * 1e3:.0f} ms)",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
