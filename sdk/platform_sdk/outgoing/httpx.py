"""Record calls made with httpx, sync and async.

    from platform_sdk.outgoing import httpx as outgoing
    outgoing.install(apis={"api.openalex.org": "openalex"})                      # every client of this process
    client = httpx.Client(transport=outgoing.MonitoredTransport(apis={...}))     # or only this one

`install` covers clients made before, too. It is the transport that is patched: clients' event hooks do not see timeouts
and refused connections. Durations end when the body is read or closed, streamed or not; sizes are bytes as received. A
request that is sent again, as retrying transports do, has its `attempt`. With `blocked`, bodies up to 1 MiB are kept
until they end.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from functools import partial
from typing import Any, Self

import httpx

from platform_sdk.diagnostics import note
from platform_sdk.outgoing.exchange import Exchange, begin
from platform_sdk.outgoing.hooks import ApiResponse, Apis, Blocked, Hook, Patch, Rules

LONGEST_BODY = 2**20
"""Longer bodies are not shown to `blocked`: they are hardly a captcha."""

_TRIES = "_platform_sdk_tries"

_sending: ContextVar[httpx.Request | None] = ContextVar("platform_sdk_httpx", default=None)


class _Monitored:
    """What both transports below share."""

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


class MonitoredTransport(_Monitored, httpx.BaseTransport):
    """Record what goes through another transport; without one, through an `httpx.HTTPTransport` of these options."""

    _default = httpx.HTTPTransport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on."""
        return _send(self._transport.handle_request, self.rules, request)

    def close(self) -> None:
        """Close the other transport."""
        self._transport.close()


class MonitoredAsyncTransport(_Monitored, httpx.AsyncBaseTransport):
    """Record what goes through another transport; without one, an `httpx.AsyncHTTPTransport` of these options."""

    _default = httpx.AsyncHTTPTransport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on."""
        return await _send_async(self._transport.handle_async_request, self.rules, request)

    async def aclose(self) -> None:
        """Close the other transport."""
        await self._transport.aclose()


def _patched_handle(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
    return _send(partial(_handle.original, transport), _hook.rules, request)


async def _patched_handle_async(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
    return await _send_async(partial(_handle_async.original, transport), _hook.rules, request)


_handle = Patch(httpx.HTTPTransport, "handle_request", _patched_handle)
_handle_async = Patch(httpx.AsyncHTTPTransport, "handle_async_request", _patched_handle_async)
_hook = Hook(_handle, _handle_async)
install, uninstall = _hook.install, _hook.uninstall


def _send(handle: Callable[..., httpx.Response], rules: Rules | None, request: httpx.Request) -> httpx.Response:
    with _Sending(rules, request) as sending:
        response = handle(request)
    return sending.answered(response, httpx.SyncByteStream)


async def _send_async(
    handle: Callable[..., Awaitable[httpx.Response]], rules: Rules | None, request: httpx.Request
) -> httpx.Response:
    with _Sending(rules, request) as sending:
        response = await handle(request)
    return sending.answered(response, httpx.AsyncByteStream)


class _Sending:
    """The time between a request and the head of its response."""

    def __init__(self, rules: Rules | None, request: httpx.Request) -> None:
        self._rules, self._request = rules, request
        self._exchange: Exchange | None = None

    def __enter__(self) -> Self:
        request = self._request
        if _sending.get() is not request:  # otherwise a transport above this one records it
            tries: int = getattr(request, _TRIES, 0)
            self._exchange = begin(self._rules, request.method, request.url, tries)
            if self._exchange is not None:
                setattr(request, _TRIES, tries + 1)
                self._token = _sending.set(request)
        return self

    def __exit__(self, kind: object, exception: BaseException | None, trace: object) -> None:
        if self._exchange is None:
            return
        _sending.reset(self._token)
        if exception is not None:
            self._exchange.failed(exception)
            self._exchange.end()

    def answered(self, response: httpx.Response, kind: type) -> httpx.Response:
        """Take the head of the response, and follow its body, if that is a stream of this kind; return the response."""
        if self._exchange is not None and self._rules is not None:
            self._exchange.answered(response.status_code, response.headers)
            if isinstance(response.stream, kind):
                response.stream = _Body(self._exchange, self._rules, self._request, response)
        return response


class _Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of a response, sync or async, followed to its end."""

    def __init__(self, exchange: Exchange, rules: Rules, request: httpx.Request, response: httpx.Response) -> None:
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
        self._exchange.end()

    def _complete(self) -> ApiResponse:
        status, headers, url = self._head
        decoded = httpx.Response(status, headers=headers, content=b"".join(self._chunks or ()))
        return ApiResponse(status, headers, url, decoded.content)
