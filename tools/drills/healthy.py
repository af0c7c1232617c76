"""Run healthy traffic with quiet spells and random singles for a while: nobody may be told of anything."""

import random
import tempfile
import time
from pathlib import Path

from tools.drills.applications import Application
from tools.drills.bench import Bench
from tools.drills.run import say

SEED = 20
LOW = "low"
"""For the daily digest: it may come, if its hour falls into the run."""


def applications() -> list[Application]:
    """Return applications as healthy ones are.

    Two are steady with few failures, three are tiny: below minimum_events in 5 minutes, of which up to all may fail.
    """
    return [
        Application(
            "healthy-shop", requests=4, apis=("arxiv", "doaj"), calls=0.5, scrapers=("news",), runs=0.2, errors=0.01,
            jobs=True, failing_requests=0.004, failing_calls=0.01, failing_runs=0.03,
        ),
        Application("healthy-blog", requests=1, errors=0.003, failing_requests=0.005),
        Application("tiny-site", requests=0.03, errors=0.005, failing_requests=0.34, request_seconds=0.7),
        Application("tiny-scraper", scrapers=("weekly",), runs=0.01, apis=("crossref",), calls=0.02, failing_runs=0.5,
                    failing_calls=0.5),
        Application("tiny-broken", requests=0.015, failing_requests=1, request_seconds=4),
    ]  # fmt: skip


def run(minutes: float) -> int:
    """Return 0 where nobody was told of anything, 1 where somebody was."""
    chance = random.Random(SEED)  # noqa: S311  # invented traffic, no secret
    with tempfile.TemporaryDirectory(prefix="platform-healthy-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        bench = Bench(Path(name) / "stack", applications())
        try:
            bench.start()
            say("healthy", f"runs for {minutes:g} minutes, with the shipped thresholds; medium at any hour")
            _live(bench, minutes, chance)
            return _judge(bench, minutes)
        finally:
            bench.close()


def _live(bench: Bench, minutes: float, chance: random.Random) -> None:
    """Let applications fall silent and wake up, and singles come from applications that nobody knew."""
    end = time.monotonic() + minutes * 60
    told = 0
    while time.monotonic() < end:
        time.sleep(min(10.0, max(0.0, end - time.monotonic())))
        for application in list(bench.applications.values()):
            # Awake for some 4 minutes, silent for some 2.
            application.quiet = chance.random() < (0.04 if not application.quiet else 0.92)
        if chance.random() < 0.1:
            bench.add(Application(f"single-{len(bench.applications)}", requests=0.02, failing_requests=1))
        new = bench.notices[told:]
        told += len(new)
        for one in new:
            say("healthy", f"TOLD {one.channel} {one.severity}: {one.text[:300]}")


def _judge(bench: Bench, minutes: float) -> int:
    fired: dict[str, list[str]] = {}
    for one in bench.recording.firings:
        of = " ".join(one.labels.get(name, "") for name in ("alertname", "app", "api", "scraper", "component")).split()
        fired.setdefault(one.labels.get("severity", ""), []).append(" ".join(of))
    for severity, names in sorted(fired.items()):
        say("healthy", f"fired, {severity}: {', '.join(sorted(set(names)))}")
    notices = [one for one in bench.notices if one.severity != LOW]
    alerts = [name for severity, names in fired.items() if severity not in (LOW, "none") for name in names]
    well = not notices and not alerts
    say(
        "healthy",
        f"{'well' if well else 'FAILED'}: {len(notices)} messages and {len(alerts)} alerts in {minutes:g} minutes",
    )
    return 0 if well else 1
