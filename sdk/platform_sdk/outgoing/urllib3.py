"""Record calls made with urllib3, which boto3, minio, Elasticsearch's and many other clients are built on.

    from platform_sdk.outgoing import urllib3 as outgoing
    outgoing.install(apis={"s3.amazonaws.com": "s3"})         # every pool of this process, also those made before

Each try of urllib3's `Retry` and each redirect is recorded by itself. Durations end with the body's last byte, or with
the headers where the caller reads the body itself (`preload_content=False`, as boto3 and minio do): its size is then
what the headers announce. Calls to language models say what they used (see `outgoing.gen_ai`); theirs end when the body
is read or closed. Calls that the hook of requests records are left to it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPResponse
from urllib3.util.response import is_fp_closed
from urllib3.util.retry import Retry

from platform_sdk.diagnostics import note
from platform_sdk.outgoing.exchange import Exchange, begin
from platform_sdk.outgoing.hooks import ApiResponse, Hook, Patch, Rules


@dataclass(slots=True)
class Sending:
    """A call that is on its way: what was asked to send it, and its exchange, None between a redirect and the next."""

    sender: object
    exchange: Exchange | None


sending: ContextVar[Sending | None] = ContextVar("platform_sdk_urllib3", default=None)
"""The call being made here, by urllib3 or by what is built on it and has a hook of its own."""


def _patched_urlopen(pool: HTTPConnectionPool, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
    original = _urlopen.original
    outer = sending.get()
    if outer is not None:  # urllib3 calls itself to try again and to follow a redirect
        if outer.exchange is None and outer.sender is pool:
            outer.exchange = _begin(pool, method, url, args, kwargs)
        return original(pool, method, url, *args, **kwargs)
    exchange = _begin(pool, method, url, args, kwargs)
    if exchange is None:
        return original(pool, method, url, *args, **kwargs)
    call, rules = Sending(pool, exchange), _hook.rules
    token = sending.set(call)
    try:
        response = original(pool, method, url, *args, **kwargs)
    except BaseException as error:
        _end(call, error)
        raise
    finally:
        sending.reset(token)
    _answered(call, response, rules, preloaded=kwargs.get("preload_content", True))
    return response


def _begin(pool: HTTPConnectionPool, method: str, url: str, args: Any, kwargs: Any) -> Exchange | None:
    exchange = begin(_hook.rules, method, _address(pool, url))
    if exchange is not None:
        exchange.through(pool.proxy)
        exchange.asks(args[0] if args else kwargs.get("body"))
    return exchange


def _address(pool: HTTPConnectionPool, url: str) -> str:
    """Return the whole URL; what is asked of a proxy is whole already."""
    if not isinstance(url, str) or not url.startswith("/"):
        return url
    host = f"[{pool.host}]" if ":" in pool.host and not pool.host.startswith("[") else pool.host
    return f"{pool.scheme}://{host}:{pool.port}{url}"


def _answered(call: Sending, response: Any, rules: Rules | None, *, preloaded: bool) -> None:
    exchange = call.exchange
    if exchange is None:
        return
    try:
        exchange.answered(response.status, response.headers)
        if preloaded:
            exchange.bytes = response.tell()
            _take_body(exchange, response)
            if response.status < 400 and rules is not None and rules.blocks(lambda: _complete(response)):
                exchange.blocked()
        elif follow(exchange, response):
            return
    except Exception as error:  # noqa: BLE001 - never into the application
        note("urllib3", error)
    exchange.end(whole=preloaded)


def _take_body(exchange: Exchange, response: Any) -> None:
    """Take a body of a call to a model that urllib3 has read already, and no other."""
    body = getattr(response, "_body", None)
    if exchange.follows and isinstance(body, bytes):
        if response.decode_content:
            exchange.decoded()
        exchange.took(body)


def follow(exchange: Exchange, response: Any) -> bool:
    """Follow the body of a call to a model while the application reads it; return whether it will end the exchange."""
    if not exchange.follows or type(response) is not HTTPResponse or is_fp_closed(response._fp):
        return False
    vars(response).update(_platform_exchange=exchange, _platform_bytes=0, _platform_reads=False, _platform_chunks=False)
    response.__class__ = _Followed
    return True


class _Followed(HTTPResponse):
    """A response whose body is followed to its end, or until it is given up: also one that is never closed."""

    _platform_exchange: Exchange
    _platform_bytes: int
    _platform_reads: bool
    _platform_chunks: bool

    def _fp_read(self, *args: Any, **kwargs: Any) -> bytes:
        return self._received(super()._fp_read(*args, **kwargs))

    def _handle_chunk(self, amt: int | None) -> bytes:
        return self._received(super()._handle_chunk(amt))

    def _update_chunk_length(self) -> None:
        self._platform_chunks = True  # it closes the response, and only then raises
        try:
            super()._update_chunk_length()
        finally:
            self._platform_chunks = False

    def _received(self, chunk: bytes) -> bytes:
        self._platform_bytes += len(chunk or b"")
        if chunk:
            self._platform_exchange.received(chunk)
        return chunk

    @contextmanager
    def _error_catcher(self) -> Iterator[None]:
        """Surround all that reads, as in the class above."""
        self._platform_reads = True
        try:
            with super()._error_catcher():
                yield
        except BaseException as error:
            if not isinstance(error, GeneratorExit):
                self._platform_exchange.failed(error)
            self._ended(whole=False)
            raise
        finally:
            self._platform_reads = False
        if is_fp_closed(self._fp):
            self._ended(whole=True)

    def release_conn(self) -> None:
        super().release_conn()
        if not self._platform_reads:
            self._ended(whole=False)

    def close(self) -> None:
        try:
            super().close()
        finally:
            if not self._platform_chunks:
                self._ended(whole=False)

    def _ended(self, *, whole: bool) -> None:
        if not self._platform_exchange.ended:
            self._platform_exchange.bytes = self._platform_bytes
            self._platform_exchange.end(whole=whole)


def _complete(response: Any) -> ApiResponse:
    return ApiResponse(response.status, response.headers, str(response.geturl() or ""), response.data)


def _end(call: Sending, error: BaseException) -> None:
    if call.exchange is not None:
        call.exchange.failed(error)
        call.exchange.end()


def _patched_increment(retry: Retry, *args: Any, **kwargs: Any) -> Any:
    following = _increment.original(retry, *args, **kwargs)  # raises where no try is left
    call = sending.get()
    if call is not None and call.exchange is not None:
        try:
            _tried(call, call.exchange, kwargs.get("response"), kwargs.get("error"))
        except Exception as error:  # noqa: BLE001 - never into the application
            note("urllib3", error)
    return following


def _tried(call: Sending, exchange: Exchange, response: Any, exception: BaseException | None) -> None:
    """Emit a try that another one, or a redirect, follows."""
    if response is not None:
        exchange.answered(response.status, response.headers)
        _take_body(exchange, response)
    if exception is not None:
        exchange.failed(exception)
    if response is not None and response.get_redirect_location():
        exchange.end()
        call.exchange = None
    else:
        exchange.try_again()


def _patched_sleep(retry: Retry, *args: Any, **kwargs: Any) -> None:
    _sleep.original(retry, *args, **kwargs)
    call = sending.get()
    if call is not None and call.exchange is not None:
        call.exchange.restart()


_urlopen = Patch(HTTPConnectionPool, "urlopen", _patched_urlopen)
_increment = Patch(Retry, "increment", _patched_increment)
_sleep = Patch(Retry, "sleep", _patched_sleep)

RETRIES = (_increment, _sleep)
"""What sees the tries of a call; outside of a recorded one both methods do as before."""

_hook = Hook(_urlopen, *RETRIES)
install, uninstall, ensure = _hook.install, _hook.uninstall, _hook.ensure
