"""Record calls made with requests.

    from platform_sdk.outgoing import requests as outgoing
    outgoing.install(apis={"api.semanticscholar.org": "semantic_scholar"})       # every session of this process
    session = outgoing.MonitoredSession(apis={...})                              # or only this one

`install` covers sessions made before, too. Durations end with the body's last byte, or with the headers where the
caller asked for `stream=True`: then the caller reads the body, and its size is what the headers announce. Each try of
urllib3's `Retry` is recorded by itself.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from platform_sdk.diagnostics import note
from platform_sdk.outgoing.exchange import Exchange, begin
from platform_sdk.outgoing.hooks import ApiResponse, Apis, Blocked, Hook, Patch, Rules


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
                if response.status_code < 400 and rules.blocks(lambda: _complete(response)):
                    exchange.blocked()
        except Exception as error:  # noqa: BLE001 - never into the application
            note("requests", error)
        exchange.end()


_call: ContextVar[_Call | None] = ContextVar("platform_sdk_requests_call", default=None)
_sending: ContextVar[tuple[PreparedRequest, Exchange] | None] = ContextVar("platform_sdk_requests", default=None)


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
    sending = _sending.get()
    if sending is not None and sending[0] is request:  # a MonitoredAdapter calls one that is patched
        return send(request, *args, **kwargs)
    call = _call.get()
    if call is not None:
        call.end()  # an authentication hook sends again
    exchange = begin(rules, request.method, request.url)
    if exchange is None:
        return send(request, *args, **kwargs)
    token = _sending.set((request, exchange))
    try:
        response = send(request, *args, **kwargs)
    except BaseException as error:
        exchange.failed(error)
        exchange.end()
        raise
    finally:
        _sending.reset(token)
    exchange.answered(response.status_code, response.headers)
    stream = kwargs.get("stream", args[0] if args else False)
    if call is None or stream:
        exchange.end()
    else:
        call.exchange, call.response, call.rules = exchange, response, rules
    return response


def _complete(response: Response) -> ApiResponse:
    return ApiResponse(response.status_code, response.headers, str(response.url), response.content)


def _patched_increment(retry: Retry, *args: Any, **kwargs: Any) -> Any:
    following = _retry_increment.original(retry, *args, **kwargs)  # raises where no try is left
    sending = _sending.get()
    if sending is not None:
        try:
            _, exchange = sending
            response, exception = kwargs.get("response"), kwargs.get("error")
            if response is not None:
                exchange.answered(response.status, response.headers)
            if exception is not None:
                exchange.failed(exception)
            exchange.try_again()
        except Exception as error:  # noqa: BLE001 - never into the application
            note("requests", error)
    return following


def _patched_sleep(retry: Retry, *args: Any, **kwargs: Any) -> None:
    _retry_sleep.original(retry, *args, **kwargs)
    sending = _sending.get()
    if sending is not None:
        _, exchange = sending
        exchange.restart()


_session_send = Patch(Session, "send", _patched_session_send)
_adapter_send = Patch(HTTPAdapter, "send", _patched_adapter_send)
_retry_increment = Patch(Retry, "increment", _patched_increment)
_retry_sleep = Patch(Retry, "sleep", _patched_sleep)

_retries = Hook(_retry_increment, _retry_sleep)  # outside of a recorded exchange both methods do as before
_hook = Hook(_session_send, _adapter_send, _retry_increment, _retry_sleep)
install, uninstall = _hook.install, _hook.uninstall
