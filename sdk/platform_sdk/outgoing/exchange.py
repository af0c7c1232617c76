"""One exchange with an external API, followed from the request to the end of the response.

An exchange is one request and its response: a redirect that is followed makes two, a retry that the library makes
itself makes two with `attempt` 1 and 2. Its duration ends with the last byte of the body where the library reads
the body, and with the headers where the application streams it; each hook says which. Nothing here raises.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from platform_sdk import client, emit
from platform_sdk.diagnostics import note
from platform_sdk.outgoing import api_monitor, outcomes, rate_limits
from platform_sdk.outgoing.hooks import Rules

ID = "{id}"
LONGEST_QUERY, LONGEST_PATH, LONGEST_SEGMENT = 2_000, 400, 40
METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT"))

_VERSION = re.compile(r"v\d+(?:[.-]?(?:\d+|alpha\d*|beta\d*))*", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(\.[a-z]{2,5})?")
_HEXADECIMAL = re.compile(r"(?=.*\d)[0-9a-f]{8,}", re.IGNORECASE)

_attempt: ContextVar[int] = ContextVar("platform_sdk_attempt", default=1)
_quiet: ContextVar[bool] = ContextVar("platform_sdk_quiet", default=False)


def attempt(number: int) -> AbstractContextManager[None]:
    """Record calls made within as the try of this number, for retry loops that the hooks cannot see."""
    return _setting(_attempt, number)


def unrecorded() -> AbstractContextManager[None]:
    """Leave out the calls made within."""
    return _setting(_quiet, True)


@contextmanager
def _setting(variable: ContextVar[Any], value: Any) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


class _Lowered(dict[str, str]):
    """Headers by names in lower case; its class spares a search for other spellings."""


class Exchange:
    """What is known of an exchange. `begin` makes one; `end` emits it, once."""

    __slots__ = (
        "_api",
        "_attempt",
        "_began",
        "_duration",
        "_endpoint",
        "_limits",
        "_method",
        "_monitor",
        "_reason",
        "bytes",
        "ended",
        "status",
    )  # fmt: skip

    def __init__(self, api: str, endpoint: str, method: str, attempt: int) -> None:
        self._api, self._endpoint, self._method, self._attempt = api, endpoint, method, attempt
        self._limits: tuple[float | None, float | None] = (None, None)
        self._reason: str | None = None
        self._monitor = api_monitor.current.get()
        self._duration: float | None = None
        self.status: int | None = None
        self.bytes: int | None = None
        self.ended = False
        self._began = perf_counter()

    def answered(self, status: int, headers: Mapping[str, str] | None) -> None:
        """Take the status, the rate limit and the announced size of a response."""
        try:
            self.status = int(status)
            limits = _Lowered()
            # One pass: most responses have no limits, and looking up a dozen names takes twice as long.
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

    def failed(self, exception: BaseException) -> None:
        """Take an exception that ended the exchange."""
        try:
            reason, status = outcomes.reason_of_exception(exception)
            self._reason = self._reason or reason
            self.status = status if self.status is None else self.status
        except Exception as error:  # noqa: BLE001 - never into the application
            note("outgoing", error)

    def blocked(self) -> None:
        """Note that the response was useless, whatever its status."""
        self._reason = self._reason or "blocked"

    def end(self) -> None:
        """Emit the exchange, once."""
        if self.ended:
            return
        self.ended = True
        self._emit()

    def stop(self) -> None:
        """Stop the clock now; `end` comes later."""
        self._duration = perf_counter() - self._began

    def try_again(self) -> None:
        """Emit this try of the exchange and begin the next."""
        self._emit()
        self._attempt += 1
        self._reason = self.status = self.bytes = None
        self._limits = (None, None)
        self.restart()

    def restart(self) -> None:
        """Start the clock again: the wait before a retry is over."""
        self._began = perf_counter()

    def _emit(self) -> None:
        try:
            if self._monitor is not None:
                self._monitor.take_from_hook(self.status, self._reason, self.bytes, self._limits)
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


def template(path: str) -> str:
    """Return the path with ids, hashes, DOIs, addresses and tokens replaced by `{id}`; versions (`v1`) stay.

    A segment counts as an id where it is a number, has four digits or more, is hexadecimal, longer than 40 characters,
    has a character that words do not (`%`, `@`, `:`, `=`, `,`), or looks random.
    """
    return "/".join(map(_segment, path[:LONGEST_PATH].split("/"))) or "/"


def _segment(text: str) -> str:
    if text.isalpha() and len(text) < 16:  # nearly all of them
        return text
    if number := _NUMBER.fullmatch(text):
        return ID + (number[1] or "")
    if _VERSION.fullmatch(text) and len(text) < 16:
        return text
    strange = any(mark in text for mark in "%@:=,")
    digits = sum(character.isdigit() for character in text)
    if strange or digits >= 4 or len(text) > LONGEST_SEGMENT or _HEXADECIMAL.fullmatch(text) or _is_random(text):
        return ID
    return text


def _is_random(text: str) -> bool:
    """Tell tokens from words: CamelCase has a capital in five letters or fewer, and no digits inside of a long word."""
    if len(text) < 16 or not text.isalnum():
        return False
    capitals = sum(character.isupper() for character in text)
    return capitals * 4 >= len(text) or any(character.isdigit() for character in text)
