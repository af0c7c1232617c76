"""Record calls made with requests.

    from platform_sdk.outgoing import requests as outgoing
    outgoing.install(apis={"api.semanticscholar.org": "semantic_scholar"})       # every session of this process
    session = outgoing.MonitoredSession(apis={...})                              # or only this one

Durations end with the body's last byte, or with the headers where the caller asked for `stream=True`: then the body is
the caller's, and its size is what the headers announce. Retries of urllib3's `Retry` are told apart.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from platform_sdk.diagnostics import note
from platform_sdk.outgoing.exchange import Exchange, begin
from platform_sdk.outgoing.patch import Patch
from platform_sdk.outgoing.rules import Answer, Predicate, Rules, rules_of


@dataclass(slots=True)
class _Call:
    """What one `Session.send` does: the exchange whose body is not read yet, and the answer it is of."""

    exchange: Exchange | None = None
    response: Response | None = None
    rules: Rules | None = None

    def end(self, returned: Response | None = None, error: BaseException | None = None) -> None:
        exchange, response, rules = self.exchange, self.response, self.rules
        self.exchange = self.response = self.rules = None
        if exchange is None or response is None or rules is None:
            return
        try:
            if error is not None:
                exchange.failed(error)
            elif response is returned:
                _look(exchange, response, rules)
        except Exception as trouble:  # noqa: BLE001 - never into the application
            note("requests", trouble)
        exchange.end()


_call: ContextVar[_Call | None] = ContextVar("platform_sdk_requests_call", default=None)
_sending: ContextVar[tuple[PreparedRequest, Exchange] | None] = ContextVar("platform_sdk_requests", default=None)
_rules: Rules | None = None

_session_send = Patch(Session, "send")
_adapter_send = Patch(HTTPAdapter, "send")
_retry_increment = Patch(Retry, "increment")
_retry_sleep = Patch(Retry, "sleep")


def install(
    apis: Mapping[str, str] | None = None, *, blocked: Predicate | None = None, only_named: bool = False
) -> None:
    """Record the calls of all sessions, those made before too; a second call changes the rules."""
    global _rules
    _rules = rules_of(apis, blocked, only_named)
    _session_send.apply(_patched_session_send)
    _adapter_send.apply(_patched_adapter_send)
    _watch_retries()


def uninstall() -> None:
    """Leave requests as it was found."""
    global _rules
    _rules = None
    for patch in (_session_send, _adapter_send, _retry_increment, _retry_sleep):
        patch.remove()


class MonitoredAdapter(HTTPAdapter):
    """An adapter that records what goes through it, to be mounted on any session; `max_retries` and such as usual."""

    __attrs__ = [*HTTPAdapter.__attrs__, "rules"]  # noqa: RUF012 - as the base has it; what survives pickling

    def __init__(
        self,
        apis: Mapping[str, str] | None = None,
        *,
        blocked: Predicate | None = None,
        only_named: bool = False,
        **options: Any,
    ) -> None:
        self.rules = rules_of(apis, blocked, only_named)
        _watch_retries()
        super().__init__(**options)

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        """Send a request as HTTPAdapter does."""
        return _send(super().send, self.rules, request, args, kwargs)


class MonitoredSession(Session):
    """A session that records its calls; those of adapters that the user mounts on it are not."""

    def __init__(
        self, apis: Mapping[str, str] | None = None, *, blocked: Predicate | None = None, only_named: bool = False
    ) -> None:
        super().__init__()
        for scheme in ("https://", "http://"):
            self.mount(scheme, MonitoredAdapter(apis, blocked=blocked, only_named=only_named))

    def send(self, request: PreparedRequest, **kwargs: Any) -> Response:
        """Send a request as Session does."""
        return _follow(super().send, request, kwargs)


def _patched_session_send(session: Session, request: PreparedRequest, **kwargs: Any) -> Response:
    return _follow(lambda *args, **named: _session_send.original(session, *args, **named), request, kwargs)


def _patched_adapter_send(adapter: HTTPAdapter, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
    return _send(
        lambda *given, **named: _adapter_send.original(adapter, *given, **named), _rules, request, args, kwargs
    )


def _follow(send: Callable[..., Response], request: PreparedRequest, kwargs: dict[str, Any]) -> Response:
    """Send by a session, and end the exchange when the session has read the body."""
    outer = _call.get()
    if outer is not None:
        outer.end()  # that one was redirected here, or a hook of its answer makes another call
    call = _Call()
    token = _call.set(call)
    try:
        response = send(request, **kwargs)
    except BaseException as error:
        call.end(error=error)
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
    if sending is not None and sending[0] is request:  # an adapter of ours above one that is patched
        return send(request, *args, **kwargs)
    call = _call.get()
    if call is not None:
        call.end()  # an authentication hook sends once more
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


def _look(exchange: Exchange, response: Response, rules: Rules) -> None:
    """Read size and uselessness off an answer whose body was read."""
    exchange.bytes = response.raw.tell()
    if response.status_code < 400 and rules.blocks(
        lambda: Answer(response.status_code, response.headers, str(response.url), response.content)
    ):
        exchange.blocked()


def _watch_retries() -> None:
    """Hear of urllib3's own retries. Outside of a recorded exchange, both methods do as before."""
    _retry_increment.apply(_patched_increment)
    _retry_sleep.apply(_patched_sleep)


def _patched_increment(retry: Retry, *args: Any, **kwargs: Any) -> Any:
    following = _retry_increment.original(retry, *args, **kwargs)  # raises where no try is left
    sending = _sending.get()
    if sending is not None:
        try:
            response, error = kwargs.get("response"), kwargs.get("error")
            if response is not None:
                sending[1].answered(response.status, response.headers)
            if error is not None:
                sending[1].failed(error)
            sending[1].try_again()
        except Exception as trouble:  # noqa: BLE001 - never into the application
            note("requests", trouble)
    return following


def _patched_sleep(retry: Retry, *args: Any, **kwargs: Any) -> None:
    _retry_sleep.original(retry, *args, **kwargs)
    sending = _sending.get()
    if sending is not None:
        sending[1].restart()
