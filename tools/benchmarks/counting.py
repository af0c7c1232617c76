"""Measure the counting, beside the usual ways to do it: python -m tools.benchmarks.counting [WHAT ...]

WHAT is one or more of these, without any all of them, about six minutes:

    cost     one poll of 100,000 new rows beside 1 and beside 10 million old ones, and counting the whole table
    speed    rows a second of one whole poll, users and sessions included
    traces   what exemplars add to a poll: where no row names a trace, and where each does
    peers    lost rows under eight writers: this cursor, `id > last_id` and xmin against a snapshot, of the same rows
    kill9    eight writers for 60 s, two `python -m exporter serve` killed at random: events lost and doubled
    million  1,000,000 distinct routes under a limit of 500 series

It starts a PostgreSQL of its own, with the settings of a production server but for fsync. Exit status 1 where a
figure misses its bound.
"""

import contextlib
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from exporter.aggregation import exemplars, poll, snapshot
from exporter.config.settings import Database, Limits, Source
from exporter.database import schema
from exporter.database.connection import connect as connect_as_exporter
from exporter.sections import Secret
from exporter.sources import mapping
from tools.stack.ports import free_port
from tools.stack.process import poll_until
from tools.stack.servers import Postgres
from tools.testing.writers import Writers, lost_and_doubled

NEW_ROWS = 100_000
HISTORIES = (1_000_000, 10_000_000)
REPEATS = 7
RATIO_BOUND, SPEED_BOUND = 1.2, 500_000
KILL_SECONDS, KILLS = 60.0, 20
PEER_SECONDS = 20.0

PLAN = mapping.plan(Source(preset="native"))
STREAMS = {stream.name: stream for stream in PLAN.streams}

Connection = psycopg.Connection[tuple[Any, ...]]

REQUESTS = """INSERT INTO monitoring.http_request
    (at, app, route, method, status, duration_seconds, response_bytes, user_id, role, session_id, user_agent)
SELECT now() - random() * %s::interval, 'shop', '/api/v1/things/' || i %% 40, (ARRAY['GET', 'POST'])[1 + i %% 2],
    (ARRAY[200, 200, 200, 404, 500])[1 + i %% 5], random() * random(), i %% 5000, 'user' || i %% 2000, 'member',
    'session' || i %% 5000, 'Mozilla/5.0 (X11; Linux x86_64)'
FROM generate_series(1, %s) i"""

Row = tuple[str, str, str]
"""What was measured, the figure, and its bound with a verdict."""


def main(names: list[str]) -> int:
    """Run the measurements named, all if none, and print a table."""
    unknown = set(names) - set(MEASUREMENTS)
    if unknown:
        print(__doc__, file=sys.stderr)
        return 2
    rows: list[Row] = []
    with server() as postgres:
        print(f"PostgreSQL {postgres.version}, {os.cpu_count()} cores", flush=True)
        for name in names or MEASUREMENTS:
            print(f"{name} ...", flush=True)
            rows += MEASUREMENTS[name](postgres)
    width = max(len(row[0]) for row in rows)
    for what, figure, bound in rows:
        print(f"{what:<{width}}  {figure:>18}  {bound}")
    return int(any("MISSED" in row[2] for row in rows))


@contextmanager
def server() -> Iterator[Postgres]:
    """Run a PostgreSQL of our own."""
    folder = Path(tempfile.mkdtemp(prefix="platform-benchmark-"))
    folder.chmod(0o711)
    settings = {"shared_buffers": "512MB", "max_wal_size": "4GB", "checkpoint_timeout": "30min"}
    try:
        with Postgres(folder, durable=False, max_connections=60, settings=settings) as postgres:
            yield postgres
            postgres.destroy()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def store(postgres: Postgres, name: str) -> str:
    """Return the dsn of a new event store."""
    dsn = postgres.create_database(name)
    with connect(dsn) as connection:
        schema.apply(connection)
        poll.register(connection, PLAN.name)
    return dsn


def connect(dsn: str) -> Connection:
    """Connect as the exporter does."""
    return connect_as_exporter(Database(dsn=Secret(dsn)), "benchmark")


def verdict(good: bool, bound: str) -> str:
    return f"{bound}  {'reached' if good else 'MISSED'}"


def with_history(postgres: Postgres, rows: int) -> Connection:
    """Return a connection to a store with so many counted requests of the last week."""
    connection = connect(store(postgres, f"history_{rows}"))
    for _ in range(rows // 1_000_000):
        connection.execute(REQUESTS.encode(), ["6 days", 1_000_000])
    connection.execute("VACUUM ANALYZE monitoring.http_request")
    # Counting them would take a while and prove nothing here: the cursor is put behind them.
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        snapshot.write(connection, STREAMS["http_request"], snapshot.take(connection))
    return connection


def timed_poll(connection: Connection) -> float:
    """Return the seconds that one poll of the new requests takes."""
    began = time.perf_counter()
    counted = poll.poll(connection, STREAMS["http_request"], Limits())
    seconds = time.perf_counter() - began
    assert counted.seen == NEW_ROWS, counted
    return seconds


def cost(postgres: Postgres) -> list[Row]:
    """Compare polls beside little and much history, in turns, and the count of the whole table as a peer."""
    connections = [with_history(postgres, rows) for rows in HISTORIES]
    polls: list[list[float]] = [[], []]
    for _ in range(REPEATS):
        for seconds, connection in zip(polls, connections, strict=True):
            connection.execute(REQUESTS.encode(), ["1 minute", NEW_ROWS])
            seconds.append(timed_poll(connection))
    small, large = (statistics.median(seconds) for seconds in polls)
    whole = [statistics.median(count_all(connection) for _ in range(3)) for connection in connections]
    for connection in connections:
        connection.close()
    for rows in HISTORIES:
        postgres.drop_database(f"history_{rows}")
    return [
        ("poll of 100,000 new rows beside 1 M", f"{small * 1000:.0f} ms", ""),
        ("poll of 100,000 new rows beside 10 M", f"{large * 1000:.0f} ms", ""),
        ("ratio of the two", f"{large / small:.2f}", verdict(large / small <= RATIO_BOUND, f"at most {RATIO_BOUND}")),
        ("peer: GROUP BY of all 1 M, counts only", f"{whole[0] * 1000:.0f} ms", ""),
        ("peer: GROUP BY of all 10 M, counts only", f"{whole[1] * 1000:.0f} ms", f"{whole[1] / whole[0]:.1f} times"),
    ]


def count_all(connection: Connection) -> float:
    """Return the seconds that a count of the whole table takes, as exporters without a cursor do it."""
    began = time.perf_counter()
    connection.execute(
        "SELECT app, route, method, status, count(*), sum(duration_seconds) "
        "FROM monitoring.http_request GROUP BY 1, 2, 3, 4"
    ).fetchall()
    return time.perf_counter() - began


def speed(postgres: Postgres) -> list[Row]:
    """Measure whole polls of 100,000 new requests; one connection, so one core of the server.

    The bound is for seconds of that core: on a machine that does other work as well, the clock says less.
    """
    with connect(store(postgres, "speed")) as connection:
        connection.execute(REQUESTS.encode(), ["1 minute", NEW_ROWS])
        timed_poll(connection)
        clock, core = [], 0.0
        for _ in range(REPEATS * 2):
            connection.execute(REQUESTS.encode(), ["1 minute", NEW_ROWS])
            before = core_seconds(connection.info.backend_pid)
            clock.append(timed_poll(connection))
            core += core_seconds(connection.info.backend_pid) - before
    rate, median = NEW_ROWS * len(clock) / core, NEW_ROWS / statistics.median(clock)
    return [
        (
            "rows a second of one core, in a whole poll",
            f"{rate:,.0f}",
            verdict(rate >= SPEED_BOUND, f"at least {SPEED_BOUND:,}"),
        ),
        ("rows a second of the clock, median", f"{median:,.0f}", ""),
        ("rows a second of the clock, best", f"{NEW_ROWS / min(clock):,.0f}", ""),
    ]


def traces(postgres: Postgres) -> list[Row]:
    """Compare polls of rows without and with traces, in turns, by the core's time."""
    taken = {"none": 0.0, "all": 0.0, "all, not looked at": 0.0}
    with connect(store(postgres, "traces")) as connection:
        for number in range(REPEATS * 2 + 1):
            for which in taken:
                requests, parameters = REQUESTS, ["1 minute", NEW_ROWS]
                if which != "none":
                    requests = REQUESTS.replace("user_agent)", "user_agent, trace_id)").replace(
                        "'Mozilla/5.0 (X11; Linux x86_64)'", "'Mozilla/5.0 (X11; Linux x86_64)', md5(i::text)"
                    )
                connection.execute(requests.encode(), parameters)
                look = exemplars.has_exemplars
                if which == "all, not looked at":
                    exemplars.has_exemplars = lambda stream: False
                before = core_seconds(connection.info.backend_pid)
                timed_poll(connection)
                taken[which] += (core_seconds(connection.info.backend_pid) - before) if number else 0
                exemplars.has_exemplars = look
    bare = taken["all, not looked at"]
    return [(f"poll of 100,000 rows, with a trace: {which}", f"{seconds / (REPEATS * 2) * 1000:.0f} ms",
             f"{seconds / bare:.3f}") for which, seconds in taken.items()]  # fmt: skip


def core_seconds(pid: int) -> float:
    """Return the processor time a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peers(postgres: Postgres) -> list[Row]:
    """Count the same rows in three ways while eight writers add them."""
    dsn = store(postgres, "peers")
    with connect(dsn) as connection, connect(dsn) as serial, connect(dsn) as by_xmin:
        connection.execute("ALTER TABLE monitoring.scraping_run ADD COLUMN id bigserial")
        last_id = counted_by_id = counted_by_xmin = 0
        old = "1:1:"
        deadline = time.monotonic() + PEER_SECONDS
        with Writers(dsn):
            while time.monotonic() < deadline:
                poll.poll(connection, STREAMS["scraping_run"], Limits(series_per_metric=5000))
                new, last_id = one(
                    serial,
                    "SELECT count(*), coalesce(max(id), %(last)s) FROM monitoring.scraping_run WHERE id > %(last)s",
                    {"last": last_id},
                )
                counted_by_id += new
                new, old = xmin_poll(by_xmin, old)
                counted_by_xmin += new
        poll.poll(connection, STREAMS["scraping_run"], Limits(series_per_metric=5000))
        (new,) = one(serial, "SELECT count(*) FROM monitoring.scraping_run WHERE id > %s", [last_id])
        counted_by_id += new
        counted_by_xmin += xmin_poll(by_xmin, old)[0]
        (total,) = one(connection, "SELECT count(*) FROM monitoring.scraping_run")
        lost, doubled = lost_and_doubled(connection)
    return [
        (f"8 writers for {PEER_SECONDS:.0f} s, rows", f"{total:,}", ""),
        ("lost, doubled by this cursor", f"{lost}, {doubled}", verdict((lost, doubled) == (0, 0), "0, 0")),
        ("peer: lost by `id > last_id`", f"{total - counted_by_id:,}", f"{(total - counted_by_id) / total:.2%}"),
        ("peer: lost by xmin and snapshot", f"{total - counted_by_xmin:,}", f"{(total - counted_by_xmin) / total:.2%}"),
    ]


def xmin_poll(connection: Connection, old: str) -> tuple[int, str]:
    """Return the rows whose xmin the old snapshot does not see, and the new snapshot."""
    new, taken = one(
        connection,
        "SELECT count(*) FILTER (WHERE NOT pg_visible_in_snapshot(xmin::text::xid8, %s::pg_snapshot)), "
        "pg_current_snapshot()::text FROM monitoring.scraping_run",
        [old],
    )
    return new, taken


def one(connection: Connection, query: str, parameters: Any = None) -> tuple[Any, ...]:
    row = connection.execute(query.encode(), parameters).fetchone()
    assert row is not None
    return row


class Replica:
    """An exporter of its own, which dies now and then."""

    def __init__(self, config: Path) -> None:
        command = [sys.executable, "-m", "exporter", "serve", "--config", str(config)]
        command += ["--listen", f"127.0.0.1:{free_port()}", "--log-level", "error"]
        self._process = subprocess.Popen(command)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


def kill9(postgres: Postgres) -> list[Row]:
    """Kill one of two exporters again and again while eight writers write; whatever it was doing."""
    dsn = store(postgres, "kill9")
    chance = random.Random(9)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "exporter.yml")
        config.write_text(
            f"database: {{dsn: '{dsn}', poll_interval_seconds: 0.1}}\nlimits: {{series_per_metric: 5000}}\n"
        )
        replicas = [Replica(config), Replica(config)]
        kills = polls = 0
        try:
            with connect(dsn) as connection, Writers(dsn) as writers:
                deadline = time.monotonic() + KILL_SECONDS
                while time.monotonic() < deadline or kills < KILLS:
                    seen = advanced(connection)
                    time.sleep(1.0 + chance.random() * 2.0)
                    polls += advanced(connection) != seen
                    replicas.pop(0).kill()
                    replicas.append(Replica(config))
                    kills += 1
            with connect(dsn) as connection:
                total = one(connection, "SELECT count(*) FROM monitoring.scraping_run")[0]
                with contextlib.suppress(Exception):  # what is missing after this is lost
                    poll_until(lambda: lost_and_doubled(connection)[0] == 0, 30)
                lost, doubled = lost_and_doubled(connection)
        finally:
            for replica in replicas:
                replica.kill()
    return [
        ("transactions, rows while exporters were killed", f"{writers.transactions:,}, {total:,}", ""),
        (
            "kills -9, of them after a count in between",
            f"{kills}, {polls}",
            verdict(kills >= KILLS, f"at least {KILLS}"),
        ),
        ("events lost, doubled", f"{lost}, {doubled}", verdict((lost, doubled) == (0, 0), "0, 0")),
    ]


def advanced(connection: Connection) -> object:
    return one(connection, "SELECT max(advanced_at) FROM monitoring.cursor")[0]


def million(postgres: Postgres) -> list[Row]:
    """Count a million distinct routes in one poll."""
    with connect(store(postgres, "million")) as connection:
        connection.execute(
            "INSERT INTO monitoring.http_request (at, app, route, status, duration_seconds) SELECT now(), 'a', "
            "'/' || md5(i::text), CASE WHEN i % 4 = 0 THEN 500 ELSE 200 END, 0.1 FROM generate_series(1, 1000000) i"
        )
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        poll.poll(connection, STREAMS["http_request"], Limits())
        seconds = time.perf_counter() - began
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        series, total, failed = one(
            connection,
            "SELECT count(*), sum(value), sum(value) FILTER (WHERE labels->>'code' = '500') FROM monitoring.rollup "
            "WHERE metric = 'platform_http_requests_total'",
        )
    exact = (total, failed) == (1_000_000, 250_000)
    return [
        ("1,000,000 distinct routes: series", f"{series}", verdict(series <= 500, "at most 500")),
        ("their sum, and those with code 500", f"{total:,.0f}, {failed:,.0f}", verdict(exact, "1,000,000, 250,000")),
        ("seconds, growth of this process", f"{seconds:.1f} s, {grown:.0f} MB", verdict(grown < 10, "below 10 MB")),
    ]


MEASUREMENTS: dict[str, Callable[[Postgres], list[Row]]] = {
    "speed": speed,
    "cost": cost,
    "traces": traces,
    "peers": peers,
    "million": million,
    "kill9": kill9,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
