"""Wait for a state by asking for it again and again, never by sleeping for a guessed while."""

import time
from collections.abc import Callable
from typing import TypeVar

from tools.stack.errors import StackError

T = TypeVar("T")


def poll_until(
    predicate: Callable[[], T], deadline_seconds: float, *, interval_seconds: float = 0.02, what: str = ""
) -> T:
    """Return the predicate's first true value.

    The predicate is asked at least once, and once more after the deadline, so that a slow machine gets no false alarm.

    Raises StackError when the deadline has passed; an exception of the predicate goes through.
    """
    deadline = time.monotonic() + deadline_seconds
    while True:
        late = time.monotonic() >= deadline
        value = predicate()
        if value:
            return value
        if late:
            name = what or getattr(predicate, "__name__", "the state")
            raise StackError(f"waited {deadline_seconds:g} s in vain for {name}; last answer: {value!r}")
        time.sleep(interval_seconds)
