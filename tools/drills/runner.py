"""A drill, and how drills are run: on one testbed for each kind, all testbeds side by side."""

import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.drills import report
from tools.drills.applications import Application
from tools.drills.configuration import threshold_lines
from tools.drills.evaluation import Evidence, Expected, Outcome, Subject, evaluate
from tools.drills.messages import ChannelMessage
from tools.drills.testbed import Testbed
from tools.stack.errors import StackError
from tools.stack.process import poll_until

NOTIFIED_DEADLINE_SECONDS = 420
OVER_DEADLINE_SECONDS = 1200

SIDE_BY_SIDE = {"applications": True, "servers": False, "outage": False}
"""Whether the drills of a testbed run side by side, or one after the other."""

Act = Callable[[Testbed], None]

_printing = threading.Lock()


@dataclass(frozen=True)
class Drill:
    """One incident.

    testbed names the stack it runs on. warm_seconds: how long traffic must have run before. lasts_seconds: how long the
    incident goes on after all were notified. settle_seconds: how long to watch for further pages when all is over.
    between is done when all were notified. applications and thresholds are what it needs.
    """

    name: str
    happens: str
    testbed: str
    subject: Subject
    expected: Expected
    begin: Act
    end: Act
    between: Act | None = None
    warm_seconds: float = 30
    lasts_seconds: float = 15
    settle_seconds: float = 12
    applications: tuple[Application, ...] = ()
    thresholds: dict[str, Any] = field(default_factory=dict)


def run_drill(drill: Drill, testbed: Testbed, say: Callable[[str], None]) -> Outcome:
    """Run a drill from its beginning until all is over, and return how it went."""
    testbed.wait_until_warm(drill.warm_seconds)
    began_at, ended_at = time.monotonic(), None
    say(f"begins: {drill.happens}")

    def evidence() -> Evidence:
        return testbed.evidence(drill.subject, began_at, ended_at)

    try:
        drill.begin(testbed)
        try:
            poll_until(lambda: evidence().notified(drill.expected), NOTIFIED_DEADLINE_SECONDS, interval_seconds=0.2)
            say(f"notified: {_seconds(evaluate(drill.name, drill.expected, evidence()).notified_seconds)}")
            if drill.between:
                drill.between(testbed)
            time.sleep(drill.lasts_seconds)
        except StackError:
            say(f"NOT notified within {NOTIFIED_DEADLINE_SECONDS} s")
    finally:
        ended_at = time.monotonic()
        drill.end(testbed)
    say(f"the incident is over after {ended_at - began_at:.0f} s")
    try:
        poll_until(lambda: _over(evidence()), OVER_DEADLINE_SECONDS, interval_seconds=0.5)
        # Not a wait for a state: it shows that nothing more comes.
        time.sleep(drill.settle_seconds)
    except StackError:
        say(f"NOT over within {OVER_DEADLINE_SECONDS} s")
    return evaluate(drill.name, drill.expected, evidence())


def _over(evidence: Evidence) -> bool:
    looked_after = evidence.ended_at is not None and evidence.last_look_at > evidence.ended_at + 10
    return looked_after and evidence.over


def _seconds(by_channel: dict[str, float]) -> str:
    return ", ".join(f"{channel} after {seconds:.1f} s" for channel, seconds in by_channel.items())


def say(who: str, *lines: str) -> None:
    """Print lines with the time and the name of their drill, not mixed with those of others."""
    with _printing:
        for line in lines:
            print(f"{time.strftime('%H:%M:%S')}  {who:22} {line}", flush=True)


def run(drills: Sequence[Drill]) -> list[Outcome]:
    """Run them and return how each went, in their order. Raises DrillError where a stack does not start."""
    by_testbed: dict[str, list[Drill]] = {}
    for drill in drills:
        by_testbed.setdefault(drill.testbed, []).append(drill)
    with tempfile.TemporaryDirectory(prefix="platform-drills-", ignore_cleanup_errors=True) as name:
        # PostgreSQL does not run as root: its own user must be able to enter.
        Path(name).chmod(0o711)
        testbeds = {testbed: _testbed(Path(name) / testbed, its) for testbed, its in by_testbed.items()}
        with ThreadPoolExecutor(len(by_testbed)) as pool:
            futures = [pool.submit(_run_all, testbeds[testbed], its) for testbed, its in by_testbed.items()]
            try:
                found = [outcome for future in futures for outcome in future.result()]
            except KeyboardInterrupt:
                # The threads wait for what no longer matters, but their servers must not stay.
                for testbed in testbeds.values():
                    testbed.close()
                os._exit(130)
    order = [drill.name for drill in drills]
    return sorted(found, key=lambda outcome: order.index(outcome.name) if outcome.name in order else len(order))


def _testbed(folder: Path, drills: list[Drill]) -> Testbed:
    thresholds: dict[str, Any] = {}
    for drill in drills:
        thresholds |= drill.thresholds
    return Testbed(
        folder,
        [application for drill in drills for application in drill.applications],
        thresholds=thresholds,
        two_alertmanagers=any(drill.testbed == "servers" for drill in drills),
    )


def _run_all(testbed: Testbed, drills: list[Drill]) -> list[Outcome]:
    name = testbed.folder.name
    try:
        say(name, f"starting a stack for {', '.join(drill.name for drill in drills)}")
        testbed.start()
        store = testbed.state.programs["minio"]
        say(
            name,
            "differs from what ships: the receivers are the drill's; medium notifies at any hour",
        )
        say(name, *(f"differs from what ships: {line}" for line in threshold_lines(testbed.thresholds)))
        say(name, f"S3 store: {'moto, a stand-in' if 'minio' in testbed.state.missing else 'MinIO'} {store}")
        with ThreadPoolExecutor(len(drills) if SIDE_BY_SIDE[name] else 1) as pool:
            outcomes = list(pool.map(lambda drill: _run_one(drill, testbed), drills))
        return [*outcomes, *_unexpected(name, drills, testbed)]
    finally:
        testbed.close()


def _run_one(drill: Drill, testbed: Testbed) -> Outcome:
    outcome = run_drill(drill, testbed, lambda line: say(drill.name, line))
    say(drill.name, *report.lines(outcome))
    return outcome


def _unexpected(name: str, drills: Sequence[Drill], testbed: Testbed) -> list[Outcome]:
    """Return a failed outcome for messages of a testbed that belong to none of its drills."""
    strange = [one for one in testbed.messages if not any(drill.subject.has_message(one) for drill in drills)]
    if not strange:
        return []
    outcome = Outcome(f"({name})", problems=[f"unexpected message: {_quoted(one)}" for one in strange])
    say(outcome.name, *outcome.problems)
    return [outcome]


def _quoted(message: ChannelMessage) -> str:
    if message.alerts:
        return f"{message.channel}: {[one.labels for one in message.alerts]}"
    return f"{message.channel}: {message.text[:200]!r}"
