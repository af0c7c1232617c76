"""Record calls made with httpx, sync and async.

    from platform_sdk.outgoing import httpx as outgoing
    outgoing.install(apis={"api.openalex.org": "openalex"})                      # every client of this process
    client = httpx.Client(transport=outgoing.MonitoredTransport(apis={...}))     # or only this one

It is the transport that is watched: clients' event hooks are not told of timeouts and refused connections. Durations
end when the body is read or closed, streamed or not; sizes are bytes as they came. A request that is sent once more,
as retrying transports do, is told apart by `attempt`. With `blocked`, bodies up to 1 MiB are kept until they end.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

import httpx

from platform_sdk.diagnostics import note
from platform_sdk.outgoing.exchange import Exchange, begin
from platform_sdk.outgoing.patch import Patch
from platform_sdk.outgoing.rules import Answer, Predicate, Rules, rules_of

LONGEST_BODY = 2**20
"""Bodies longer than this are not shown to `blocked`: an answer that long is hardly a captcha."""

_TRIES = "_platform_sdk_tries"

_rules: Rules | None = None
_sending: ContextVar[httpx.Request | None] = ContextVar("platform_sdk_httpx", default=None)

_handle = Patch(httpx.HTTPTransport, "handle_request")
_handle_async = Patch(httpx.AsyncHTTPTransport, "handle_async_request")


def install(
    apis: Mapping[str, str] | None = None, *, blocked: Predicate | None = None, only_named: bool = False
) -> None:
    """Record the calls of all clients, those made before too; a second call changes the rules."""
    global _rules
    _rules = rules_of(apis, blocked, only_named)
    _handle.apply(_patched_handle)
    _handle_async.apply(_patched_handle_async)


def uninstall() -> None:
    """Leave httpx as it was found."""
    global _rules
    _rules = None
    _handle.remove()
    _handle_async.remove()


class MonitoredTransport(httpx.BaseTransport):
    """Record what goes through another transport; without one, through an `httpx.HTTPTransport` of these options."""

    def __init__(
        self,
        apis: Mapping[str, str] | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
        blocked: Predicate | None = None,
        only_named: bool = False,
        **options: Any,
    ) -> None:
        self.rules = rules_of(apis, blocked, only_named)
        self._transport = httpx.HTTPTransport(**options) if transport is None else transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on."""
        return _send(self._transport.handle_request, self.rules, request)

    def close(self) -> None:
        """Close the other transport."""
        self._transport.close()


class MonitoredAsyncTransport(httpx.AsyncBaseTransport):
    """Record what goes through another transport; without one, an `httpx.AsyncHTTPTransport` of these options."""

    def __init__(
        self,
        apis: Mapping[str, str] | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        blocked: Predicate | None = None,
        only_named: bool = False,
        **options: Any,
    ) -> None:
        self.rules = rules_of(apis, blocked, only_named)
        self._transport = httpx.AsyncHTTPTransport(**options) if transport is None else transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on."""
        return await _send_async(self._transport.handle_async_request, self.rules, request)

    async def aclose(self) -> None:
        """Close the other transport."""
        await self._transport.aclose()


def _patched_handle(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
    return _send(lambda asked: _handle.original(transport, asked), _rules, request)


async def _patched_handle_async(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
    return await _send_async(lambda asked: _handle_async.original(transport, asked), _rules, request)


def _send(handle: Any, rules: Rules | None, request: httpx.Request) -> httpx.Response:
    exchange = _begin(rules, request)
    if exchange is None or rules is None:
        answer: httpx.Response = handle(request)
        return answer
    token = _sending.set(request)
    try:
        response: httpx.Response = handle(request)
    except BaseException as error:
        _fail(exchange, error)
        raise
    finally:
        _sending.reset(token)
    exchange.answered(response.status_code, response.headers)
    if isinstance(response.stream, httpx.SyncByteStream):
        response.stream = _Body(response.stream, _Reading(exchange, rules, request, response))
    return response


async def _send_async(handle: Any, rules: Rules | None, request: httpx.Request) -> httpx.Response:
    exchange = _begin(rules, request)
    if exchange is None or rules is None:
        answer: httpx.Response = await handle(request)
        return answer
    token = _sending.set(request)
    try:
        response: httpx.Response = await handle(request)
    except BaseException as error:
        _fail(exchange, error)
        raise
    finally:
        _sending.reset(token)
    exchange.answered(response.status_code, response.headers)
    if isinstance(response.stream, httpx.AsyncByteStream):
        response.stream = _AsyncBody(response.stream, _Reading(exchange, rules, request, response))
    return response


def _begin(rules: Rules | None, request: httpx.Request) -> Exchange | None:
    """Return the exchange, None where a transport above this one records it already."""
    if _sending.get() is request:
        return None
    tries: int = getattr(request, _TRIES, 0)
    exchange = begin(rules, request.method, request.url, tries)
    if exchange is not None:
        setattr(request, _TRIES, tries + 1)
    return exchange


def _fail(exchange: Exchange, error: BaseException) -> None:
    exchange.failed(error)
    exchange.end()


class _Reading:
    """Follow the body of an answer to its end."""

    def __init__(self, exchange: Exchange, rules: Rules, request: httpx.Request, response: httpx.Response) -> None:
        self.exchange = exchange
        self._rules = rules
        self._head = (response.status_code, response.headers, str(request.url.copy_with(userinfo=b"")))
        self._chunks: list[bytes] | None = [] if rules.blocked is not None and response.status_code < 400 else None
        self._count = 0

    def received(self, chunk: bytes) -> None:
        self._count += len(chunk)
        if self._chunks is not None:
            self._chunks.append(chunk)
            if self._count > LONGEST_BODY:
                self._chunks = None

    def ended(self, *, whole: bool) -> None:
        """End the exchange; `whole` tells that the body came to its end, and may be looked at."""
        if self.exchange.ended:
            return
        try:
            self.exchange.bytes = self._count
            if whole and self._chunks is not None and self._rules.blocks(self._answer):
                self.exchange.blocked()
        except Exception as error:  # noqa: BLE001 - never into the application
            note("httpx", error)
        self.exchange.end()

    def _answer(self) -> Answer:
        status, headers, url = self._head
        decoded = httpx.Response(status, headers=headers, content=b"".join(self._chunks or ()))
        return Answer(status, headers, url, decoded.content)


class _Body(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream, reading: _Reading) -> None:
        self._stream, self._reading = stream, reading

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._stream:
                self._reading.received(chunk)
                yield chunk
        except Exception as error:
            self._reading.exchange.failed(error)
            raise
        self._reading.ended(whole=True)

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            self._reading.ended(whole=False)

    def __del__(self) -> None:
        self._reading.ended(whole=False)  # an answer that nobody closed


class _AsyncBody(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, reading: _Reading) -> None:
        self._stream, self._reading = stream, reading

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._stream:
                self._reading.received(chunk)
                yield chunk
        except GeneratorExit:
            raise
        except BaseException as error:  # cancelled, too
            self._reading.exchange.failed(error)
            raise
        self._reading.ended(whole=True)

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._reading.ended(whole=False)

    def __del__(self) -> None:
        self._reading.ended(whole=False)
