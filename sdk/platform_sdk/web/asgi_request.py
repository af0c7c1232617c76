"""One ASGI request or websocket, followed from its first byte to its end."""

from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any, Protocol

from platform_sdk.delivery.intake import Intake
from platform_sdk.diagnostics import note
from platform_sdk.request_context import RequestDetails
from platform_sdk.web.actor import UNKNOWN, Actor, actor_of, client_address, identified
from platform_sdk.web.asgi_routes import Templates
from platform_sdk.web.record import CLIENT_GONE, KEY, closed_method, options_of, record, record_exception, routed

Scope = dict[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Identify = Callable[[Scope], Any]
RouteOf = Callable[[Scope], str | None]

_CLIENT_LEFT = ("ClientDisconnect", "WebSocketDisconnect")
"""What Starlette raises in an application whose client has left."""

SWITCHING_PROTOCOLS, FORBIDDEN, INTERNAL_ERROR = 101, 403, 1011


class AsgiHooks(Protocol):
    """What a request needs of the middleware."""

    identify: Identify | None
    route: RouteOf | None
    templates: Templates


class AsgiConnection:
    """Base class of a request and a websocket. `send` returns the server's own awaitable wherever that will do."""

    __slots__ = (
        "__weakref__", "_begun", "_by_inner", "_headers", "_hooks", "_intake", "_path", "_receive", "_root", "_scope",
        "_send", "_size", "_started", "_status", "_streams", "ended", "gone",
    )  # fmt: skip

    def __init__(self, hooks: AsgiHooks, intake: Intake, scope: Scope, receive: Receive, send: Send) -> None:
        self._begun = self._started = perf_counter()
        self._hooks = hooks
        self._intake = intake
        self._scope = scope
        self._receive = receive
        self._send = send
        self._path = scope.get("path", "")  # mounts change it
        self._root = scope.get("root_path", "")
        self._headers: Any = ()
        self._size: int | None = 0
        self._status = 0
        self._streams = False
        self._by_inner: Any = []  # route and actor, where an inner middleware knows them
        self.ended = False
        self.gone = False
        scope[KEY] = self._by_inner

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
        # CancelledError: the server gave up waiting, because the client left or because it shuts down.
        name = type(error).__name__
        if name in ("CancelledError", "GeneratorExit") or (
            self.gone and (name in _CLIENT_LEFT or isinstance(error, OSError))
        ):
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
            method = "GET" if scope["type"] == "websocket" else closed_method(scope["method"])
            ip, user_agent = _address_and_agent(scope, options.trusted_proxies)
            known: tuple[str, Actor] = self._by_inner or (self._route(), self._actor())
            route, actor = known
            if exception is not None and isinstance(exception, Exception):
                record_exception(exception, RequestDetails(route, method, *actor, ip, user_agent))
            if not self.ended:
                self.ended = True
                path = self._path.removeprefix(self._root) if self._root else self._path
                record(
                    options, options.leaves_out(path), route, method, status, duration_seconds, self._size, actor, ip,
                    user_agent, self._started - self._begun if self._streams else None,
                )  # fmt: skip
        except Exception as error:  # noqa: BLE001 - never into the application
            self._intake.fail("asgi", error)
        finally:
            self.ended = True

    def describe(self) -> RequestDetails:
        """Return what is known of it by now."""
        method = "GET" if self._scope["type"] == "websocket" else closed_method(self._scope["method"])
        ip, user_agent = _address_and_agent(self._scope, options_of(self._intake).trusted_proxies)
        known: tuple[str, Actor] = self._by_inner or (self._route(), self._actor())
        route, actor = known
        return RequestDetails(route, method, *actor, ip, user_agent)

    def _route(self) -> str:
        route = self._hooks.route
        return self._hooks.templates.of(self._scope) if route is None else routed(route, self._scope)

    def _actor(self) -> Actor:
        if self._hooks.identify is not None:
            return identified(self._hooks.identify, self._scope)
        user = self._scope.get("user")
        return UNKNOWN if user is None else actor_of(user)


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
    return next((int(value) for name, value in headers or () if name.lower() == b"content-length"), None)


def _address_and_agent(scope: Scope, trusted_proxies: int) -> tuple[str | None, str | None]:
    """Return the client's address and its user agent; malformed headers do no harm."""
    try:
        peer = scope.get("client")
        address = peer[0] if peer else None
        if trusted_proxies:
            address = client_address(
                address, _header(scope, b"x-forwarded-for"), _header(scope, b"forwarded"), trusted_proxies
            )
        for name, value in scope["headers"]:
            if name == b"user-agent":
                return address, value.decode("latin-1")
        return address, None
    except Exception as error:  # noqa: BLE001 - the request is counted all the same
        note("headers", error)
        return None, None


def _header(scope: Scope, expected: bytes) -> str | None:
    values = [value for name, value in scope["headers"] if name == expected]
    return b",".join(values).decode("latin-1") if values else None
