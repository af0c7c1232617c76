"""One ASGI request or websocket, followed from its first byte to its end."""

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any, Protocol

from platform_sdk import consumers, emit
from platform_sdk import scope as scopes
from platform_sdk.actor import UNKNOWN, Actor, actor_of, identified
from platform_sdk.delivery.intake import Intake
from platform_sdk.diagnostics import note
from platform_sdk.parsing import size_of
from platform_sdk.request_context import RequestDetails
from platform_sdk.trace import of_request
from platform_sdk.web.address import client_address
from platform_sdk.web.answered import is_error
from platform_sdk.web.asgi_routes import Templates
from platform_sdk.web.record import (
    CLIENT_GONE,
    KEY,
    METHODS,
    gave_up,
    is_failure,
    options_of,
    record_activity,
    record_exception,
    routed,
)

Scope = dict[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Identify = Callable[[Scope], Any]
RouteOf = Callable[[Scope], str | None]

_CLIENT_LEFT = ("ClientDisconnect", "WebSocketDisconnect", "CancelledError")
"""What Starlette, and tasks, raise in an application whose client has left."""

SWITCHING_PROTOCOLS, FORBIDDEN, INTERNAL_ERROR = 101, 403, 1011


class AsgiHooks(Protocol):
    """What a request needs of the middleware."""

    identify: Identify | None
    route: RouteOf | None
    templates: Templates


class AsgiConnection:
    """Base class of a request and a websocket. `send` returns the server's own awaitable wherever that will do."""

    __slots__ = (
        "__weakref__", "_begun", "_headers", "_hooks", "_intake", "_path", "_receive", "_scope", "_send", "_size",
        "_started", "_status", "_streams", "ended", "gone", "said",
    )  # fmt: skip

    def __init__(self, hooks: AsgiHooks, intake: Intake, scope: Scope, receive: Receive, send: Send) -> None:
        self._begun = self._started = perf_counter()
        self._hooks = hooks
        self._intake = intake
        self._scope = scope
        self._receive = receive
        self._send = send
        path, root = scope.get("path", ""), scope.get("root_path")  # mounts change both
        self._path: str = path.removeprefix(root) if root else path
        self._headers: Any = ()
        self._size: int | None = 0
        self._status = 0
        self._streams = self.ended = self.gone = False
        self.said: scopes.Scope | None = None
        scope[KEY] = []  # what an inner middleware, which knows better, hands over

    async def receive(self) -> Message:
        """Pass a message on, noting that the client has left."""
        message = await self._receive()
        if message["type"] in ("http.disconnect", "websocket.disconnect"):
            self.gone = True
        return message

    def returned(self) -> None:
        """End a response that the application returned from without completing it."""
        self._end(CLIENT_GONE if self.gone else 500)

    def failed(self, error: BaseException) -> None:
        """End what an exception escaped from, and record that, unless it only says that the client has left."""
        # Cancelled: the server gave up waiting, because the client left or because it shuts down.
        left = self.gone and (type(error).__name__ in _CLIENT_LEFT or isinstance(error, OSError))
        if left or gave_up(error, asynchronous=True):
            if not self.ended:
                self.left()
            return
        self._end(500, error)

    def left(self) -> None:
        """End what neither the client nor the server waited for."""
        self._end(CLIENT_GONE)

    def _end(self, status: int, exception: BaseException | None = None) -> None:
        """Emit the request, once, and the exception."""
        duration_seconds = perf_counter() - self._begun
        try:
            scope = self._scope
            options = options_of(self._intake)
            method = METHODS.get(scope.get("method", "GET"), "OTHER")  # a websocket has none
            ip, user_agent, traceparent = _client_of(scope, options.trusted_proxies)
            trace = of_request(traceparent)
            route, actor = self._known()
            if exception is not None and is_failure(exception):
                details = RequestDetails(route, method, *actor, ip, user_agent, trace)
                record_exception(exception, details, self.said)
            if not self.ended:
                self.ended = True
                if status >= 500 or not options.leaves_out(self._path):
                    user_id, role, session_id = actor  # a starred argument takes longer
                    by = self.consumer() if scopes.used or options.consumer is not None else None
                    emit.request_finished(
                        route, method, status, duration_seconds, self._size, user_id, role, session_id, ip, user_agent,
                        self._started - self._begun if self._streams else None, trace, by,
                    )  # fmt: skip
                if options.activity_rules:
                    record_activity(options, route, method, status, duration_seconds, actor, ip, user_agent)
        except Exception as error:  # noqa: BLE001 - never into the application
            self._intake.fail("asgi", error)
        finally:
            self.ended = True

    def describe(self) -> RequestDetails:
        """Return what is known of it by now."""
        method = METHODS.get(self._scope.get("method", "GET"), "OTHER")
        ip, user_agent, traceparent = _client_of(self._scope, options_of(self._intake).trusted_proxies)
        route, actor = self._known()
        return RequestDetails(route, method, *actor, ip, user_agent, of_request(traceparent))

    def consumer(self) -> str | None:
        """Return on whose behalf it is."""
        named, option = scopes.consumer_of(self.said) if scopes.used else None, self._intake.options.consumer
        if named is not None or option is None:
            return named
        return consumers.found(option, lambda name: _header(self._scope, name.encode()), lambda: _headers(self._scope))

    def traceparent(self) -> str | None:
        """Return its header of that name."""
        return _header(self._scope, b"traceparent")

    def record_exception(self, exception: BaseException) -> None:
        """Emit an exception of this request."""
        record_exception(exception, self.describe(), self.said)

    def _known(self) -> tuple[str, Actor]:
        """Return route and actor."""
        scope, hooks = self._scope, self._hooks
        if from_inner := scope.get(KEY):
            route, actor, said = from_inner
            self.said = self.said or said
        else:
            route = hooks.templates.of(scope) if hooks.route is None else routed(hooks.route, scope)
            if hooks.identify is None:
                user = scope.get("user")
                if user is None and (state := scope.get("state")):
                    user = state.get("user")  # request.state.user
                actor = UNKNOWN if user is None else actor_of(user)
            else:
                actor = identified(hooks.identify, scope)
        return route, scopes.acting(self.said, actor) if scopes.used else actor


class AsgiRequest(AsgiConnection):
    """One request."""

    __slots__ = ()

    def send(self, message: Message) -> Awaitable[None]:
        """Pass a message on, noting status and size."""
        try:
            kind = message["type"]
            if kind == "http.response.body":
                body = message.get("body")
                if body and self._size is not None:
                    self._size += len(body)
                return self._send_body(message, message.get("more_body"))
            if kind == "http.response.start":
                self._status = message["status"]
                self._started = perf_counter()
                self._headers = message.get("headers")
                if self._status >= 500 and is_error(raised := sys.exc_info()[1]):
                    self.record_exception(raised)  # its handler sends this
            elif kind == "http.response.pathsend" or kind == "http.response.zerocopysend":
                self._size = _announced(self._headers)
                return self._send_body(message, message.get("more_body"))
        except Exception as error:  # noqa: BLE001 - the server refuses a malformed message
            note("asgi", error)
        return self._send(message)

    async def _send_body(self, message: Message, more: Any) -> None:
        # Read before: many servers send "disconnect" once the response is complete.
        gone = self.gone
        if more:
            self._streams = self._status != 0
        try:
            await self._send(message)
        except OSError:  # since version 2.4 of the specification: the client has left
            self.gone = True
            raise
        if not more and not self.ended:
            self._end(CLIENT_GONE if gone else self._status)


class AsgiWebSocket(AsgiConnection):
    """One websocket."""

    __slots__ = ()

    def __init__(self, hooks: AsgiHooks, intake: Intake, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(hooks, intake, scope, receive, send)
        self._size = None

    def send(self, message: Message) -> Awaitable[None]:
        """Pass a message on, noting how the handshake and the connection ended."""
        try:
            kind = message["type"]
            if kind == "websocket.accept":
                self._status = SWITCHING_PROTOCOLS
                self._started, self._streams = perf_counter(), True
            elif kind == "websocket.http.response.start":
                self._status = message["status"]
            elif kind == "websocket.close":
                if not self._status:
                    self._status = FORBIDDEN
                elif message.get("code") == INTERNAL_ERROR:
                    self._status = 500
        except Exception as error:  # noqa: BLE001 - the server refuses a malformed message
            note("asgi", error)
        return self._send(message)

    def returned(self) -> None:
        """End a websocket that the application returned from."""
        self._end(self._status or (CLIENT_GONE if self.gone else 500))

    def left(self) -> None:
        """End a websocket that the client left, as most that were accepted end."""
        self._end(self._status or CLIENT_GONE)


def _announced(headers: Any) -> int | None:
    """Return the Content-Length of a file that the server itself sends."""
    return next((size_of(value) for name, value in headers or () if name.lower() == b"content-length"), None)


def _client_of(scope: Scope, trusted_proxies: int) -> tuple[str | None, str | None, str | None]:
    """Return the client's address, its user agent and its `traceparent`; malformed headers do no harm."""
    try:
        peer = scope.get("client")
        address = peer[0] if peer else None
        if trusted_proxies:
            address = client_address(
                address, _header(scope, b"x-forwarded-for"), _header(scope, b"forwarded"), trusted_proxies
            )
        agent = traceparent = None
        for name, value in scope["headers"]:
            if name == b"user-agent":
                agent = value
            elif name == b"traceparent":
                traceparent = value if traceparent is None else b"several"
        return (
            address,
            None if agent is None else agent.decode("latin-1"),
            None if traceparent is None else traceparent.decode("latin-1"),
        )
    except Exception as error:  # noqa: BLE001 - the request is counted all the same
        note("headers", error)
        return None, None, None


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _header(scope: Scope, expected: bytes) -> str | None:
    values = [value for name, value in scope["headers"] if name == expected]
    return b",".join(values).decode("latin-1") if values else None
