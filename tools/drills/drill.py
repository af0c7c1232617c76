"""One drill: an incident, what should come of it, and how it is played."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tools.drills.applications import Application
from tools.drills.bench import Bench
from tools.drills.verdict import Evidence, Outcome, Subject, Wanted, judge
from tools.stack.errors import StackError
from tools.stack.process import poll_until

TOLD_DEADLINE_SECONDS = 420
OVER_DEADLINE_SECONDS = 1200

Act = Callable[[Bench], None]


@dataclass(frozen=True)
class Drill:
    """One incident.

    bench names the stack it is played on. warm_seconds: how long traffic must have run before. lasts_seconds: how long
    the incident goes on after all were told. settle_seconds: how long further pages are looked for when all is over.
    between is done when all were told. applications and thresholds are what it needs; notes are said in the output.
    """

    name: str
    happens: str
    bench: str
    subject: Subject
    wanted: Wanted
    begin: Act
    end: Act
    between: Act | None = None
    warm_seconds: float = 30
    lasts_seconds: float = 15
    settle_seconds: float = 12
    applications: tuple[Application, ...] = ()
    thresholds: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def play(drill: Drill, bench: Bench, say: Callable[[str], None]) -> Outcome:
    """Play a drill from its beginning until all is over, and return how it went."""
    bench.wait_until_warm(drill.warm_seconds)
    began_at, ended_at = time.monotonic(), None
    say(f"begins: {drill.happens}")

    def evidence() -> Evidence:
        return bench.evidence(drill.subject, began_at, ended_at)

    try:
        drill.begin(bench)
        try:
            poll_until(lambda: evidence().told(drill.wanted), TOLD_DEADLINE_SECONDS, interval_seconds=0.2)
            say(f"told {_seconds(judge(drill.name, drill.wanted, evidence()).told_seconds)}")
            if drill.between:
                drill.between(bench)
            time.sleep(drill.lasts_seconds)
        except StackError:
            say(f"NOT told within {TOLD_DEADLINE_SECONDS} s")
    finally:
        ended_at = time.monotonic()
        drill.end(bench)
    say(f"the incident is over after {ended_at - began_at:.0f} s")
    try:
        poll_until(lambda: _over(evidence()), OVER_DEADLINE_SECONDS, interval_seconds=0.5)
        # Not for a state: to see that nothing more comes.
        time.sleep(drill.settle_seconds)
    except StackError:
        say(f"NOT over within {OVER_DEADLINE_SECONDS} s")
    return judge(drill.name, drill.wanted, evidence())


def _over(evidence: Evidence) -> bool:
    looked_after = evidence.ended_at is not None and evidence.looked_at > evidence.ended_at + 10
    return looked_after and evidence.over


def _seconds(by_channel: dict[str, float]) -> str:
    return ", ".join(f"{channel} after {seconds:.1f} s" for channel, seconds in by_channel.items())
