"""Applications as real servers load them; each starts the SDK as its interface advises, from the environment."""

import os
import time
from collections.abc import Iterator
from typing import Any

from flask import Flask
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

import platform_sdk
from platform_sdk.web import asgi, wsgi


def flask() -> Flask:
    """Return a WSGI application."""
    platform_sdk.init()
    app = Flask(__name__)

    @app.route("/items/<int:item>")
    def item(item: int) -> str:
        return str(os.getpid())

    @app.route("/stream")
    def stream() -> Any:
        def parts() -> Iterator[str]:
            while True:
                yield "part" * 10_000
                time.sleep(0.01)

        return parts()

    @app.route("/fail")
    def fail() -> str:
        raise ValueError("broken")

    app.wsgi_app = wsgi.PlatformMiddleware(app.wsgi_app)  # type: ignore[method-assign]  # as Flask advises
    return app


def without_disk() -> Any:
    """Return a WSGI application that fails where it should answer, and the server is the one who logs it."""
    platform_sdk.init(integrations="logging")

    def app(environ: Any, start_response: Any) -> list[bytes]:
        if environ["PATH_INFO"] == "/-/ready":
            start_response("404 Not Found", [])
            return []
        raise OSError("no disk")

    return wsgi.PlatformMiddleware(app)


def flask_that_emits() -> Flask:
    """Return the WSGI application after an event, as of a pool that is filled while the application is loaded."""
    app = flask()
    platform_sdk.sample("loaded", 1.0)
    return app


async def item(request: Any) -> PlainTextResponse:
    return PlainTextResponse(str(os.getpid()))


async def stream(request: Any) -> StreamingResponse:
    def parts() -> Iterator[str]:
        while True:
            yield "part" * 10_000
            time.sleep(0.01)

    return StreamingResponse(parts())


async def fail(request: Any) -> PlainTextResponse:
    raise ValueError("broken")


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


def starlette() -> Starlette:
    """Return an ASGI application."""
    platform_sdk.init()
    app = Starlette(
        routes=[
            Route("/items/{item:int}", item),
            Route("/stream", stream),
            Route("/fail", fail),
            WebSocketRoute("/ws/{room}", socket),
        ]
    )
    app.add_middleware(asgi.PlatformMiddleware)
    return app


def django_wsgi() -> Any:
    """Return a Django project by WSGI."""
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def django_asgi() -> Any:
    """Return a Django project by ASGI."""
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


def plain() -> Any:
    """Return an ASGI application that knows no lifespan."""
    platform_sdk.init()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await PlainTextResponse("x", status_code=200 if scope["path"] == "/items/1" else 404)(scope, receive, send)

    return asgi.PlatformMiddleware(app, route=lambda scope: "/items/{item}")


def __getattr__(name: str) -> Any:
    """Make an application when a server asks for it by the name of what it is made by: served:flask_app."""
    if name.endswith("_app"):
        return globals()[name.removesuffix("_app")]()
    raise AttributeError(name)
