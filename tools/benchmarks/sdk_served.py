"""Measure what the SDK costs a whole application, end to end, beside what others cost, all in one go.

An application that answers JSON and does nothing else, the hardest case, is served by uvicorn with uvloop and
httptools, bare and with each middleware, every side in a process of its own. wrk asks one after the other as fast as it
can, in rounds that rotate their order. Ours stores in a real PostgreSQL on the same machine, so that all of it competes
for the same cores; peers send nothing, Sentry and OpenTelemetry trace every request.

Two figures each: CPU that the whole process used a request, writer thread included, until all of it was stored; and
requests answered a second, beside the bare application's of the same round. Medians are printed, in brackets the lower
and upper quartiles of the rounds. Absolute figures are the machine's; on a busy one trust the ratios.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg

from tools.benchmarks._sdk_served_app import SIDES
from tools.benchmarks.sdk_core import event_store
from tools.benchmarks.sdk_web import PYTHONPATH, ROOT, peers_python
from tools.stack.ports import free_port
from tools.stack.programs import debian
from tools.stack.programs.catalogue import SearchPath

BARE, OURS = "bare", "sdk"
PATH = "/articles/5"
CONNECTIONS = 32
SETTLED_SECONDS = 1.5
"""After a load, until the writer, which stores once a second, has nothing left to do."""
TARGETS = {"added_us": 7.0, "kept": 0.85}


def main() -> int:
    """Print a table; return 1 where the SDK costs more than it may, or a request was not counted."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="how often each side is measured (default: 7)")
    parser.add_argument("--seconds", type=int, default=3, help="how long each time (default: 3)")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES), help="beside the bare one")
    arguments = parser.parse_args()
    names = list(dict.fromkeys((BARE, *arguments.sides)))
    python, wrk = peers_python(), Wrk()
    with event_store(None) as dsn:
        with ExitStack() as stack:
            servers = {name: stack.enter_context(served(python, name, dsn)) for name in names}
            for server in servers.values():
                wrk.load(server.port, 1)
            rounds: dict[str, list[Figures]] = {name: [] for name in names}
            for number in range(arguments.rounds):
                shift = number % len(names)
                for name in (*names[shift:], *names[:shift]):
                    rounds[name].append(servers[name].measure(wrk, arguments.seconds))
            load = os.getloadavg()[1]
        good = report(rounds)
        print(f"load of the machine meanwhile, this benchmark's own included: {load:.1f}")
        return 0 if good & counted(dsn) else 1


class Figures(NamedTuple):
    """Microseconds of the process's CPU a request, and requests answered a second."""

    cpu: float
    rate: float


class Wrk:
    """The load generator: the machine's, or Debian's unpacked."""

    def __init__(self) -> None:
        found, self._environment = shutil.which("wrk"), dict(os.environ)
        if found is None:
            tools = SearchPath().tools
            found, _ = map(str, debian.program("wrk", "wrk", None, tools))
            debian.program("libluajit-5.1-2", "", None, tools)
            library = next(debian.root_of("libluajit-5.1-2", None, tools).glob("usr/lib/**/libluajit*"))
            self._environment["LD_LIBRARY_PATH"] = str(library.parent)
        self._program = found

    def load(self, port: int, seconds: int) -> tuple[int, float]:
        """Ask for so long; return how many requests were answered, and how many a second."""
        argv = [self._program, "--threads", "1", "--connections", str(CONNECTIONS), "--duration", str(seconds)]
        for header in ("User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", "Accept: application/json"):
            argv += ["--header", header]
        done = subprocess.run(
            [*argv, f"http://127.0.0.1:{port}{PATH}"], capture_output=True, text=True, check=True,
            env=self._environment, timeout=seconds + 60,
        ).stdout  # fmt: skip
        answered, rate = re.search(r"(\d+) requests in", done), re.search(r"Requests/sec:\s+([\d.]+)", done)
        if answered is None or rate is None or "Non-2xx" in done or "Socket errors" in done:
            sys.exit(f"wrk did not get its answers:\n{done}")
        return int(answered[1]), float(rate[1])


class Server(NamedTuple):
    """The process of one side."""

    pid: int
    port: int

    def measure(self, wrk: Wrk, seconds: int) -> Figures:
        before = self._cpu_seconds()
        answered, rate = wrk.load(self.port, seconds)
        time.sleep(SETTLED_SECONDS)
        return Figures((self._cpu_seconds() - before) / answered * 1e6, rate)

    def _cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def served(python: Path, name: str, dsn: str) -> Iterator[Server]:
    """Serve one side until the end, when uvicorn is asked to shut down and ours stores what is left."""
    port = free_port()
    argv = [str(python), "-m", "uvicorn", "tools.benchmarks._sdk_served_app:app", "--port", str(port)]
    argv += ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH, "SIDE": name, "PLATFORM_SDK_DSN": dsn}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}{PATH}", timeout=10).close()
                    break
                except OSError:
                    time.sleep(0.1)
            else:
                log.seek(0)
                sys.exit(f"{name} does not answer:\n{log.read().decode(errors='replace')}")
            yield Server(process.pid, port)
        finally:
            process.terminate()
            process.wait()


def report(rounds: dict[str, list[Figures]]) -> bool:
    """Print what each side costs; return whether ours costs no more than it may."""
    bare = rounds[BARE]
    cpu = statistics.median(one.cpu for one in bare)
    rate = statistics.median(one.rate for one in bare)
    print(f"\nbare: {cpu:.1f} us of CPU a request, {rate:,.0f} requests a second, medians of {len(bare)} rounds")
    print(f"{'side':20}{'us added':>24}{'added to bare':>16}{'ratio':>8}{'throughput kept':>26}")
    added = {name: [one.cpu - base.cpu for one, base in zip(each, bare, strict=True)] for name, each in rounds.items()}
    own = statistics.median(added.get(OURS, [1.0]))
    for name, each in rounds.items():
        if name == BARE:
            continue
        kept = [one.rate / base.rate for one, base in zip(each, bare, strict=True)]
        us = statistics.median(added[name])
        print(
            f"{name:20}{spread(added[name], '{:.1f}'):>24}{us / cpu:>16.0%}{us / own:>8.1f}{spread(kept, '{:.0%}'):>26}"
        )
        if name == OURS:
            good = us <= TARGETS["added_us"] and statistics.median(kept) >= TARGETS["kept"]
    if OURS not in rounds:
        return True
    print(f"target: {TARGETS['added_us']:g} us, {TARGETS['kept']:.0%} kept: {'met' if good else 'MISSED'}", flush=True)
    return good


def spread(figures: list[float], shown: str) -> str:
    """Return the median, and in brackets the quartiles."""
    lower, median, upper = statistics.quantiles(figures) if len(figures) > 1 else figures * 3
    return f"{shown.format(median)} ({shown.format(lower)} - {shown.format(upper)})"


def counted(dsn: str) -> bool:
    """Print and return whether all that the SDK was given is in the tables, by the weights of its rows."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "SELECT app, sum(weight), count(*) FROM monitoring.http_request GROUP BY 1"
        ).fetchall()
        produced = dict(
            connection.execute("SELECT app, sum(produced) FROM monitoring.sdk_ledger GROUP BY 1").fetchall()
        )
    for app, weight, count in rows:
        print(f"{app}: {produced[app]:,} requests produced, {weight:,.0f} stored in {count:,} rows")
    return all(produced[app] == weight for app, weight, _ in rows)


if __name__ == "__main__":
    sys.exit(main())
