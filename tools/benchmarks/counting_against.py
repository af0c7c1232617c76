"""Compare polls with those of another checkout: AGAINST=FOLDER python -m tools.benchmarks.counting_against [WHAT ...]

WHAT is one or more of these, without any all of them, about six minutes; the same rows go into a store of either side:

    small      10 new requests, known series
    speed      100,000 new requests, known series
    routes     100,000 new requests, each of a route of its own, under the default limit
    million    1,000,000 distinct routes of one app, then as many other ones
    apps       200,000 requests of 20,000 apps

It starts a PostgreSQL of its own, and polls in turns. Prints each side's median seconds of one core of the server and
their ratio: below 1 this checkout is faster. Exit status 1 where a ratio is above 1.2.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import psycopg

from tools.benchmarks.counting import REQUESTS, server
from tools.stack.servers import Postgres

ROOT = Path(__file__).parents[2]
RATIO_BOUND = 1.2

_RAW = """INSERT INTO monitoring.http_request (at, app, route, status, duration_seconds)
SELECT now(), {app}, {route}, CASE WHEN i % 4 = 0 THEN 500 ELSE 200 END, 0.1 FROM generate_series(1, {rows}) i"""


def _requests(rows: int) -> str:
    return REQUESTS.replace("%s::interval", "'1 minute'::interval").replace("%s", str(rows)).replace("%%", "%")


WORKLOADS: dict[str, tuple[int, str]] = {
    "small": (30, _requests(10)),
    "speed": (8, _requests(100_000)),
    "routes": (3, _RAW.format(app="'a'", route="'/' || md5({turn} || i::text)", rows=100_000)),
    "million": (1, _RAW.format(app="'a'", route="'/' || md5({turn} || i::text)", rows=1_000_000)),
    "apps": (3, _RAW.format(app="'a' || {turn} * 1000 + i % 20000", route="'/r' || i % 10", rows=200_000)),
}
"""By name: how often, and the SQL that adds the rows; `{turn}` is the number of the turn."""


class Side:
    """A process that polls with one checkout's code, a store of its own."""

    def __init__(self, folder: Path, dsn: str) -> None:
        self.dsn = dsn
        paths = os.pathsep.join((str(folder), str(folder / "sdk")))
        script = str(ROOT / "tools/benchmarks/_poll_side.py")
        self._process = subprocess.Popen(
            [sys.executable, script, dsn], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder,
            env={**os.environ, "PYTHONPATH": paths},
        )  # fmt: skip
        code = Path(self._answer()["file"])
        if not code.is_relative_to(folder):
            raise SystemExit(f"{code} was imported, expected code of {folder}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def poll(self, rows_sql: str) -> dict[str, Any]:
        """Add rows, poll them, and return the answer."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(rows_sql.encode())
            connection.execute("ANALYZE monitoring.rollup")  # as autovacuum does within a minute
        assert self._process.stdin
        print("http_request", file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def main(arguments: list[str]) -> int:
    """Run the workloads named, all if none, and print a table."""
    other = Path(os.environ.get("AGAINST", ROOT)).resolve()
    if other == ROOT:
        print("nothing to compare with: set AGAINST to the folder of another checkout")
        return 0
    if {*arguments} - {*WORKLOADS}:
        print(__doc__, file=sys.stderr)
        return 2
    missed = False
    with server() as postgres:
        print(f"PostgreSQL {postgres.version}; {'what':<10} {'this':>9} {'other':>9} ratio")
        for name in arguments or WORKLOADS:
            this, theirs = _measured(postgres, name, other)
            missed |= this / theirs > RATIO_BOUND
            print(f"{name:<26} {this:>7.3f} s {theirs:>7.3f} s {this / theirs:>5.2f}", flush=True)
    return int(missed)


def _measured(postgres: Postgres, name: str, other: Path) -> tuple[float, float]:
    """Return the median seconds of either side."""
    turns, rows_sql = WORKLOADS[name]
    folders = (ROOT, other)
    dsns = [postgres.create_database(f"{name}_{number}") for number, _ in enumerate(folders)]
    core: list[list[float]] = [[], []]
    with Side(ROOT, dsns[0]) as this, Side(other, dsns[1]) as theirs:
        for turn in range(turns + 1):
            sides = [(0, this), (1, theirs)]
            for number, side in sides if turn % 2 else reversed(sides):
                answer = side.poll(rows_sql.format(turn=turn))
                assert answer["seen"] > 0
                if turn or turns < 3:  # the first poll of an empty store is another case, measured with `million`
                    core[number].append(answer["core_seconds"])
    for number, _ in enumerate(folders):
        postgres.drop_database(f"{name}_{number}")
    return statistics.median(core[0]), statistics.median(core[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
