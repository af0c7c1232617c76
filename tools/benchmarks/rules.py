"""Measure what the rules cost, with AGAINST=FOLDER another checkout's too: python -m tools.benchmarks.rules [TURNS]

A real Prometheus scrapes 50 apps of 200 routes, some 164,000 series, every 5 s over loopback: without rules, with those
of the other checkout and with these, in turns, each from an empty database. Prints the CPU time of the process in
shares of one core, less that without rules, and whether a busy machine left evaluations out; its memory at the end;
and the groups and rules that cost most: seconds of their evaluation, divided by their interval. A turn takes some
16 minutes. Exit status 1 where these rules take more than 12 % of a core. Windows of an hour and more are not full
after minutes, which is the same for both sides.
"""

import os
import re
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from exporter.config.thresholds import Objectives, Thresholds
from exporter.exposition import collector
from exporter.exposition.families import FAMILIES
from tools.stack.process import poll_until
from tools.stack.servers import Prometheus
from tools.testing.page_server import serving

ROOT = Path(__file__).parents[2]
APPS, ROUTES, SCRAPE_SECONDS = 50, 200, 5
WARM_SECONDS, SECONDS = 60, 240
"""The second is a multiple of the intervals of all groups but one, so that each is evaluated as often as it is due."""
CORE_BOUND = 0.12
ITERATIONS = re.compile(
    r'prometheus_rule_group_iterations_(?P<what>|missed_)total\{rule_group="[^"]*;(?P<group>[^"]+)"\} (?P<value>\S+)'
)
TICKS = os.sysconf("SC_CLK_TCK")

CONFIG = """global: {{scrape_interval: {seconds}s, evaluation_interval: {seconds}s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: platform-exporter
    static_configs: [{{targets: ["{address}"]}}]
"""


def constants() -> Iterator[str]:
    """Yield the series that do not grow: thresholds, objectives, and components that are up."""
    given = (
        ("platform_threshold", collector.thresholds(Thresholds())),
        ("platform_objective", collector.objectives(Objectives())),
    )
    for name, samples in given:
        yield from (f"{name}{_braces(labels)} {value}" for labels, value in samples)
    for component in ("postgresql", "redis", "minio"):
        yield f'platform_component_up{{component="{component}",name="main"}} 1'
    yield 'platform_exporter_source_up{source="native"} 1'
    yield 'platform_exporter_source_lag_seconds{source="native"} 1'


def counters() -> Iterator[str]:
    """Yield name and labels of the series that grow."""
    bounds = [*map(repr, FAMILIES["platform_http_request_duration_seconds"].bounds), "+Inf"]
    calls = [*map(repr, FAMILIES["platform_api_call_duration_seconds"].bounds), "+Inf"]
    for app in range(APPS):
        of = f'app="app-{app}"'
        yield f"platform_sdk_events_total{{{of}}}"
        for number in range(ROUTES):
            route = f'{of},route="/route/{number}"'
            yield from (f'platform_http_requests_total{{{route},method="GET",code="{code}"}}' for code in (200, 500))
            yield from _histogram("platform_http_request_duration_seconds", route, bounds)
        for api in ("arxiv", "doaj", "crossref"):
            yield f'platform_api_calls_total{{{of},api="{api}"}}'
            yield f'platform_api_call_failures_total{{{of},api="{api}",reason="timeout"}}'
            yield from _histogram("platform_api_call_duration_seconds", f'{of},api="{api}"', calls)
        for scraper in ("news", "prices"):
            yield f'platform_scraping_runs_total{{{of},scraper="{scraper}"}}'
            yield f'platform_scraping_run_failures_total{{{of},scraper="{scraper}",reason="timeout"}}'
            yield f'platform_scraping_items_total{{{of},scraper="{scraper}"}}'
        for severity in ("low", "medium", "high"):
            yield f'platform_errors_total{{{of},severity="{severity}",error_type="TimeoutError"}}'
        yield from (f'platform_user_activity_total{{{of},activity="{name}"}}' for name in ("login", "search", "export"))


def _histogram(name: str, labels: str, bounds: list[str]) -> Iterator[str]:
    yield from (f'{name}_bucket{{{labels},le="{bound}"}}' for bound in bounds)
    yield from (f"{name}_{part}{{{labels}}}" for part in ("count", "sum"))


def _braces(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"


@contextmanager
def exposing() -> Iterator[str]:
    """Serve the series, a little higher at each scrape, all healthy, and yield the address."""
    series = [f"{one} " for one in counters()]
    failures = [one for one in series if "failures" in one or 'code="500"' in one]
    sums = [one for one in series if "_sum{" in one]
    others = {*failures, *sums}
    growing = [one for one in series if one not in others]
    fixed = "\n".join((*constants(), *(f"{one}0" for one in failures)))
    print(f"{len(series) + sum(1 for _ in constants()):,} series, scraped every {SCRAPE_SECONDS} s")
    started = time.monotonic()

    def page() -> str:
        seconds = int(time.monotonic() - started)
        grown = f"{seconds}\n".join([*growing, ""]) + f"{seconds / 10}\n".join([*sums, ""])
        return grown + fixed + "\n"

    with serving(page) as address:
        yield address


@dataclass
class Side:
    """What was measured with one set of rules, a figure a turn."""

    core: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    made: float = 1.0
    groups: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    rules: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def measure(self, folder: Path, address: str, rules: str) -> None:
        """Run a Prometheus with these rules for a turn."""
        config = CONFIG.format(seconds=SCRAPE_SECONDS, rules=rules, address=address)
        with Prometheus(folder, config) as prometheus:
            pid = prometheus.process.pid
            assert pid
            poll_until(lambda: bool(prometheus.query("up == 1")), 120)
            time.sleep(WARM_SECONDS)
            began, ticks = time.monotonic(), _ticks(pid)
            while time.monotonic() < began + SECONDS:
                time.sleep(SCRAPE_SECONDS)
                self._look(prometheus)
            self.core.append((_ticks(pid) - ticks) / TICKS / (time.monotonic() - began))
            self.memory.append(_resident_bytes(pid))
            self.made = _made(prometheus, {group: statistics.fmean(found) for group, found in self.groups.items()})

    def _look(self, prometheus: Prometheus) -> None:
        for group in prometheus.get("/api/v1/rules")["data"]["groups"]:
            self.groups[group["name"]].append(group["evaluationTime"] / group["interval"])
            for number, rule in enumerate(group["rules"]):
                name = f"{group['name']} {number} {rule['name']} {_braces(rule.get('labels') or {})}"
                self.rules[name].append(rule["evaluationTime"] / group["interval"])


def _ticks(pid: int) -> int:
    """Return the CPU time that a process has used, in ticks of the clock."""
    numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(numbers[11]) + int(numbers[12])


def _resident_bytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(float(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))


def _made(prometheus: Prometheus, shares: dict[str, float]) -> float:
    """Return which part was made of the evaluations that were due, by their cost: a busy machine leaves some out.

    `shares` is what each group costs by the clock.
    """
    counts: dict[str, dict[str, float]] = defaultdict(dict)
    for line in requests.get(f"{prometheus.url}/metrics", timeout=30).text.splitlines():
        if match := ITERATIONS.match(line):
            counts[match["group"]][match["what"]] = float(match["value"])
    made = {group: 1 - counts[group].get("missed_", 0) / max(1.0, counts[group].get("", 1)) for group in shares}
    return sum(share * made[group] for group, share in shares.items()) / sum(shares.values()) if shares else 1.0


def main(arguments: list[str]) -> int:
    """Measure the sides in turns and print a table."""
    turns = int(arguments[0]) if arguments else 1
    against = os.environ.get("AGAINST")
    folders = {"without": None, "against": Path(against).resolve() if against else None, "this": ROOT}
    sides = {name: Side() for name, folder in folders.items() if name == "without" or folder}
    with exposing() as address, tempfile.TemporaryDirectory(prefix="platform-benchmark-") as scratch:
        for turn in range(turns):
            for name, side in sides.items():
                folder = folders[name]
                rules = f'"{folder}/prometheus/rules/*.yml"' if folder else ""
                side.measure(Path(scratch) / f"{turn}-{name}", address, rules)
    return _report(sides)


def _report(sides: dict[str, Side]) -> int:
    idle = statistics.median(sides["without"].core)
    taken = {name: statistics.median(side.core) - idle for name, side in sides.items()}
    for name, side in sides.items():
        memory, core = statistics.median(side.memory) / 1e9, taken[name]
        made = "" if side.made == 1 else f"; it would be more, only {side.made:.0%} of the evaluations due were made"
        print(f"{name:<8} {core:>6.1%} of a core for rules, {core + idle:.1%} in all, {memory:.2f} GB{made}")
    if "against" in taken:
        print(f"these rules take {taken['this'] / taken['against']:.2f} of the others")
    for what in ("groups", "rules"):
        print(f"{what} that cost most, by the clock")
        for name, side in sides.items():
            means: dict[str, Any] = {of: statistics.fmean(found) for of, found in getattr(side, what).items()}
            for of, share in sorted(means.items(), key=lambda one: -one[1])[:12]:
                print(f"{name:<8} {share:>6.2%} {of}")
    return int(taken["this"] > CORE_BOUND)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
