"""Record calls made with requests.

    from platform_sdk.outgoing import requests as outgoing
    outgoing.install(apis={"api.semanticscholar.org": "semantic_scholar"})       # every session of this process
    session = outgoing.MonitoredSession(apis={...})                              # or only this one

`install` covers sessions made before, too. Durations end with the body's last byte, or with the headers where the
caller asked for `stream=True`: then the caller reads the body, and its size is what the headers announce. Each try of
urllib3's `Retry` is recorded by itself. Calls to language models say what they used (see `outgoing.gen_ai`); theirs end
when the body is read or closed, streamed or not.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy

from platform_sdk.diagnostics import note
from platform_sdk.outgoing.exchange import Exchange, begin
from platform_sdk.outgoing.hooks import ApiResponse, Apis, Blocked, Hook, Patch, Rules
from platform_sdk.outgoing.urllib3 import RETRIES, Sending, follow, sending


@dataclass(slots=True)
class _Call:
    """One `Session.send`: the exchange whose body is not read yet, and its response."""

    exchange: Exchange | None = None
    response: Response | None = None
    rules: Rules | None = None

    def end(self, returned: Response | None = None, exception: BaseException | None = None) -> None:
        exchange, response, rules = self.exchange, self.response, self.rules
        self.exchange = self.response = self.rules = None
        if exchange is None or response is None or rules is None:
            return
        try:
            if exception is not None:
                exchange.failed(exception)
            elif response is returned:
                exchange.bytes = response.raw.tell()
                if exchange.follows and isinstance(response._content, bytes):
                    exchange.decoded()
                    exchange.took(response._content)
                if exchange.in_job:
                    exchange.read(response._content)
                if response.status_code < 400 and rules.blocks(lambda: _complete(response)):
                    exchange.blocked()
        except Exception as error:  # noqa: BLE001 - never into the application
            note("requests", error)
        exchange.end(whole=response is returned)


_call: ContextVar[_Call | None] = ContextVar("platform_sdk_requests_call", default=None)


class MonitoredAdapter(HTTPAdapter):
    """An adapter that records its calls, to be mounted on any session; `options` are those of HTTPAdapter."""

    __attrs__ = [*HTTPAdapter.__attrs__, "rules"]  # noqa: RUF012 - as in the base class; what pickling keeps

    def __init__(self, apis: Apis = None, *, blocked: Blocked = None, only_named: bool = False, **options: Any) -> None:
        self.rules = Rules(apis, blocked, only_named)
        _retries.install()
        super().__init__(**options)

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        """Send a request as HTTPAdapter does."""
        return _send(super().send, self.rules, request, args, kwargs)


class MonitoredSession(Session):
    """A session that records its calls, except through adapters that the user mounts on it."""

    def __init__(self, apis: Apis = None, *, blocked: Blocked = None, only_named: bool = False) -> None:
        super().__init__()
        for scheme in ("https://", "http://"):
            self.mount(scheme, MonitoredAdapter(apis, blocked=blocked, only_named=only_named))

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        """Send a request as Session does."""
        return _follow(super().send, request, kwargs)


def _patched_session_send(session: Session, request: PreparedRequest, **kwargs: Any) -> Response:
    return _follow(partial(_session_send.original, session), request, kwargs)


def _patched_adapter_send(adapter: HTTPAdapter, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
    return _send(partial(_adapter_send.original, adapter), _hook.rules, request, args, kwargs)


def _follow(send: Callable[..., Response], request: PreparedRequest, kwargs: dict[str, Any]) -> Response:
    """Send by a session, and end the exchange when the session has read the body."""
    outer = _call.get()
    if outer is not None:
        outer.end()  # that one was redirected here, or a hook of its response makes another call
    call = _Call()
    token = _call.set(call)
    try:
        response = send(request, **kwargs)
    except BaseException as error:
        call.end(exception=error)
        raise
    finally:
        _call.reset(token)
    call.end(returned=response)
    return response


def _send(
    send: Callable[..., Response], rules: Rules | None, request: PreparedRequest, args: Any, kwargs: dict[str, Any]
) -> Response:
    """Send by an adapter. Ends the exchange at the headers where no session will read the body."""
    outer = sending.get()
    if outer is not None and outer.sender is request:  # a MonitoredAdapter calls one that is patched
        return send(request, *args, **kwargs)
    call = _call.get()
    if call is not None:
        call.end()  # an authentication hook sends again
    if rules is None:
        return send(request, *args, **kwargs)
    exchange = begin(rules, request.method, request.url)
    if exchange is not None and exchange.in_job:
        exchange.through(_proxy(request.url, kwargs.get("proxies", args[4] if len(args) > 4 else None)))
    if exchange is not None:
        exchange.asks(request.body)
    token = sending.set(Sending(request, exchange))  # what these rules leave out, urllib3's hook does, too
    try:
        response = send(request, *args, **kwargs)
    except BaseException as error:
        if exchange is not None:
            exchange.failed(error)
            exchange.end()
        raise
    finally:
        sending.reset(token)
    if exchange is None:
        return response
    exchange.answered(response.status_code, response.headers)
    stream = kwargs.get("stream", args[0] if args else False)
    if call is None or stream:
        if not _followed(exchange, response):
            exchange.end()
    else:
        call.exchange, call.response, call.rules = exchange, response, rules
    return response


def _followed(exchange: Exchange, response: Response) -> bool:
    try:
        return follow(exchange, response.raw)
    except Exception as error:  # noqa: BLE001 - never into the application
        note("requests", error)
        return False


def _proxy(url: str | None, proxies: Any) -> object:
    try:
        return select_proxy(url or "", proxies)
    except Exception:  # noqa: BLE001 - whatever the application passed: requests refuses it next
        return None


def _complete(response: Response) -> ApiResponse:
    return ApiResponse(response.status_code, response.headers, str(response.url), response.content)


_session_send = Patch(Session, "send", _patched_session_send)
_adapter_send = Patch(HTTPAdapter, "send", _patched_adapter_send)

_retries = Hook(*RETRIES)
_hook = Hook(_session_send, _adapter_send, *RETRIES)
install, uninstall, ensure = _hook.install, _hook.uninstall, _hook.ensure
