"""Follow one exchange with an outside API, from the request to the end of the answer, and emit it.

An exchange is one request and its answer: a redirect that is followed makes two, a retry that the library does by
itself makes two with `attempt` 1 and 2. Its duration ends with the last byte of the body where the library reads
the body, and with the headers where the application streams it; each hook says which. Nothing here raises.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter
from urllib.parse import urlsplit

from platform_sdk import client, emit
from platform_sdk.diagnostics import note
from platform_sdk.outgoing import outcomes, rate_limits, watcher
from platform_sdk.outgoing.endpoint import template
from platform_sdk.outgoing.rules import Rules

LONGEST_QUERY = 2_000
METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT"))

_attempt: ContextVar[int] = ContextVar("platform_sdk_attempt", default=1)
_quiet: ContextVar[bool] = ContextVar("platform_sdk_quiet", default=False)


@contextmanager
def attempt(number: int) -> Iterator[None]:
    """Tell that calls made within are the try of this number, for retry loops that the hooks cannot see."""
    token = _attempt.set(number)
    try:
        yield
    finally:
        _attempt.reset(token)


@contextmanager
def unrecorded() -> Iterator[None]:
    """Leave out calls made within that are nobody's business."""
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


class _Lowered(dict[str, str]):
    """Headers by names in lower case; of a class of its own, so that nobody looks for other spellings in it."""


class Exchange:
    """Hold what is known of an exchange. `begin` makes one; `end` emits it, once."""

    __slots__ = (
        "_api", "_attempt", "_began", "_duration", "_endpoint", "_limits", "_method", "_reason", "_watcher",
        "bytes", "ended", "status",
    )  # fmt: skip

    def __init__(self, api: str, endpoint: str, method: str, attempt: int) -> None:
        self._api, self._endpoint, self._method, self._attempt = api, endpoint, method, attempt
        self._limits: tuple[float | None, float | None] = (None, None)
        self._reason: str | None = None
        self._watcher = watcher.get()
        self._duration: float | None = None
        self.status: int | None = None
        self.bytes: int | None = None
        self.ended = False
        self._began = perf_counter()

    def answered(self, status: int, headers: Mapping[str, str] | None) -> None:
        """Take the status, the rate limit and the announced size of an answer."""
        try:
            self.status = int(status)
            limits = _Lowered()
            # One pass: most answers tell no limits, and looking a dozen names up in vain takes twice as long.
            for key, value in headers.items() if headers is not None else ():
                name = key.lower()
                if "limit" in name or name == "retry-after":
                    limits[name] = value
                elif name == "content-length":
                    self.bytes = int(value) if value.isdigit() else None
            if limits:
                self._limits = rate_limits.read(limits)
        except Exception as error:  # noqa: BLE001 - never into the application
            note("outgoing", error)

    def failed(self, error: BaseException) -> None:
        """Take an exception that ended the exchange."""
        try:
            reason, status = outcomes.reason_of_exception(error)
            self._reason = self._reason or reason
            self.status = status if self.status is None else self.status
        except Exception as trouble:  # noqa: BLE001 - never into the application
            note("outgoing", trouble)

    def blocked(self) -> None:
        """Take that the answer was useless whatever its status."""
        self._reason = self._reason or "blocked"

    def end(self) -> None:
        """Emit the exchange unless that was done."""
        if self.ended:
            return
        self.ended = True
        self._emit()

    def stop(self) -> None:
        """End the measured time now; `end` comes later."""
        self._duration = perf_counter() - self._began

    def try_again(self) -> None:
        """Emit this try of the exchange and begin the next."""
        self._emit()
        self._attempt += 1
        self._reason = self.status = self.bytes = None
        self._limits = (None, None)
        self.restart()

    def restart(self) -> None:
        """Begin to measure now: the wait before a retry is over."""
        self._began = perf_counter()

    def _emit(self) -> None:
        try:
            if self._watcher is not None:
                self._watcher.told(self.status, self._reason, self.bytes, self._limits)
                return
            reason = self._reason or outcomes.reason_of_status(self.status)
            duration = perf_counter() - self._began if self._duration is None else self._duration
            emit.api_call(
                self._api, self._endpoint, "success" if reason is None else "failure", duration,
                method=self._method, status=self.status, reason=reason, attempt=self._attempt,
                response_bytes=self.bytes, rate_limit_remaining=self._limits[0], rate_limit_reset=self._limits[1],
            )  # fmt: skip
        except Exception as error:  # noqa: BLE001 - never into the application
            note("outgoing", error)


def begin(rules: Rules | None, method: object, url: object, tries_before: int = 0) -> Exchange | None:
    """Return the exchange that begins now, None where it is not to be recorded.

    Of the URL the host, the path's template and the query are kept; the query is redacted by the writer.
    """
    if rules is None or client.current is None or _quiet.get():
        return None
    try:
        parts = urlsplit(str(url))
        host = (parts.hostname or "").rstrip(".")
        api = rules.api_of(host, parts.port) if host else None
        if api is None:
            return None
        endpoint = template(parts.path)
        if parts.query:
            endpoint += f"?{parts.query[:LONGEST_QUERY]}"
        verb = str(method).upper()
        return Exchange(api, endpoint, verb if verb in METHODS else "other", _attempt.get() + tries_before)
    except Exception as error:  # noqa: BLE001 - never into the application
        note("outgoing", error)
        return None
