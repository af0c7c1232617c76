"""Try a target's kept inputs, then new ones; keep what finds something."""

import contextlib
import hashlib
import re
import resource
import signal
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType

from tools.fuzz.target import Check, Target

SEEDS = Path(__file__).parent / "seeds"
"""Inputs that found something once, in a folder for each target. They are tried before new ones, by the tests too."""

HANGS_SECONDS = 30.0
"""After so much processor time an input is given up."""

MOST_KEPT = 20
"""Faults of one run that are kept: as many as one reads."""


@dataclass(frozen=True)
class Fault:
    """What an input found: its problem in words, and how to try it again."""

    problem: str
    again: str


@dataclass
class Outcome:
    """One run's result. Time is that of the processor, which a busy machine does not change."""

    target: str
    cases: int = 0
    slowest_seconds: float = 0.0
    megabytes: float = 0.0
    faults: dict[str, Fault] = field(default_factory=dict)
    """The first input of each kind of fault."""

    failed: int = 0
    """How many inputs found something."""


class HangingError(Exception):
    """Raised when an input takes too long."""


def run(target: Target, cases: int, seed: int = 0, *, first: int = 0, kept: Path = SEEDS, keep: bool = True) -> Outcome:
    """Try the kept inputs, then `cases` new ones from number `first`, in this thread, which must be the main one.

    With `keep` an input that finds something is written to the folder of kept inputs.
    """
    outcome = Outcome(target.name)
    folder = kept / target.name
    with target.checking() as check, _alarm():
        for path in sorted(folder.glob("*")) if first == 0 else ():
            _try(target, check, path.read_bytes(), str(path), outcome)
        for number in range(first, first + cases):
            data = target.make(Random(f"{target.name} {seed} {number}"))
            again = f"python -m tools.fuzz {target.name} --seed {seed} --first {number} --cases 1"
            if _try(target, check, data, again, outcome) and keep and len(outcome.faults) <= MOST_KEPT:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)
    outcome.megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return outcome


def _try(target: Target, check: Check, data: bytes, again: str, outcome: Outcome) -> bool:
    """Return whether an input finds a fault of a kind that was not found yet."""
    problem, began = "", time.process_time()
    signal.setitimer(signal.ITIMER_PROF, HANGS_SECONDS)
    try:
        check(data)
    except AssertionError as error:
        problem = str(error) or "".join(traceback.format_exception(error))
    except Exception as error:  # noqa: BLE001 - what nobody foresaw is what is looked for
        problem = "".join(traceback.format_exception(error))
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    seconds = time.process_time() - began
    outcome.cases += 1
    outcome.slowest_seconds = max(outcome.slowest_seconds, seconds)
    if not problem and seconds > target.limit_seconds:
        problem = f"it took more than {target.limit_seconds:g} s of processor time"
    outcome.failed += bool(problem)
    kind = re.sub(r"'[^']*'|\"[^\"]*\"|\d+", "", problem.strip().rpartition("\n")[2])[:200]
    if not problem or kind in outcome.faults:
        return False
    outcome.faults[kind] = Fault(problem, again)
    return True


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    def give_up(number: int, frame: FrameType | None) -> None:
        raise HangingError(f"no end after {HANGS_SECONDS:g} s of processor time")

    before = signal.signal(signal.SIGPROF, give_up)
    try:
        yield
    finally:
        signal.signal(signal.SIGPROF, before)
