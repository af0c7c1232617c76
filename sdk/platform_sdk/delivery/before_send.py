"""Let the application drop or change each event before it is stored, in a thread of its own.

The writer hands over a batch and waits, as long as it has time: at a flush, and at the end, no longer than until its
deadline. So a function that takes long, or never returns, holds up nobody who waits for the writer.

The function is given a mapping: `event` (the kind's name), `at` (Unix seconds), and the kind's columns by their names
(docs/kinds.md), and returns it, changed or not, or None to drop the event. Secrets are replaced afterwards.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from platform_sdk.capture.context import freeze
from platform_sdk.delivery import kinds, uwsgi
from platform_sdk.delivery.copy_text import NULL, Moments
from platform_sdk.delivery.encoding import Encoder
from platform_sdk.delivery.intake import Event, silent
from platform_sdk.diagnostics import note
from platform_sdk.options import BeforeSend

if TYPE_CHECKING:
    from platform_sdk.libpq import Deadline

LONGEST_TEXT = 40_000
"""How many characters of a text are taken: those of a stack trace."""

THREAD = "platform-sdk-before-send"

SLOW_SECONDS = 0.25
"""From how long on the log says that the function is slow: nothing else is stored meanwhile."""


POLL_SECONDS = 0.05
"""How often who waits for the function looks whether its own time is over: a flush may cut it while it waits."""


class Questions:
    """Events about which the function is asked, in order, and what it said of the first of them."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events
        self.answers: list[Event | None] = []
        self.ended = threading.Event()
        self.over = False


class Hook:
    """The application's function, its thread, and the `encoder` of what it returns. For the writer alone."""

    def __init__(self, function: BeforeSend, encoder: Encoder) -> None:
        self._function, self._encoder = function, encoder
        self._queue: SimpleQueue[Questions | None] | None = None
        self._late: tuple[Questions, int] | None = None
        self._answers: deque[Event | None] = deque()

    def ask(self, events: Sequence[Event], until: "Deadline") -> int:
        """Ask about events as long as there is time; return of how many `row` now has the answers, in this order.

        An event at which the time was over is to be the first of the next call: what is said of it meanwhile counts.
        """
        self._answers.clear()
        if self._late is not None:
            late, known = self._late
            if not _ended(late, until):
                return 0
            self._late = None
            if events and events[0] is late.events[known]:
                self._answers.extend(late.answers[known:])
        asked = Questions(events[len(self._answers) :])
        if asked.events and time.monotonic() < until():
            self._put(asked, until)
            asked.over = not _ended(asked, until)
            answers = list(asked.answers)
            self._answers.extend(answers)
            self._late = (asked, len(answers)) if asked.over else None
        return len(self._answers)

    def row(self, event: Event, weight: int) -> str | None:
        """Return the row to store, None to drop the event. One that the function fails on stays as it was.

        Raises as `Encoder.row` does where the event as it was has no row.
        """
        changed = self._answers.popleft()
        if changed is None:
            return None
        if changed is not event:
            try:
                return self._encoder.row(changed, weight)
            except Exception as error:  # noqa: BLE001 - values of odd make
                text = self._encoder.unfit(changed) or f"{type(error).__name__}: {error}"
                note("before_send", f"before_send returned what fits no row of {kinds.name_of(event)}: {text}")
        return self._encoder.row(event, weight)

    def end(self) -> None:
        """End the thread, once the function returns."""
        if self._queue is not None:
            self._queue.put(None)

    def _put(self, asked: Questions, until: "Deadline") -> None:
        """Have the thread ask the function, or do so here where there can be none."""
        if self._queue is None and not uwsgi.lacks_threads():
            queue: SimpleQueue[Questions | None] = SimpleQueue()
            with suppress(RuntimeError):  # no thread can be started now
                threading.Thread(target=self._work, args=(queue,), name=THREAD, daemon=True).start()
                self._queue = queue
        if self._queue is None:
            self._answer(asked, until)
        else:
            self._queue.put(asked)

    def _work(self, queue: "SimpleQueue[Questions | None]") -> None:
        while (asked := queue.get()) is not None:
            self._answer(asked, lambda: math.inf)

    def _answer(self, asked: Questions, until: "Deadline") -> None:
        token = silent.set(True)  # what it causes itself is not recorded, or it would never end
        try:
            for event in asked.events:
                if asked.over or time.monotonic() >= until():
                    break
                asked.answers.append(self._changed(event))
        finally:
            silent.reset(token)
            asked.ended.set()

    def _changed(self, event: Event) -> Event | None:
        try:
            described = self._encoder.described(event)
            columns = kinds.VALUES[event[kinds.KIND]]
            given = {
                "event": kinds.name_of(event), "at": event[kinds.AT],
                **dict(zip(columns, described[kinds.FIRST :], strict=True)),
            }  # fmt: skip
            returned = self._called(given, kinds.name_of(event))
            return None if returned is None else _event(described, columns, returned)
        except BaseException as error:  # noqa: BLE001 - the application's code, called by us: sys.exit() in it, too
            note("before_send", error)
            return event

    def _called(self, given: dict[str, Any], kind: str) -> Any:
        began = time.monotonic()
        try:
            return self._function(given)
        finally:
            took = time.monotonic() - began
            if took > SLOW_SECONDS:
                text = f"before_send took {took:.1f} s for one event ({kind}), and all others wait: make it faster"
                note("slow before_send", text)


def _ended(asked: Questions, until: "Deadline") -> bool:
    """Wait for the answers, as long as there is time."""
    while not asked.ended.wait(max(min(POLL_SECONDS, until() - time.monotonic()), 0.0)):
        if time.monotonic() >= until():
            return False
    return True


def _event(event: Event, columns: tuple[str, ...], returned: Any) -> Event:
    """Return an event with other values. Raises TypeError for what cannot be stored, and says why."""
    kind = kinds.name_of(event)
    if not isinstance(returned, Mapping):
        raise TypeError(f"before_send returned {type(returned).__name__}: expected the event, or None to drop it")
    if unknown := set(returned) - {"event", "at", *columns}:
        name = min(map(str, unknown))[:100]
        raise TypeError(f"before_send returned the unknown column {name!r} of {kind}: use context")
    if returned.get("event", kind) != kind:
        raise TypeError(f"before_send changed 'event' of {kind}: expected it as it was, or None to drop the event")
    at = returned.get("at", event[kinds.AT])
    if Moments()(at) == NULL:
        raise TypeError(f"before_send returned no time as 'at' of {kind}: expected Unix seconds")
    values = [_bounded(returned.get(column)) for column in columns]
    for column, was, value in zip(columns, event[kinds.FIRST :], values, strict=True):
        if value is None and was is not None and column in kinds.REQUIRED[event[kinds.KIND]]:
            raise TypeError(f"before_send returned no {column!r} of {kind}: expected the event with all its keys")
    return (event[kinds.KIND], at, *values)


def _bounded(value: Any) -> Any:
    """Return what the application put in, cut as what it logs is."""
    if isinstance(value, str):
        return value[:LONGEST_TEXT]
    return freeze(value)[0] if isinstance(value, dict) else value
