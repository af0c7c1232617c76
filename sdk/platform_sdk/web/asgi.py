"""Record the requests and websockets of an ASGI application: Starlette, FastAPI, or any other.

    app.add_middleware(PlatformMiddleware)      # Starlette, FastAPI: last, so that it is the outermost
    app = PlatformMiddleware(app)               # anything

A request's time ends with the last byte of its response, not with the background tasks after it. Status 499 means
that the client left, or the server gave up, before the response was complete; 500 that an exception escaped or no
complete response was sent, whatever status had been sent before. A websocket is a GET that ends when the application
returns: 101 where it was accepted, 403 where it was not, 500 where it ended by an exception or with close code 1011.
"""

import asyncio
import functools
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from platform_sdk import client, request_context
from platform_sdk.diagnostics import note
from platform_sdk.web.asgi_request import AsgiRequest, AsgiWebSocket, Identify, Message, Receive, RouteOf, Scope, Send
from platform_sdk.web.asgi_routes import Templates
from platform_sdk.web.record import KEY

App = Callable[[Any, Any, Any], Awaitable[None]]

_MARK = "__platform_sdk__"


class PlatformMiddleware:
    """The middleware. Two functions may be given, both called when the response is complete:

    identify: scope -> (user id, role, session id); by default `scope["user"]` is read, where a middleware has set it.
    route: scope -> template or None, for applications without a router.
    """

    def __init__(self, app: App, *, identify: Identify | None = None, route: RouteOf | None = None) -> None:
        self.app = app
        self.identify = identify
        self.route = route
        self.templates = Templates()
        store_before_uvicorn_ends()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        intake = client.current
        kind = scope["type"]
        if intake is None or KEY in scope or (kind != "http" and kind != "websocket"):
            await self.app(scope, receive, _storing(send) if kind == "lifespan" else send)
            return
        request = (AsgiRequest if kind == "http" else AsgiWebSocket)(self, intake, scope, receive, send)
        token = request_context.current.set(request)
        try:
            await self.app(scope, request.receive, request.send)
        except BaseException as error:
            request.failed(error)
            raise
        finally:
            try:  # noqa: SIM105 - a context manager takes three times as long as all of this
                request_context.current.reset(token)
            except ValueError:  # closed by the garbage collector, in another context
                pass
        if not request.ended:
            request.returned()


def _storing(send: Send) -> Send:
    """Store what waits before the server hears that the application has shut down: it may end the process then."""

    async def storing(message: Message) -> None:
        if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            await _store()
        await send(message)

    return storing


def store_before_uvicorn_ends() -> None:
    """Store what waits when uvicorn, where it is loaded, has shut down.

    Uvicorn then raises again the signal that ended it, and SIGTERM ends the process without Python's `atexit`
    (`Server.capture_signals`, read in 0.54). An ASGI lifespan would tell in time, but Django, and many a plain
    application, has none.
    """
    try:
        server = getattr(sys.modules.get("uvicorn.server"), "Server", None)
        shutdown = getattr(server, "shutdown", None)
        if server is None or shutdown is None or hasattr(shutdown, _MARK):
            return

        @functools.wraps(shutdown)
        async def shutdown_and_store(*args: Any, **kwargs: Any) -> Any:
            try:
                return await shutdown(*args, **kwargs)
            finally:
                await _store()

        setattr(shutdown_and_store, _MARK, True)
        server.shutdown = shutdown_and_store
    except Exception as error:  # noqa: BLE001 - never into the application
        note("uvicorn", error)


async def _store() -> None:
    """Store or spool what waits, without blocking the event loop."""
    if client.current is None:
        return
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # another kind of event loop, which a server is about to end
        client.flush_now()
        return
    try:
        await loop.run_in_executor(None, client.flush_now)
    except Exception as error:  # noqa: BLE001 - never into the application
        note("shutdown", error)
