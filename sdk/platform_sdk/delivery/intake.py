"""The intake of events, in the application's own threads: one append, one count, no lock.

Counting and appending are one C call: an event lies in its lane's `box`, and `next(lane.move)` takes it from there,
appends it, takes one number from the counter `produced`, and notes it where a kill does not reach it. Neither another
thread nor an exception from a signal handler (Ctrl-C, a worker's time limit) can come between these, so the count is
exact without a lock. It is independent of what is later stored or dropped: comparing the two proves something.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from itertools import count, repeat, starmap
from operator import setitem
from typing import Any

from platform_sdk.capture.ignored import Ignored
from platform_sdk.delivery import presence
from platform_sdk.diagnostics import note
from platform_sdk.events import EVENTS
from platform_sdk.options import Options

# The first element of an event says its kind; times are Unix seconds.
Event = tuple[Any, ...]

REASONS = (
    "overflow", "spool_full", "spool_corrupt", "poison", "serialization", "shutdown", "killed", "internal",
    "before_send",
)  # fmt: skip
"""The closed list of why an event was dropped."""


def value_of(counter: "count[int]") -> int:
    """Return how many numbers a counter that began at 1 has given, without taking one."""
    return int(repr(counter)[6:-1]) - 1


PLAIN_SHARE, OTHER_SHARE, URGENT_SHARE = 0.6, 0.8, 1.0
"""Up to what share of `buffer_bytes` each lane takes events in: the last fifth is for errors and finished jobs."""


_HERE, _RUNNING = 0, 1
"""Flags: this is the process that the intake was made in; its writer runs."""
silent: ContextVar[bool] = ContextVar("platform_sdk_silent", default=False)
"""Whether the application's `before_send` runs here."""


URGENT_BATCH = 200
"""How many urgent events wake the writer while it rests; afterwards one does."""


class Lane:
    """The waiting events of one priority; no more than `limit`, and none above `most_bytes` of all lanes."""

    __slots__ = ("box", "events", "limit", "most_bytes", "move", "name", "wake_at")

    def __init__(self, name: str, limit: int, wake_at: int, most_bytes: float) -> None:
        self.name = name
        self.events: deque[Event] = deque()
        self.box: list[Event] = []
        self.move: Iterator[object] = iter(())
        self.limit = limit
        self.most_bytes = int(most_bytes)
        self.wake_at = min(wake_at, max(limit // 2, 1))


class Intake:
    """Everything that application threads touch. One per process: a fork makes a new one.

    `heir` returns the one of this process, where a fork ran no hooks and this one is still the parent's. `lanes` has
    the lane of each kind. `wake` is a lock used as a signal: the writer waits to acquire it, any thread may release it.
    An Event would take a lock of its own here, which a signal handler in the same thread could find taken, forever.
    """

    def __init__(self, options: Options, start: Callable[[], None], heir: "Callable[[], Intake] | None" = None) -> None:
        self.options = options
        self.ignored = Ignored(options.ignore_errors) if options.ignore_errors else None
        room = options.buffer_bytes
        self.plain = Lane("plain", options.plain_events, options.batch_events, PLAIN_SHARE * room)
        self.other = Lane("other", options.other_events, options.batch_events, OTHER_SHARE * room)
        self.urgent = Lane("urgent", options.urgent_events, URGENT_BATCH, URGENT_SHARE * room)
        self.by_name = {lane.name: lane for lane in (self.plain, self.other, self.urgent)}
        self.lanes = tuple(self.by_name[kind.lane] for kind in EVENTS)
        self.jobs: dict[str, Event] = {}
        self.produced = count(1)
        self.overflow = count(1)
        self.internal = count(1)
        self.count_in(memoryview(bytearray(8)).cast("Q"))
        # Added to without a lock: an addition may get lost now and then, until the writer sets it again each round.
        self.waiting_bytes = 0
        self._flags = presence.flags(2)
        self._flags[_HERE] = 1
        self.wake = threading.Lock()
        self._start = start
        self._heir = heir or (lambda: self)

    @property
    def foreign(self) -> bool:
        """Whether this process is a child of the one that the intake belongs to."""
        return not self._flags[_HERE]

    def count_in(self, counts: "memoryview[int]") -> None:
        """Note in `counts[0]`, from now on, how many events were produced."""
        note_count: Callable[[Any, int, int], None] = setitem
        counted = map(note_count, repeat(counts), repeat(0), self.produced)
        for lane in self.by_name.values():
            moved = map(lane.events.append, starmap(lane.box.pop, repeat(())))
            lane.move = zip(moved, counted, strict=False)
        self._refuse = zip(counted, self.overflow, strict=False)
        self._fail = zip(counted, self.internal, strict=False)
        counts[0] = value_of(self.produced)

    def move_here(self) -> None:
        """Make it this process's: the one that it was made in uses it no longer."""
        self._flags[_HERE] = 1

    @property
    def running(self) -> bool:
        """Whether the writer runs."""
        return bool(self._flags[_RUNNING])

    @running.setter
    def running(self, runs: bool) -> None:
        self._flags[_RUNNING] = runs

    def put(self, lane: Lane, event: Event, size: int) -> None:
        """Append an event of about `size` bytes, or count that there was no room for it."""
        running = self._flags[_RUNNING]
        if not running and self.foreign:
            heir = self._heir()
            heir.put(heir.by_name[lane.name], event, size)
            return
        events = lane.events
        waiting = len(events)
        if waiting >= lane.limit or self.waiting_bytes > lane.most_bytes:
            next(self._refuse)
            return
        self.waiting_bytes += size
        lane.box.append(event)
        try:  # noqa: SIM105 - this is the path of each event
            next(lane.move)
        except IndexError:  # the writer has moved it
            pass
        if not running or (waiting >= lane.wake_at and self.wake.locked()):
            self.rouse()

    def put_job(self, job_id: str, state: Event) -> None:
        """Keep the newest state of a live job; states are not events, only the newest counts."""
        if self.foreign:
            self._heir().put_job(job_id, state)
            return
        if len(self.jobs) < self.options.urgent_events or job_id in self.jobs:
            self.jobs[job_id] = state
        if not self.running:
            self.rouse()

    def fail(self, function: str = "emit", error: Exception | str | None = None) -> None:
        """Count an event lost to an error of ours, or to an argument of a wrong type, and log it. Never raises."""
        next((self._heir() if self.foreign else self)._fail)
        if error is not None:
            note(function, error)

    def rouse(self) -> None:
        """Wake the writer, and start it where there is none."""
        if not self.running:
            self._start()
        with contextlib.suppress(RuntimeError):  # it is awake already
            self.wake.release()

    def take(self, lane: Lane, into: list[Event], limit: int) -> None:
        """Move up to `limit` waiting events to the end of `into`: one C call, as above. For the writer alone."""
        while lane.box:  # of a thread that an exception or another thread has interrupted
            with contextlib.suppress(IndexError):
                next(lane.move)
        into.extend(starmap(lane.events.popleft, repeat((), min(len(lane.events), limit))))

    @property
    def waiting(self) -> int:
        """Return how many events wait."""
        return len(self.plain.events) + len(self.other.events) + len(self.urgent.events)


class HookedIntake(Intake):
    """The intake where the application has a `before_send`: what that one causes itself is left out."""

    def put(self, lane: Lane, event: Event, size: int) -> None:
        """Append an event, or count that there was no room for it."""
        if not silent.get():
            super().put(lane, event, size)
