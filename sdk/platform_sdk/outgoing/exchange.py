"""One exchange with an external API, followed from the request to the end of the response.

An exchange is one request and its response: a redirect that is followed makes two, a retry that the library makes
itself makes two with `attempt` 1 and 2. Its duration ends with the last byte of the body where the library reads
the body, and with the headers where the application streams it; each hook says which. Nothing here raises.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from time import perf_counter
from typing import TYPE_CHECKING, Any

from platform_sdk import client, emit, scope
from platform_sdk.diagnostics import note
from platform_sdk.outgoing import api_monitor, outcomes, rate_limits
from platform_sdk.outgoing.blocks import START_BYTES, Page, headers_of
from platform_sdk.outgoing.current_job import running
from platform_sdk.outgoing.hooks import Rules
from platform_sdk.outgoing.proxies import provider_of
from platform_sdk.outgoing.rate_limits import Window
from platform_sdk.parsing import Url, size_of, split_url
from platform_sdk.request_context import current_trace
from platform_sdk.trace import NO_TRACE

if TYPE_CHECKING:
    from platform_sdk.model_usage import ModelUsage
    from platform_sdk.outgoing.gen_ai import Answer

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
        "_answer",
        "_api",
        "_attempt",
        "_began",
        "_consumer",
        "_duration",
        "_endpoint",
        "_headers",
        "_job",
        "_length",
        "_limits",
        "_method",
        "_monitor",
        "_proxy",
        "_reason",
        "_start",
        "_trace",
        "_url",
        "_whole",
        "bytes",
        "ended",
        "status",
    )  # fmt: skip

    def __init__(self, api: str, endpoint: str, method: str, attempt: int) -> None:
        self._api, self._endpoint, self._method, self._attempt = api, endpoint, method, attempt
        self._limits: dict[str, Window] = {}
        self._reason: str | None = None
        self._whole = False
        self._monitor = api_monitor.current.get()
        self._duration: float | None = None
        self._answer: Answer | None = None
        self._trace, self._consumer = current_trace(), scope.consumer()  # a body may end in another context
        self.status: int | None = None
        self.bytes: int | None = None
        self.ended = False
        self._job = running()
        self._proxy: str | None = None
        self._url: Url | None = None
        self._headers: dict[str, str] = {}
        self._start: bytes | None = None
        self._length: int | None = None
        self._began = perf_counter()

    def asks(self, body: object) -> None:
        """Follow the answer, where this is a call to a model; the request's body is read only if it is in memory."""
        if self._method != "POST" or self._url is None:
            return
        try:
            from platform_sdk.outgoing.gen_ai import Answer, operation_of  # loaded by the first POST

            operation = operation_of(self._method, self._url.path)
            if operation is not None:
                self._answer = Answer(operation, body, self._url.path)
        except Exception as error:  # noqa: BLE001 - never into the application
            note("outgoing", error)

    @property
    def follows(self) -> bool:
        """Whether it is a call to a model, whose answer is to be read as the application reads it."""
        return self._answer is not None

    def sent(self, chunk: bytes) -> None:
        """Take a part of the request, of a call to a model."""
        self._follow(lambda answer: answer.sent(chunk))

    def begun(self) -> None:
        """Note that the body has begun to come, of a call to a model."""
        self._follow(lambda answer: answer.begun())

    def received(self, chunk: bytes) -> None:
        """Take a part of the body, of a call to a model."""
        self._follow(lambda answer: answer.received(chunk))

    def decoded(self) -> None:
        """Note that the library decodes what comes of the body, of a call to a model."""
        self._follow(lambda answer: answer.decoded())

    def took(self, body: bytes) -> None:
        """Take a body that the library has read whole, of a call to a model."""
        self._follow(lambda answer: answer.took(body))

    def _follow(self, take: "Callable[[Answer], None]") -> None:
        if self._answer is not None:
            try:
                take(self._answer)
            except Exception as error:  # noqa: BLE001 - never into the application
                self._answer = None
                note("outgoing", error)

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
                    self.bytes = size_of(value)
            if limits:
                self._limits = rate_limits.windows(limits)
            if self._job is not None and headers is not None:
                self._headers = headers_of(headers.items())
            if self._answer is not None and headers is not None:
                self._answer.headed(headers)
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

    @property
    def in_job(self) -> bool:
        """Whether a scraping job made it, which looks for blocks in what is read."""
        return self._job is not None

    def read(self, content: object) -> None:
        """Take a piece of the body, decoded, that the application has read."""
        if isinstance(content, bytes):
            self._length = (self._length or 0) + len(content)
            start = self._start or b""
            if len(start) < START_BYTES:
                self._start = start + content[: START_BYTES - len(start)]

    def blocked(self) -> None:
        """Note that the response was useless, whatever its status."""
        self._reason = self._reason or "blocked"

    def end(self, *, whole: bool = False) -> None:
        """Emit the exchange, once; `whole` says that its body was read to the end."""
        if self.ended:
            return
        self.ended = True
        self._whole = whole
        self._emit()

    def stop(self) -> None:
        """Stop the clock now; `end` comes later."""
        self._duration = perf_counter() - self._began

    def try_again(self) -> None:
        """Emit this try of the exchange and begin the next."""
        self._emit()
        self._attempt += 1
        self._reason = self.status = self.bytes = None
        self._limits = {}
        self._start, self._length, self._headers = None, None, {}
        self.restart()

    def restart(self) -> None:
        """Start the clock again: the wait before a retry is over."""
        self._began = perf_counter()
        if self._answer is not None:
            self._answer = self._answer.again()

    def through(self, proxy: object) -> None:
        """Take the address of the proxy that the request goes through; only who provides it is kept."""
        if proxy and self._job is not None:
            self._proxy = provider_of(proxy)

    def to(self, url: Url) -> None:
        """Take where the request goes."""
        self._url = url

    def _tell_job(self, url: Url) -> None:
        """Count the exchange in the scraping job that made it; what blocks that is the reason of its failure."""
        size = self.bytes if self._length is None else self._length
        page = Page(self._method, url.path, self.status or 0, self._headers, self._start, size)
        block = "custom" if self._reason == "blocked" else None
        if self._job is not None and self._job.observe(
            url.host, page, size_bytes=self.bytes, retry=self._attempt > 1, block=block, proxy=self._proxy,
            seconds=perf_counter() - self._began,
        ):  # fmt: skip
            self._reason = self._reason or "blocked"

    def _emit(self) -> None:
        try:
            if self._job is not None and self._url is not None:
                self._tell_job(self._url)
            usage = self._usage()
            if self._monitor is not None:
                self._monitor.take_from_hook(self.status, self._reason, self.bytes, self._limits, usage)
                return
            reason = self._reason or outcomes.reason_of_status(self.status)
            duration = perf_counter() - self._began if self._duration is None else self._duration
            emit.api_call(
                self._api, self._endpoint, "success" if reason is None else "failure", duration,
                method=self._method, status=self.status, reason=reason, attempt=self._attempt,
                response_bytes=self.bytes, usage=usage, cost=emit.cost_of(usage),
                trace=None if self._trace is NO_TRACE else self._trace, consumer=self._consumer,
                **rate_limits.of_calls(self._limits),
            )  # fmt: skip
            if self._limits:
                rate_limits.record(self._api, self._limits)
        except Exception as error:  # noqa: BLE001 - never into the application
            note("outgoing", error)

    def _usage(self) -> "ModelUsage | None":
        """Return what a model's answer says; an error within it is a failure, whatever the status was."""
        try:
            usage = None if self._answer is None else self._answer.usage(whole=self._whole)
        except Exception as error:  # noqa: BLE001 - of whatever answer: the call counts all the same
            note("outgoing", error)
            return None
        if usage is not None and usage.error_type is not None and outcomes.reason_of_status(self.status) is None:
            self._reason = self._reason or "server_error"
        return usage


def begin(rules: Rules | None, method: object, url: object, tries_before: int = 0) -> Exchange | None:
    """Return the exchange that begins now, None where it is not to be recorded.

    Of the URL the host, the path's template and the query are kept; the query is redacted by the writer.
    """
    if rules is None or client.current is None or _quiet.get():
        return None
    try:
        parts = split_url(url)
        api = rules.api_of(parts.host, parts.port) if parts.host else None
        if api is None:
            return None
        endpoint = template(parts.path)
        if parts.query:
            endpoint += f"?{parts.query[:LONGEST_QUERY]}"
        verb = str(method).upper()
        exchange = Exchange(api, endpoint, verb if verb in METHODS else "other", _attempt.get() + tries_before)
        exchange.to(parts)
        return exchange
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
