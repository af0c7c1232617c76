"""What the hooks of httpx and httpx2 share: a request followed through a transport.

The two libraries are alike, and neither is imported here: `Library` holds what is needed of one.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from functools import partial
from types import SimpleNamespace
from typing import Any, Self

from platform_sdk.diagnostics import note
from platform_sdk.outgoing.exchange import Exchange, begin
from platform_sdk.outgoing.hooks import ApiResponse, Apis, Blocked, Hook, Patch, Rules

LONGEST_BODY = 2**20
"""Longer bodies are not shown to `blocked`: they are hardly a captcha."""

_TRIES = "_platform_sdk_tries"

_sending: ContextVar[object] = ContextVar("platform_sdk_httpx", default=None)


class Monitored:
    """What the monitored transports share."""

    _default: Callable[..., Any]

    def __init__(
        self,
        apis: Apis = None,
        *,
        transport: Any = None,
        blocked: Blocked = None,
        only_named: bool = False,
        **options: Any,
    ) -> None:
        self.rules = Rules(apis, blocked, only_named)
        self._transport = self._default(**options) if transport is None else transport


class Library:
    """What the hooks need of httpx, or of httpx2."""

    def __init__(self, module: Any) -> None:
        self.sync_stream, self.async_stream = module.SyncByteStream, module.AsyncByteStream
        self.response = module.Response
        self.body = type("Body", (_Body, self.sync_stream, self.async_stream), {})
        self._transports = module.HTTPTransport, module.AsyncHTTPTransport

    def hook(self) -> Hook:
        """Return the hook of all transports of the library."""

        def patched(transport: Any, request: Any) -> Any:
            return self.send(transport, partial(handle.original, transport), made.rules, request)

        async def patched_async(transport: Any, request: Any) -> Any:
            return await self.send_async(transport, partial(handle_async.original, transport), made.rules, request)

        sync, asynchronous = self._transports
        handle = Patch(sync, "handle_request", patched)
        handle_async = Patch(asynchronous, "handle_async_request", patched_async)
        made = Hook(handle, handle_async)
        return made

    def send(self, transport: Any, handle: Callable[..., Any], rules: Rules | None, request: Any) -> Any:
        """Send a request by a transport, and return the response, followed."""
        with _Sending(self, transport, rules, request) as sending:
            response = handle(request)
        return sending.answered(response, self.sync_stream)

    async def send_async(
        self, transport: Any, handle: Callable[..., Awaitable[Any]], rules: Rules | None, request: Any
    ) -> Any:
        """Send a request by a transport, and return the response, followed."""
        with _Sending(self, transport, rules, request) as sending:
            response = await handle(request)
        return sending.answered(response, self.async_stream)


class _Sending:
    """The time between a request and the head of its response."""

    def __init__(self, library: Library, transport: Any, rules: Rules | None, request: Any) -> None:
        self._library, self._transport, self._rules, self._request = library, transport, rules, request
        self._exchange: Exchange | None = None

    def __enter__(self) -> Self:
        request = self._request
        if _sending.get() is not request:  # otherwise a transport above this one records it
            tries: int = getattr(request, _TRIES, 0)
            self._exchange = begin(self._rules, request.method, request.url, tries or _tries_before(request))
            if self._exchange is not None:
                setattr(request, _TRIES, tries + 1)
                self._token = _sending.set(request)
                if self._exchange.in_job:
                    self._exchange.through(_proxy(self._transport))
                self._exchange.asks(getattr(request, "_content", None))
        return self

    def __exit__(self, kind: object, exception: BaseException | None, trace: object) -> None:
        if self._exchange is None:
            return
        _sending.reset(self._token)
        if exception is not None:
            self._exchange.failed(exception)
            self._exchange.end()

    def answered(self, response: Any, kind: type) -> Any:
        """Take the head of the response, and follow its body, if that is a stream of this kind; return the response."""
        if self._exchange is not None and self._rules is not None:
            self._exchange.answered(response.status_code, response.headers)
            if self._exchange.in_job:
                _follow_decoded(response, self._exchange)
            if isinstance(response.stream, kind):
                response.stream = self._library.body(
                    self._library, self._exchange, self._rules, self._request, response
                )
        return response


def _proxy(transport: Any) -> str | None:
    """Return host and port of the proxy that a transport goes through, in the place where httpx keeps it."""
    try:
        url = transport._pool._proxy_url
        return f"{url.host.decode('ascii')}:{url.port}"
    except Exception:  # noqa: BLE001 - none, or another kind of transport
        return None


def _follow_decoded(response: Any, exchange: Exchange) -> None:
    """Let the exchange see what the application reads of the body, decoded."""
    try:
        decoder = response._get_content_decoder()
        decode, flush = decoder.decode, decoder.flush

        def followed(data: bytes) -> bytes:
            content: bytes = decode(data)
            exchange.read(content)
            return content

        response._decoder = SimpleNamespace(decode=followed, flush=flush)
    except Exception as error:  # noqa: BLE001 - another version of httpx, or another kind of response
        note("httpx", error)


def _tries_before(request: Any) -> int:
    """Return how often a client of OpenAI's or Anthropic's make tried before: it makes a new request each time."""
    text = request.headers.get("x-stainless-retry-count") or ""
    return int(text) if text.isdecimal() and len(text) < 4 else 0


class _Body:
    """The body of a response, sync or async, followed to its end; a stream of its library's by `Library`."""

    def __init__(self, library: Library, exchange: Exchange, rules: Rules, request: Any, response: Any) -> None:
        self._library = library
        self._exchange, self._rules = exchange, rules
        self._stream: Any = response.stream
        self._head = (response.status_code, response.headers, str(request.url.copy_with(userinfo=b"")))
        self._chunks: list[bytes] | None = [] if rules.blocked is not None and response.status_code < 400 else None
        self._count = 0

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._stream:
                self._received(chunk)
                yield chunk
        except Exception as error:
            self._exchange.failed(error)
            raise
        self._ended(whole=True)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._stream:
                self._received(chunk)
                yield chunk
        except GeneratorExit:
            raise
        except BaseException as error:  # cancelled, too
            self._exchange.failed(error)
            raise
        self._ended(whole=True)

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            self._ended(whole=False)

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._ended(whole=False)

    def __del__(self) -> None:
        self._ended(whole=False)  # a response that was never closed

    def _received(self, chunk: bytes) -> None:
        self._count += len(chunk)
        self._exchange.received(chunk)
        if self._chunks is not None:
            self._chunks.append(chunk)
            if self._count > LONGEST_BODY:
                self._chunks = None

    def _ended(self, *, whole: bool) -> None:
        """End the exchange; `whole` says that the body came to its end."""
        if self._exchange.ended:
            return
        try:
            self._exchange.bytes = self._count
            if whole and self._chunks is not None and self._rules.blocks(self._complete):
                self._exchange.blocked()
        except Exception as error:  # noqa: BLE001 - never into the application
            note("httpx", error)
        self._exchange.end(whole=whole)

    def _complete(self) -> ApiResponse:
        status, headers, url = self._head
        decoded = self._library.response(status, headers=headers, content=b"".join(self._chunks or ()))
        return ApiResponse(status, headers, url, decoded.content)
