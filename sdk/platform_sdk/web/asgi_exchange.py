"""Follow one ASGI request or websocket from its first byte to its end."""

from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any, Protocol

from platform_sdk.delivery.intake import Intake
from platform_sdk.diagnostics import note
from platform_sdk.request_context import Told
from platform_sdk.web.actor import UNKNOWN, Actor, actor_of, identified
from platform_sdk.web.address import client_address
from platform_sdk.web.asgi_routes import Templates
from platform_sdk.web.plan import UNMATCHED, closed_method, plan_of
from platform_sdk.web.record import CLIENT_GONE, KEY, lose, record, record_exception

Scope = dict[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# What Starlette raises in an application whose client has left.
_GONE = ("ClientDisconnect", "WebSocketDisconnect")

SWITCHING_PROTOCOLS, FORBIDDEN, INTERNAL_ERROR = 101, 403, 1011


class Layer(Protocol):
    """What an exchange needs of the middleware."""

    identify: Callable[[Scope], Any] | None
    route: Callable[[Scope], str | None] | None
    templates: Templates


class Exchange:
    """Follow one request or websocket. What `send` returns is the server's own awaitable wherever that will do."""

    __slots__ = (
        "__weakref__", "_begun", "_headers", "_intake", "_layer", "_path", "_receive", "_root", "_scope", "_send",
        "_size", "_started", "_status", "_streams", "_told", "ended", "gone",
    )  # fmt: skip

    def __init__(self, layer: Layer, intake: Intake, scope: Scope, receive: Receive, send: Send) -> None:
        self._begun = self._started = perf_counter()
        self._layer = layer
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
        self._told: list[Any] = []
        self.ended = False
        self.gone = False
        scope[KEY] = self._told

    def returned(self) -> None:
        """End what the application returned from without completing it."""
        self._end(CLIENT_GONE if self.gone else 500)

    def failed(self, error: BaseException) -> None:
        """End what an exception escaped from, and tell of it, unless it only says that the client has left."""
        # CancelledError: the server has given up waiting, be it because the client left or because it is shut down.
        name = type(error).__name__
        if name in ("CancelledError", "GeneratorExit") or (self.gone and (name in _GONE or isinstance(error, OSError))):
            if not self.ended:
                self.left()
            return
        self._end(500, error)

    def left(self) -> None:
        """End what the client, or the server, did not wait for."""
        self._end(CLIENT_GONE)

    def _end(self, status: int, error: BaseException | None = None) -> None:
        """Emit the request, unless that was done, and the exception."""
        duration_seconds = perf_counter() - self._begun
        try:
            scope = self._scope
            plan = plan_of(self._intake)
            method = "GET" if scope["type"] == "websocket" else closed_method(scope["method"])
            ip, user_agent = _address_and_agent(scope, plan.trusted_proxies)
            route, actor = self._told or (self._route(), self._actor())
            if error is not None and isinstance(error, Exception):
                record_exception(error, route, method, actor, ip, user_agent)
            if not self.ended:
                self.ended = True
                path = self._path.removeprefix(self._root) if self._root else self._path
                record(
                    plan, plan.leaves_out(path), route, method, status, duration_seconds, self._size, actor, ip,
                    user_agent, self._started - self._begun if self._streams else None,
                )  # fmt: skip
        except Exception as trouble:  # noqa: BLE001 - never into the application
            lose(self._intake, "asgi", trouble)
        finally:
            self.ended = True

    def describe(self) -> Told:
        """Return what is known of it by now."""
        method = "GET" if self._scope["type"] == "websocket" else closed_method(self._scope["method"])
        ip, user_agent = _address_and_agent(self._scope, plan_of(self._intake).trusted_proxies)
        route, (user_id, role, session_id) = self._told or (self._route(), self._actor())
        return Told(route, method, user_id, role, session_id, ip, user_agent)

    def _route(self) -> str:
        if self._layer.route is not None:
            try:
                return self._layer.route(self._scope) or UNMATCHED
            except Exception as trouble:  # noqa: BLE001 - code of the application's, called on our account
                note("route", trouble)
                return UNMATCHED
        return self._layer.templates.of(self._scope)

    def _actor(self) -> Actor:
        if self._layer.identify is not None:
            return identified(self._layer.identify, self._scope)
        user = self._scope.get("user")
        return UNKNOWN if user is None else actor_of(user)


class Request(Exchange):
    """Follow a request."""

    __slots__ = ()

    async def receive(self) -> Message:
        """Pass a message on, noting that the client has left."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.gone = True
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """Pass a message on, noting status and size."""
        try:
            kind = message["type"]
            if kind == "http.response.body":
                body = message.get("body")
                if body and self._size is not None:
                    self._size += len(body)
                return self._part(message) if message.get("more_body") else self._last(message)
            if kind == "http.response.start":
                self._status = message["status"]
                self._started = perf_counter()
                self._headers = message.get("headers")
            elif kind == "http.response.pathsend":
                self._size = _announced(self._headers)
                return self._last(message)
            elif kind == "http.response.zerocopysend":
                self._size = _announced(self._headers)
                return self._part(message) if message.get("more_body") else self._last(message)
        except Exception as trouble:  # noqa: BLE001 - a malformed message is the server's to refuse
            note("asgi", trouble)
        return self._send(message)

    async def _part(self, message: Message) -> None:
        self._streams = self._status != 0
        try:
            await self._send(message)
        except OSError:  # since version 2.4 of the specification this says that the client has left
            self.gone = True
            raise

    async def _last(self, message: Message) -> None:
        # Asked before: many servers say "disconnect" to whoever still listens once the response is complete.
        gone = self.gone
        try:
            await self._send(message)
        except OSError:
            self.gone = True
            raise
        if not self.ended:
            self._end(CLIENT_GONE if gone else self._status)


class WebSocket(Exchange):
    """Follow a websocket."""

    __slots__ = ()

    def __init__(self, layer: Layer, intake: Intake, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(layer, intake, scope, receive, send)
        self._size = None

    async def receive(self) -> Message:
        """Pass a message on, noting that the client has left."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self.gone = True
        return message

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
        except Exception as trouble:  # noqa: BLE001 - a malformed message is the server's to refuse
            note("asgi", trouble)
        return self._send(message)

    def returned(self) -> None:
        """End what the application is done with."""
        self._end(self._status or (CLIENT_GONE if self.gone else 500))

    def left(self) -> None:
        """End what the client left: once accepted, that is how a websocket usually ends."""
        self._end(self._status or CLIENT_GONE)


def _announced(headers: Any) -> int | None:
    """Return the size that an answer's headers tell, of files that the server itself sends."""
    return next((int(value) for name, value in headers or () if name.lower() == b"content-length"), None)


def _address_and_agent(scope: Scope, trusted_proxies: int) -> tuple[str | None, str | None]:
    """Return the client's address and its user agent; headers of odd make do no harm."""
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
    except Exception as trouble:  # noqa: BLE001 - the request is counted all the same
        note("headers", trouble)
        return None, None


def _header(scope: Scope, wanted: bytes) -> str | None:
    values = [value for name, value in scope["headers"] if name == wanted]
    return b",".join(values).decode("latin-1") if values else None
