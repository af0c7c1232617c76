"""Measure what the SDK adds to a request, to an exception, and to a start, beside what others add, all in one go.

The same application is called directly, by ASGI or WSGI, without a server. Ours and each peer have a process of their
own, which waits while another is measured; in it the application is measured without the middleware and with it, in
turn, in 40 slices each, whose lower quartiles are compared: what else the machine does only adds to a slice. The
median of these differences over all rounds is printed; rounds rotate the order, and all is started several times.
Sentry patches every application of its process, so that it is compared with the bare one of another. Peers send
nothing, Sentry without tracing; ours stores in a real PostgreSQL, and is measured without a writer too. Peers are
installed into .tools/peers, as tools/benchmarks/peers.txt pins them.

Two figures each: CPU of the request thread, which is what the target is about, and time by the clock, which has in it
what the thread waits for: a database, another thread of the process, and whatever else the machine is doing.

Imports are measured in fresh interpreters, in turn: the CPU of the whole process, less that of one that does nothing.
"""

import argparse
import hashlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import NamedTuple

import psycopg

from tools.benchmarks.sdk_core import event_store, usage

ROOT = Path(__file__).parents[2]
PYTHONPATH = f"{ROOT}:{ROOT / 'sdk'}"
PEERS = ROOT / ".tools" / "peers"
SIDES = {
    "starlette": ("starlette_exporter", "sentry", "opentelemetry", "apitally"),
    "django": ("django-prometheus", "sentry", "opentelemetry", "apitally"),
    "exceptions": ("sentry", "opentelemetry"),
}
OURS = ("sdk, no writer", "sdk")
IMPORTS = {
    "nothing": "pass",
    "sdk": "import platform_sdk",
    "sentry": "import sentry_sdk",
    "sdk and init": "import platform_sdk; platform_sdk.init('host=127.0.0.1 port=1', 'bench', spool_folder='')",
    "sentry and init": "import sentry_sdk; sentry_sdk.init('http://key@127.0.0.1:1/1')",
}
IMPORT_RATIO = 1 / 3
"""How much of what Sentry's import takes ours may take."""

MILLISECONDS = 40
TARGETS_US = {"starlette": 5.0, "django": 12.0, "exceptions": 40.0}
TABLES = """
CREATE TABLE system_metric (id bigserial PRIMARY KEY, metric_type text, endpoint text, value float8, status_code int,
    user_id bigint, ip inet, user_agent text, at timestamptz);
CREATE INDEX ON system_metric (metric_type, at);
CREATE TABLE user_activity (id bigserial PRIMARY KEY, activity text, user_id bigint, session_id text, ip inet,
    user_agent text, at timestamptz);
CREATE INDEX ON user_activity (user_id, at);
CREATE TABLE error_log (id bigserial PRIMARY KEY, error_type text, message text, stack_trace text, at timestamptz);
"""


def main() -> int:
    """Print a table per framework; return 1 where the SDK adds more than it may."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--starts", type=int, default=3, help="how often all processes are started (default: 3)")
    parser.add_argument("--rounds", type=int, default=16, help="per start; each side works for 2 x 40 ms (default: 16)")
    parser.add_argument("--imports", type=int, default=40, help="how often each package is imported (default: 40)")
    parser.add_argument("--only", choices=(*SIDES, "imports"), help="one of the tables")
    arguments = parser.parse_args()
    python = peers_python()
    good = True
    if arguments.only in (None, "imports"):
        good = report_imports(import_costs(python, arguments.imports))
    if arguments.only == "imports":
        return 0 if good else 1
    with event_store(None) as dsn:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(TABLES)
        for framework, peers in SIDES.items():
            if arguments.only not in (None, framework):
                continue
            sides = (*OURS, *peers, "synchronous INSERT")
            figures = measure(python, framework, sides, dsn, arguments)
            good &= report(framework, figures)
    return 0 if good else 1


def peers_python() -> Path:
    """Return the Python that has the peers, made again where the pins have changed."""
    python, stamp = PEERS / "bin" / "python", PEERS / "stamp"
    pins = Path(__file__).with_name("peers.txt")
    expected = hashlib.sha256(pins.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != expected:
        print(f"Installing the peers into {PEERS}", flush=True)
        venv.create(PEERS, clear=True, with_pip=True)
        pip = [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--requirement",
            str(pins),
        ]
        subprocess.run(pip, check=True)
        stamp.write_text(expected)
    return python


def import_costs(python: Path, times: int) -> dict[str, float]:
    """Return the median milliseconds of CPU that each of IMPORTS takes."""
    costs: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for _ in range(times + 1):  # the first of each compiles
        for name, code in IMPORTS.items():
            before = usage(resource.RUSAGE_CHILDREN)
            subprocess.run([python, "-c", code], check=True, env={**os.environ, "PYTHONPATH": PYTHONPATH})
            costs[name].append((usage(resource.RUSAGE_CHILDREN) - before) * 1000)
    return {name: statistics.median(each[1:]) for name, each in costs.items()}


def report_imports(costs: dict[str, float]) -> bool:
    """Print what importing takes; return whether ours takes no more than it may."""
    net = {name: cost - costs["nothing"] for name, cost in costs.items() if name != "nothing"}
    print(f"\nimports: an interpreter that imports nothing takes {costs['nothing']:.1f} ms of CPU")
    print(f"{'added':20}{'ms of CPU':>12}{'ratio':>8}")
    for name, cost in net.items():
        print(f"{name:20}{cost:12.1f}{cost / net['sdk']:8.1f}")
    ratio = net["sdk"] / net["sentry"]
    good = ratio <= IMPORT_RATIO
    print(f"target: ours beside Sentry's {IMPORT_RATIO:.2f}; {ratio:.2f} is {'met' if good else 'MISSED'}", flush=True)
    return good


class Figures(NamedTuple):
    """Microseconds of a request."""

    bare_cpu: float
    cpu: float
    bare_clock: float
    clock: float


class Side:
    """Talk to the process of one side."""

    def __init__(self, python: Path, framework: str, name: str, dsn: str) -> None:
        self.name = name
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self.process = subprocess.Popen(
            [python, "-m", "tools.benchmarks._sdk_web_side", framework, name, dsn], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
            env={**os.environ, "PYTHONPATH": PYTHONPATH},
        )  # fmt: skip
        self._read()

    def measure(self, milliseconds: int) -> Figures:
        """Return what a request takes, without and with the middleware, each measured for so long."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{milliseconds}\n")
        self.process.stdin.flush()
        return Figures(*map(float, self._read().split()))

    def close(self) -> None:
        self.process.communicate()
        self.log.close()

    def _read(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            sys.exit(f"{self.name} ended:\n{self.log.read().decode(errors='replace')}")
        return line


def measure(
    python: Path, framework: str, names: tuple[str, ...], dsn: str, arguments: argparse.Namespace
) -> dict[str, list[Figures]]:
    """Return microseconds per request without and with the middleware, by side and round."""
    figures: dict[str, list[Figures]] = {name: [] for name in names}
    for _ in range(arguments.starts):
        sides = [Side(python, framework, name, dsn) for name in names]
        for number in range(arguments.rounds):
            shift = number % len(sides)
            for side in (*sides[shift:], *sides[:shift]):
                figures[side.name].append(side.measure(MILLISECONDS))
        for side in sides:
            side.close()
    figures["sentry"] = [
        sentry._replace(bare_cpu=ours.bare_cpu, bare_clock=ours.bare_clock)
        for ours, sentry in zip(figures[OURS[0]], figures["sentry"], strict=True)
    ]
    return figures


def report(framework: str, figures: dict[str, list[Figures]]) -> bool:
    """Print what each side adds; return whether ours adds no more than it may."""
    ours = figures[OURS[0]]
    bare = statistics.median(one.bare_cpu for one in ours)
    what = "raising and catching one 30 frames deep" if framework == "exceptions" else "a bare request"
    print(f"\n{framework}: {what} takes {bare:.1f} us of CPU, median of {len(ours)} rounds")
    print(f"{'added':20}{'us of CPU':>12}{'ratio':>8}{'us by clock':>14}{'ratio':>8}")
    own = [added(ours, "cpu"), added(ours, "clock")]
    for name, rounds in figures.items():
        cpu, clock = added(rounds, "cpu"), added(rounds, "clock")
        print(f"{name:20}{cpu:12.1f}{cpu / own[0]:8.1f}{clock:14.1f}{clock / own[1]:8.1f}")
    good = own[0] <= TARGETS_US[framework]
    print(f"target: {TARGETS_US[framework]:g} us in the request thread: {'met' if good else 'MISSED'}", flush=True)
    return good


def added(rounds: list[Figures], what: str) -> float:
    """Return the median of what the middleware adds."""
    return statistics.median(getattr(one, what) - getattr(one, f"bare_{what}") for one in rounds)


if __name__ == "__main__":
    sys.exit(main())
