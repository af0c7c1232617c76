"""The intake of events, in the application's own threads: one append, one count, no lock.

Counting and appending are one C call: `lane.extend(compress((event,), produced))` takes the event, then one number
from the counter `produced`, and appends the event. Neither another thread nor an exception from a signal handler
(Ctrl-C, a worker's time limit) can come between the two, so the count is exact without a lock. It is independent of
what is later stored or dropped: comparing the two proves something.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from itertools import compress, count, repeat, starmap
from typing import Any

from platform_sdk.diagnostics import note
from platform_sdk.events import EVENTS
from platform_sdk.options import Options

# The first element of an event says its kind; times are Unix seconds.
Event = tuple[Any, ...]

REASONS = ("overflow", "spool_full", "spool_corrupt", "poison", "serialization", "shutdown", "internal")
"""The closed list of why an event was dropped."""


def value_of(counter: "count[int]") -> int:
    """Return how many numbers a counter that began at 1 has given, without taking one."""
    return int(repr(counter)[6:-1]) - 1


PLAIN_SHARE, OTHER_SHARE, URGENT_SHARE = 0.6, 0.8, 1.0
"""Up to what share of `buffer_bytes` each lane takes events in: the last fifth is for errors and finished jobs."""


class Lane:
    """The waiting events of one priority; no more than `limit`, and none above `most_bytes` of all lanes."""

    __slots__ = ("events", "limit", "most_bytes", "wake_at")

    def __init__(self, limit: int, wake_at: int, most_bytes: float) -> None:
        self.events: deque[Event] = deque()
        self.limit = limit
        self.most_bytes = most_bytes
        self.wake_at = min(wake_at, max(limit // 2, 1))


class Intake:
    """Everything that application threads touch. One per process: a fork makes a new one.

    `lanes` has the lane of each kind. `wake` is a lock used as a signal: the writer waits to acquire it, any thread may
    release it. An Event would take a lock of its own here, which a signal handler in the same thread could find taken,
    forever.
    """

    def __init__(self, options: Options, start: Callable[[], None]) -> None:
        self.options = options
        room = options.buffer_bytes
        self.plain = Lane(options.plain_events, options.batch_events, PLAIN_SHARE * room)
        self.other = Lane(options.other_events, options.batch_events, OTHER_SHARE * room)
        self.urgent = Lane(options.urgent_events, 200, URGENT_SHARE * room)
        lanes = {"plain": self.plain, "other": self.other, "urgent": self.urgent}
        self.lanes = tuple(lanes[kind.lane] for kind in EVENTS)
        self.jobs: dict[str, Event] = {}
        self.produced = count(1)
        self.overflow = count(1)
        self.internal = count(1)
        self._refuse = zip(self.produced, self.overflow, strict=False)
        self._fail = zip(self.produced, self.internal, strict=False)
        # Added to without a lock: an addition may get lost now and then, until the writer sets it again each round.
        self.waiting_bytes = 0
        self.running = False
        self.wake = threading.Lock()
        self._start = start

    def put(self, lane: Lane, event: Event, size: int) -> None:
        """Append an event of about `size` bytes, or count that there was no room for it."""
        events = lane.events
        waiting = len(events)
        if waiting >= lane.limit or self.waiting_bytes > lane.most_bytes:
            next(self._refuse)
            return
        self.waiting_bytes += size
        events.extend(compress((event,), self.produced))
        if not self.running or (waiting >= lane.wake_at and self.wake.locked()):
            self.rouse()

    def put_job(self, job_id: str, state: Event) -> None:
        """Keep the newest state of a live job; states are no events, only the newest counts."""
        if len(self.jobs) < self.options.urgent_events or job_id in self.jobs:
            self.jobs[job_id] = state
        if not self.running:
            self.rouse()

    def fail(self, function: str = "emit", error: Exception | None = None) -> None:
        """Count an event lost to an error of ours, or to an argument of a wrong type, and log it. Never raises."""
        next(self._fail)
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
        into.extend(starmap(lane.events.popleft, repeat((), min(len(lane.events), limit))))

    @property
    def waiting(self) -> int:
        """Return how many events wait."""
        return len(self.plain.events) + len(self.other.events) + len(self.urgent.events)
