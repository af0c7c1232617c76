"""The drill `healthy`: traffic with quiet periods and random singles, which must notify no one."""

import random
import tempfile
import time
from pathlib import Path

from tools.drills.applications import Application
from tools.drills.evaluation import counted
from tools.drills.runner import say
from tools.drills.testbed import Testbed

SEED = 20
LOW = "low"
"""For the daily digest: it may come, if its hour falls into the run."""


def applications() -> list[Application]:
    """Return healthy applications.

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
    """Return 0 where no message came, 1 where one did."""
    chance = random.Random(SEED)  # noqa: S311  # invented traffic, no secret
    with tempfile.TemporaryDirectory(prefix="platform-healthy-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        testbed = Testbed(Path(name) / "stack", applications())
        try:
            testbed.start()
            say("healthy", f"runs for {minutes:g} minutes, with the shipped thresholds; medium at any hour")
            _live(testbed, minutes, chance)
            return _evaluate(testbed, minutes)
        finally:
            testbed.close()


def _live(testbed: Testbed, minutes: float, chance: random.Random) -> None:
    """Let applications fall silent and wake up, and unknown ones send single events."""
    end = time.monotonic() + minutes * 60
    seen = 0
    while time.monotonic() < end:
        time.sleep(min(10.0, max(0.0, end - time.monotonic())))
        for application in list(testbed.applications.values()):
            # Awake for some 4 minutes, silent for some 2.
            application.quiet = chance.random() < (0.04 if not application.quiet else 0.92)
        if chance.random() < 0.1:
            testbed.add(Application(f"single-{len(testbed.applications)}", requests=0.02, failing_requests=1))
        new = testbed.messages[seen:]
        seen += len(new)
        for one in new:
            say("healthy", f"NOTIFIED {one.channel} {one.severity}: {one.text[:300]}")


def _evaluate(testbed: Testbed, minutes: float) -> int:
    fired: dict[str, list[str]] = {}
    for one in testbed.recorder.firings:
        of = " ".join(one.labels.get(name, "") for name in ("alertname", "app", "api", "scraper", "component")).split()
        fired.setdefault(one.labels.get("severity", ""), []).append(" ".join(of))
    for severity, names in sorted(fired.items()):
        say("healthy", f"fired, {severity}: {', '.join(sorted(set(names)))}")
    messages = [one for one in testbed.messages if one.severity != LOW]
    alerts = [name for severity, names in fired.items() if severity not in (LOW, "none") for name in names]
    well = not messages and not alerts
    say(
        "healthy",
        f"{'ok' if well else 'FAILED'} after {minutes:g} minutes: "
        f"{counted(len(messages), 'message')} and {counted(len(alerts), 'alert')}",
    )
    return 0 if well else 1
