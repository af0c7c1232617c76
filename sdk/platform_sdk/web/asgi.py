"""Record the requests and websockets of an ASGI application: Starlette, FastAPI, or any other.

    app.add_middleware(PlatformMiddleware)      # Starlette, FastAPI: last, so that it is the outermost
    app = PlatformMiddleware(app)               # anything

A request's time ends with the last byte of its response, not with the background tasks after it. Status 499 means
that the client left, or the server gave up, before the response was complete; 500 that an exception escaped or no
complete response was sent, whatever status had been sent before. A websocket is a GET that ends when the application
is done with it: 101 where it was accepted, 403 where it was not, 500 where it ended by an exception or with the close
code 1011.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from platform_sdk import client, request_context
from platform_sdk.web import uvicorn
from platform_sdk.web.asgi_exchange import Message, Receive, Request, Scope, Send, WebSocket
from platform_sdk.web.asgi_routes import Templates
from platform_sdk.web.record import KEY

App = Callable[[Any, Any, Any], Awaitable[None]]


class PlatformMiddleware:
    """Record what passes through. Hooks may be given, both called when the response is complete:

    identify: scope -> (user id, role, session id); otherwise `scope["user"]` tells, where a middleware has set it.
    route: scope -> template or None, for applications without a router.
    """

    def __init__(
        self,
        app: App,
        *,
        identify: Callable[[Scope], Any] | None = None,
        route: Callable[[Scope], str | None] | None = None,
    ) -> None:
        self.app = app
        self.identify = identify
        self.route = route
        self.templates = Templates()
        uvicorn.listen()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        intake = client.current
        kind = scope["type"]
        if intake is None or KEY in scope or (kind != "http" and kind != "websocket"):
            await self.app(scope, receive, _storing(send) if kind == "lifespan" else send)
            return
        exchange = (Request if kind == "http" else WebSocket)(self, intake, scope, receive, send)
        token = request_context.current.set(exchange)
        try:
            await self.app(scope, exchange.receive, exchange.send)
        except BaseException as error:
            exchange.failed(error)
            raise
        finally:
            try:  # noqa: SIM105 - a context manager takes three times as long as all of this
                request_context.current.reset(token)
            except ValueError:  # closed by the garbage collector, in another context
                pass
        if not exchange.ended:
            exchange.returned()


def _storing(send: Send) -> Send:
    """Store what waits before the server is told that the application has shut down: it may end the process then."""

    async def storing(message: Message) -> None:
        if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            await uvicorn.store()
        await send(message)

    return storing
