"""What an application logs while it serves a request is recorded with that request."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from flask import Flask, stream_with_context
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

import platform_sdk
from platform_sdk import request_context
from platform_sdk.actor import session_digest
from platform_sdk.web import asgi, wsgi
from tests.sdk_web import django_project
from tests.sdk_web.recording import Call, Recorded
from tests.sdk_web.test_django import tables  # noqa: F401 - an automatic fixture
from tests.sdk_web.test_wsgi import call

AGENT = [("user-agent", "Mozilla/5.0")]


def log() -> None:
    platform_sdk.log_error("no paper left", severity="low")


async def log_in_a_coroutine(request: Any) -> PlainTextResponse:
    log()
    return PlainTextResponse("x")


def log_in_a_thread(request: Any) -> PlainTextResponse:
    log()
    return PlainTextResponse("x")


async def log_in_a_stream(request: Any) -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        log()
        yield b"x"

    return StreamingResponse(parts())


async def log_in_a_task(request: Any) -> PlainTextResponse:
    async def later() -> None:
        log()

    await asyncio.gather(later())
    return PlainTextResponse("x")


@pytest.mark.parametrize("endpoint", [log_in_a_coroutine, log_in_a_thread, log_in_a_stream, log_in_a_task])
def test_starlette(recorded: Recorded, endpoint: Any) -> None:
    """Route, method, user, address and client, wherever in the request it is logged."""
    monitored = Middleware(asgi.PlatformMiddleware, identify=lambda scope: (7, "staff", "key"))
    Call(Starlette(routes=[Route("/x/{id}", endpoint)], middleware=[monitored]), "/x/5", headers=AGENT).run()

    (error,) = recorded.errors
    assert (error[0], error[3:7], error[8]) == (
        "low", ("/x/{id}", 7, "192.0.2.1", "Mozilla/5.0"), {"method": "GET"},
    )  # fmt: skip
    assert request_context.current.get() is None


def flask_app() -> Any:
    app = Flask("app")

    @app.route("/x/<int:number>")
    def page(number: int) -> Any:
        log()
        platform_sdk.log_activity("print", user_id=8, copies=2)
        return "x"

    @app.route("/stream/<int:number>")
    def stream(number: int) -> Any:
        def parts() -> Iterator[str]:
            log()
            yield "x"

        return stream_with_context(parts())

    return wsgi.PlatformMiddleware(app, identify=lambda environ: (7, "staff", "key"))


@pytest.mark.parametrize("path", ["/x/<int:number>", "/stream/<int:number>"])
def test_flask(recorded: Recorded, path: str) -> None:
    """By WSGI, and in a stream that the server asks for when the application has returned."""
    call(flask_app(), path.replace("<int:number>", "5"), HTTP_USER_AGENT="Mozilla")

    assert recorded.errors[0][3:7] == (path, 7, "192.0.2.1", "Mozilla")
    assert request_context.current.get() is None


def test_what_is_given_wins(recorded: Recorded) -> None:
    """An activity of another user than the request's has not that one's role."""
    call(flask_app(), "/x/5")

    (activity,) = recorded.activities
    assert (activity["user_id"], activity["role"], activity["ip"]) == (8, None, "192.0.2.1")
    assert activity["session_id"] == session_digest("key")


def test_django(recorded: Recorded) -> None:
    """The user that the view has loaded, with role and session."""
    client, user = Client(), User.objects.create_user("ann", password="x", is_staff=True)
    client.force_login(user)
    client.get("/log/5/", headers={"user-agent": "Mozilla"})
    user.delete()

    assert recorded.errors[0][3:7] == ("/log/<int:pk>/", user_id := recorded.request["user_id"], "127.0.0.1", "Mozilla")
    (activity,) = recorded.activities
    assert (activity["user_id"], activity["role"]) == (user_id, "staff")
    assert activity["session_id"] == recorded.request["session_id"] is not None


@pytest.mark.parametrize(("interface", "path"), [("wsgi", "/log/5/?stream"), ("asgi", "/async/log/")])
def test_django_stream(recorded: Recorded, interface: str, path: str) -> None:
    """A part of a stream belongs to the request, too."""
    if interface == "wsgi":
        call(django_project.wsgi_application(), path.partition("?")[0], QUERY_STRING="stream=1")
    else:
        Call(django_project.asgi_application(), path).run()

    assert recorded.errors[0][3] == recorded.request["route"] != "(unmatched)"
    assert request_context.current.get() is None


def test_a_thread_of_the_application_s_own_is_in_no_request(recorded: Recorded) -> None:
    """It may outlive the request, and serve others."""

    def endpoint(environ: Any, start_response: Any) -> list[bytes]:
        thread = threading.Thread(target=log)
        thread.start()
        thread.join()
        start_response("200 OK", [])
        return [b"x"]

    call(wsgi.PlatformMiddleware(endpoint))

    assert recorded.errors[0][3] is None


def test_trouble_in_finding_out_loses_no_error(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is logged without the request."""

    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        scope["headers"], scope["method"] = None, []
        log()

    Call(asgi.PlatformMiddleware(endpoint)).run()

    assert recorded.errors[0][3] is None


SHARED = ValueError("not found")


def test_a_shared_exception_is_an_error_in_each_request(recorded: Recorded) -> None:
    """An object that a module keeps and raises again and again, through what raises on what happened elsewhere."""

    async def endpoint(request: Any) -> PlainTextResponse:
        try:
            raise SHARED
        except ValueError as error:
            platform_sdk.log_error(error)
            raise

    app = Starlette(routes=[Route("/", endpoint)], middleware=[Middleware(asgi.PlatformMiddleware)])
    for _ in range(3):
        Call(app).run()

    assert len(recorded.errors) == 3


def test_what_a_future_raises_on_after_the_request(recorded: Recorded) -> None:
    """It is the error of that request, which a server logs once more: Django's streams go through one by WSGI."""
    future: Future[None] = Future()

    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        try:
            raise ValueError("broken")
        except ValueError as error:
            future.set_exception(error)
            platform_sdk.log_error(error)

    Call(asgi.PlatformMiddleware(endpoint)).run()
    try:
        future.result()
    except ValueError as error:
        platform_sdk.log_error(error)

    assert len(recorded.errors) == 1
