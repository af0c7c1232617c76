"""Record calls made with aiohttp's client.

    from platform_sdk.outgoing import aiohttp as outgoing
    outgoing.install(apis={"api.crossref.org": "crossref"})                      # every session made from now on
    session = aiohttp.ClientSession(trace_configs=[outgoing.trace_config(apis={...})])    # or only this one

Durations end when the last byte of the body has arrived, read by the application or not; where it never does, when the
connection is given up. Sizes are bytes as received. Each try of aiohttp-retry is recorded by itself. `blocked` is asked
about bodies that were read whole (`read`, `text`, `json`). Calls to language models say what they used, as far as the
application reads their answers (see `outgoing.gen_ai`).
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from functools import partial
from types import SimpleNamespace
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import finalize

import aiohttp

from platform_sdk.diagnostics import note
from platform_sdk.outgoing.current_job import running
from platform_sdk.outgoing.exchange import Exchange, begin
from platform_sdk.outgoing.hooks import ApiResponse, Apis, Blocked, Hook, Patch, Rules


def trace_config(apis: Apis = None, *, blocked: Blocked = None, only_named: bool = False) -> aiohttp.TraceConfig:
    """Return what to give a `ClientSession` as one of its `trace_configs`."""
    hook = Hook(_request)
    hook.install(apis, blocked=blocked, only_named=only_named)
    return _trace_config(hook)


def _patched_init(session: aiohttp.ClientSession, *args: Any, **kwargs: Any) -> None:
    if _hook.rules is not None:
        kwargs["trace_configs"] = [*(kwargs.get("trace_configs") or ()), _trace_config(_hook)]
    _init.original(session, *args, **kwargs)


async def _patched_request(session: aiohttp.ClientSession, *args: Any, **kwargs: Any) -> Any:
    if running() is None:
        return await _request.original(session, *args, **kwargs)
    token = _proxy.set(_proxy_of(session, args[1:], kwargs.get("proxy")))
    try:
        return await _request.original(session, *args, **kwargs)
    finally:
        _proxy.reset(token)


def _proxy_of(session: Any, url: tuple[object, ...], given: object) -> object:
    try:
        proxy = given or getattr(session, "_default_proxy", None)
        if proxy or not url or not session.trust_env:
            return proxy
        to = urlsplit(str(url[0]))
        return None if proxy_bypass(to.hostname or "") else getproxies().get(to.scheme)
    except Exception as error:  # noqa: BLE001 - never into the application
        note("aiohttp", error)
        return None


_proxy: ContextVar[object] = ContextVar("platform_sdk_aiohttp_proxy", default=None)
"""The proxy that the request being made goes through; traces are not given it."""

_init = Patch(aiohttp.ClientSession, "__init__", _patched_init)
_request = Patch(aiohttp.ClientSession, "_request", _patched_request)
_hook = Hook(_init, _request)
install, uninstall, ensure = _hook.install, _hook.uninstall, _hook.ensure


def _trace_config(hook: Hook) -> aiohttp.TraceConfig:
    config = aiohttp.TraceConfig()
    config.on_request_start.append(partial(_guarded, partial(_started, hook)))
    config.on_request_chunk_sent.append(partial(_guarded, _sent))
    config.on_request_redirect.append(partial(_guarded, partial(_redirected, hook)))
    config.on_request_end.append(partial(_guarded, _answered))
    config.on_request_exception.append(partial(_guarded, _failed))
    config.on_response_chunk_received.append(partial(_guarded, _read))
    return config


async def _guarded(step: Callable[[Any, Any], None], session: object, context: SimpleNamespace, params: Any) -> None:
    try:
        context.session = session
        step(context, params)
    except Exception as error:  # noqa: BLE001 - never into the application
        note("aiohttp", error)


def _started(hook: Hook, context: Any, params: aiohttp.TraceRequestStartParams) -> None:
    context.rules = hook.rules
    given = context.trace_request_ctx  # of aiohttp-retry: {"current_attempt": 2}
    tries = given.get("current_attempt", 1) - 1 if isinstance(given, Mapping) else 0
    context.exchange = begin(context.rules, params.method, params.url, tries)
    _prepared(context.exchange)


def _sent(context: Any, params: aiohttp.TraceRequestChunkSentParams) -> None:
    if context.exchange is not None:
        context.exchange.sent(params.chunk)


def _redirected(hook: Hook, context: Any, params: aiohttp.TraceRequestRedirectParams) -> None:
    exchange, response = context.exchange, params.response
    if exchange is None:
        return
    exchange.answered(response.status, response.headers)
    exchange.end()
    to = response.headers.get("Location") or response.headers.get("URI") or ""
    method = "GET" if response.status == 303 and params.method != "HEAD" else params.method
    context.exchange = begin(hook.rules, method, _joined(str(response.url), to))
    _prepared(context.exchange)


def _prepared(exchange: Exchange | None) -> None:
    if exchange is not None:
        exchange.through(_proxy.get())
        exchange.asks(None)


def _joined(base: str, to: str) -> str:
    try:
        return urljoin(base, to)
    except ValueError:  # aiohttp refuses it next
        return to


def _answered(context: Any, params: aiohttp.TraceRequestEndParams) -> None:
    exchange: Exchange | None = context.exchange
    if exchange is None:
        return
    response, content = params.response, params.response.content
    exchange.answered(response.status, response.headers)
    asked = context.rules is not None and context.rules.blocked is not None and response.status < 400
    looks = asked or exchange.in_job
    context.response_status, context.response_headers = response.status, response.headers
    if exchange.follows and type(content) is aiohttp.StreamReader:
        if context.session.auto_decompress:
            exchange.decoded()
        content._buffer = _Unread(content._buffer, exchange, ends=not looks)
    finalize(response, _let_go, exchange, content).atexit = False
    # Both are called at once where all of a short body came with its head; the connection is then gone already.
    content.on_eof(partial(_arrived, exchange, content, looks))
    if response.connection is not None:
        response.connection.add_callback(partial(_parted, exchange, content, looks))


class _Unread(deque[bytes]):
    """What of an answer has arrived and is not read; what is taken out of it, the application has read."""

    def __init__(self, chunks: Iterable[bytes], exchange: Exchange, *, ends: bool) -> None:
        super().__init__(chunks)
        self._exchange, self._ends = exchange, ends
        self.complete = False
        if self:
            exchange.begun()

    def append(self, chunk: bytes) -> None:
        self._exchange.begun()
        super().append(chunk)

    def popleft(self) -> bytes:
        chunk = super().popleft()
        self._exchange.received(chunk)
        if self._ends and self.complete and not self:
            self._exchange.end(whole=True)
        return chunk


def _arrived(exchange: Exchange, content: aiohttp.StreamReader, looks: bool) -> None:
    """Take a body that has arrived, though perhaps is not read: only the clock stops where someone looks later."""
    if exchange.ended:
        return
    exchange.bytes = _size(content)
    unread = getattr(content, "_buffer", None)
    if isinstance(unread, _Unread):
        unread.complete = True
        looks = looks or bool(unread)
    if looks:
        exchange.stop()
    else:
        exchange.end(whole=True)


def _parted(exchange: Exchange, content: aiohttp.StreamReader, looks: bool) -> None:
    """Take that the response has lost its connection: its body has arrived, broke off, or was not read."""
    if content.is_eof():
        _arrived(exchange, content, looks)
    else:
        _let_go(exchange, content)


def _read(context: Any, params: aiohttp.TraceResponseChunkReceivedParams) -> None:
    """Take a whole body that the application has read."""
    exchange: Exchange | None = context.exchange
    rules: Rules | None = context.rules
    if exchange is None or exchange.ended or rules is None:
        return
    if exchange.in_job:
        exchange.read(params.chunk)
    status, headers = context.response_status, context.response_headers
    if status < 400 and rules.blocks(
        lambda: ApiResponse(status, headers, str(params.url.with_user(None)), params.chunk)
    ):
        exchange.blocked()
    exchange.end(whole=True)


def _let_go(exchange: Exchange, content: aiohttp.StreamReader) -> None:
    """End the exchange: no more will be read."""
    if exchange.ended:
        return
    error = content.exception()
    # A response that the application gives up gets exactly this class; one that breaks off gets one that says how.
    given_up = type(error) is aiohttp.ClientConnectionError
    if error is not None and not given_up and not content.is_eof():
        exchange.failed(error if isinstance(error, BaseException) else error())
    exchange.bytes = _size(content)
    unread, offset = getattr(content, "_buffer", None), getattr(content, "_buffer_offset", 0)
    if isinstance(unread, _Unread) and unread and offset:
        exchange.received(unread[0][:offset])  # read in part, such as up to a stream's last line
    exchange.end(whole=content.at_eof())


def _failed(context: Any, params: aiohttp.TraceRequestExceptionParams) -> None:
    exchange: Exchange | None = context.exchange
    if exchange is not None:
        exchange.failed(params.exception)
        exchange.end()


def _size(content: aiohttp.StreamReader) -> int | None:
    raw = getattr(content, "total_raw_bytes", None)  # before decompression; aiohttp 3.13 and newer
    return raw if isinstance(raw, int) else getattr(content, "total_bytes", None)
