"""Let the application drop or change each event before it is stored, in the writer thread.

The function is given a mapping: `event` (the kind's name), `at` (Unix seconds), and the kind's columns by their names
(docs/kinds.md), and returns it, changed or not, or None to drop the event. Secrets are replaced afterwards.
"""

import time
from collections.abc import Mapping
from typing import Any

from platform_sdk.delivery import kinds
from platform_sdk.delivery.copy_text import NULL, Moments
from platform_sdk.delivery.encoding import Encoder
from platform_sdk.delivery.intake import Event, silent
from platform_sdk.diagnostics import note
from platform_sdk.options import BeforeSend

SLOW_SECONDS = 0.25
"""From how long on the log says that the function is slow: nothing else is stored meanwhile."""


class Hook:
    """The application's function, and the `encoder` of what it returns."""

    def __init__(self, function: BeforeSend, encoder: Encoder) -> None:
        self._function, self._encoder = function, encoder

    def row(self, event: Event, weight: int) -> str | None:
        """Return the row to store, None to drop the event. One that the function fails on stays as it was.

        Raises as `Encoder.row` does where the event as it was has no row.
        """
        changed = self._changed(event)
        if changed is None:
            return None
        if changed is not event:
            try:
                return self._encoder.row(changed, weight)
            except Exception as error:  # noqa: BLE001 - values of odd make
                text = self._encoder.unfit(changed) or f"{type(error).__name__}: {error}"
                note("before_send", f"before_send returned what fits no row of {kinds.name_of(event)}: {text}")
        return self._encoder.row(event, weight)

    def _changed(self, event: Event) -> Event | None:
        token = silent.set(True)  # what it causes itself is not recorded, or it would never end
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
        finally:
            silent.reset(token)

    def _called(self, given: dict[str, Any], kind: str) -> Any:
        began = time.monotonic()
        try:
            return self._function(given)
        finally:
            took = time.monotonic() - began
            if took > SLOW_SECONDS:
                text = f"before_send took {took:.1f} s for one event ({kind}), and all others wait: make it faster"
                note("slow before_send", text)


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
    values = [returned.get(column) for column in columns]
    for column, was, value in zip(columns, event[kinds.FIRST :], values, strict=True):
        if value is None and was is not None and column in kinds.REQUIRED[event[kinds.KIND]]:
            raise TypeError(f"before_send returned no {column!r} of {kind}: expected the event with all its keys")
    return (event[kinds.KIND], at, *values)
