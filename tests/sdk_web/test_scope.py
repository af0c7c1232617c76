"""What is said anywhere in a request reaches its record, its errors and activities, and nothing else."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import pytest
from django.test import AsyncClient, Client
from fastapi import APIRouter, Depends, FastAPI, HTTPException
from flask import Flask
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

import platform_sdk
from platform_sdk import scope
from platform_sdk.actor import session_digest
from platform_sdk.web import asgi, wsgi
from tests.sdk_web import django_project
from tests.sdk_web.recording import Call, Recorded
from tests.sdk_web.test_django import tables  # noqa: F401 - an automatic fixture
from tests.sdk_web.test_wsgi import call


def say() -> None:
    """Say all there is to say, and log an error."""
    platform_sdk.set_user(7, role="editor", session_id="key")
    platform_sdk.set_tag("plan", "pro")
    platform_sdk.set_context("cart", {"items": 3})
    platform_sdk.log_error("no paper left")


def said_of(recorded: Recorded) -> tuple[Any, ...]:
    """Return user and role of the only request, and what the only error has."""
    (error,) = recorded.errors
    request = recorded.request
    assert request["session_id"] in (None, session_digest("key"))
    return request["user_id"], request["role"], error[4], error[8]


SAID = (7, "editor", 7, {"method": "GET", "tags": {"plan": "pro"}, "contexts": {"cart": {"items": 3}}})


async def in_a_dependency() -> None:
    say()


def in_a_thread_s_dependency() -> None:
    say()


async def in_a_generator() -> AsyncIterator[None]:
    say()
    yield


def in_a_thread_s_generator() -> Iterator[None]:
    say()
    yield


class Inside(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Any) -> Response:
        if "before" in request.url.path:
            say()
        response: Response = await call_next(request)
        if "behind" in request.url.path:
            say()
        return response


def fastapi_app() -> FastAPI:
    app = FastAPI()

    @app.get("/async")
    async def in_a_coroutine() -> None:
        say()

    @app.get("/sync")
    def in_a_thread() -> None:
        say()

    @app.get("/task")
    async def in_a_task() -> None:
        await asyncio.gather(asyncio.to_thread(say))

    @app.get("/stream")
    async def in_a_stream() -> StreamingResponse:
        def parts() -> Iterator[bytes]:
            yield b"x"
            say()

        return StreamingResponse(parts())

    for dependency in (in_a_dependency, in_a_thread_s_dependency, in_a_generator, in_a_thread_s_generator):

        @app.get(f"/{dependency.__name__}")
        async def depending(_: Annotated[None, Depends(dependency)]) -> None: ...

    for name in ("before", "behind"):

        @app.get(f"/{name}")
        async def page() -> None: ...

    app.add_middleware(Inside)
    app.add_middleware(asgi.PlatformMiddleware)
    return app


@pytest.mark.parametrize(
    "path",
    ["async", "sync", "task", "stream", "before", "behind", *(name for name in globals() if name.startswith("in_a_"))],
)
def test_fastapi(recorded: Recorded, path: str) -> None:
    """From an endpoint, its threads, tasks and stream, from dependencies of all kinds and a middleware within."""
    Call(fastapi_app(), f"/{path}").run()

    assert said_of(recorded) == SAID


def test_a_user_that_a_dependency_returns(recorded: Recorded) -> None:
    """A dependency of a router names it; also where a later one refuses, or the endpoint fails."""
    asked: list[str] = []

    def current_user(name: str) -> dict[str, str]:
        asked.append(name)
        return {"id": name, "role": "editor"}

    async def known(user: Annotated[dict[str, str], Depends(current_user)]) -> None:
        platform_sdk.set_user(user)

    def allowed(user: Annotated[dict[str, str], Depends(current_user)]) -> None:
        if user["id"] == "eve":
            raise HTTPException(403)

    router = APIRouter(dependencies=[Depends(known), Depends(allowed)])

    @router.get("/{name}")
    async def endpoint(user: Annotated[dict[str, str], Depends(current_user)]) -> str:
        if user["id"] == "bob":
            raise ValueError("broken")
        return user["id"]

    app = FastAPI()
    app.include_router(router)
    app.add_middleware(asgi.PlatformMiddleware)
    for name in ("ann", "eve", "bob"):
        Call(app, f"/{name}").run()

    assert asked == ["ann", "eve", "bob"]
    found = [(request["user_id"], request["role"], request["status"]) for request in recorded.requests]
    assert found == [("ann", "editor", 200), ("eve", "editor", 403), ("bob", "editor", 500)]
    assert [error[4] for error in recorded.errors] == ["bob"]


def test_starlette_middleware_outside(recorded: Recorded) -> None:
    """What one that encloses ours says before it calls on is known within."""

    async def endpoint(request: Request) -> Response:
        platform_sdk.log_error("within")
        return PlainTextResponse("x")

    app = Starlette(routes=[Route("/before", endpoint)])
    app.add_middleware(asgi.PlatformMiddleware)
    app.add_middleware(Inside)
    Call(app, "/before").run()

    before, within = recorded.errors
    assert (before[4], within[4], within[8]) == (7, *SAID[2:])
    assert (recorded.request["user_id"], recorded.request["role"]) == (7, "editor")


def test_flask(recorded: Recorded) -> None:
    """From hooks and views."""
    app = Flask("app")
    app.add_url_rule("/", view_func=lambda: "x")
    app.teardown_request(lambda _: say())
    call(wsgi.PlatformMiddleware(app))

    assert said_of(recorded) == SAID


def test_wsgi_stream(recorded: Recorded) -> None:
    """From a stream that the server reads when the application has returned, and from its closing."""

    class Stream:
        def __iter__(self) -> Iterator[bytes]:
            yield b"x"
            platform_sdk.set_user(7, role="editor")

        def close(self) -> None:
            platform_sdk.log_error("while closing")

    def application(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return Stream()

    call(wsgi.PlatformMiddleware(application))

    assert (recorded.request["user_id"], recorded.request["role"]) == (7, "editor")
    assert recorded.errors[0][4] == 7


def django_views(function: Callable[[], None]) -> list[Any]:
    from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
    from django.urls import path

    def view(request: HttpRequest) -> HttpResponse:
        function()
        return HttpResponse("x")

    async def async_view(request: HttpRequest) -> HttpResponse:
        function()
        return HttpResponse("x")

    def stream(request: HttpRequest) -> StreamingHttpResponse:
        def parts() -> Iterator[bytes]:
            function()
            yield b"x"

        return StreamingHttpResponse(parts())

    return [path("sync/", view), path("async/", async_view), path("stream/", stream)]


@pytest.mark.parametrize("path", ["/sync/", "/async/", "/stream/"])
@pytest.mark.parametrize("client", [Client, AsyncClient])
@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators")
def test_django(recorded: Recorded, views: Callable[..., None], path: str, client: Any) -> None:
    """From views of both kinds, under both interfaces."""
    views(*django_views(say))
    if client is Client:
        b"".join(client().get(path))
    else:
        asyncio.run(read(client(), path))

    assert said_of(recorded) == SAID


async def read(client: AsyncClient, path: str) -> None:
    answer: Any = await client.get(path)
    if answer.streaming:
        async for _ in answer:
            pass


def test_within_django_within_another_middleware(recorded: Recorded, views: Callable[..., None]) -> None:
    """What is said to the inner middleware reaches the record of the outer one."""
    views(*django_views(say))
    call(wsgi.PlatformMiddleware(django_project.wsgi_application()), "/sync/")

    assert said_of(recorded) == SAID


def test_requests_are_apart(recorded: Recorded) -> None:
    """Two that are served at the same time, and one after them."""

    async def endpoint(request: Request) -> Response:
        if number := request.path_params["number"]:
            platform_sdk.set_user(number)
        await turn.wait()
        platform_sdk.log_error(f"error {number}")
        return PlainTextResponse("x")

    app = asgi.PlatformMiddleware(Starlette(routes=[Route("/{number:int}", endpoint)]))

    async def main() -> None:
        global turn
        turn = asyncio.Barrier(2)
        await asyncio.gather(Call(app, "/1")(), Call(app, "/2")())
        turn = asyncio.Barrier(1)
        await Call(app, "/0")()

    asyncio.run(main())

    assert sorted(request["user_id"] or 0 for request in recorded.requests) == [0, 1, 2]
    assert sorted((error[1].chain[0].message, error[4] or 0) for error in recorded.errors) == [
        ("error 0", 0), ("error 1", 1), ("error 2", 2),
    ]  # fmt: skip


turn: asyncio.Barrier


def test_threads_that_serve_one_after_another(recorded: Recorded) -> None:
    """A thread's next request has no user of the one before, nor one that was named between the two."""
    app = Flask("app")
    app.add_url_rule("/<int:number>", view_func=lambda number: platform_sdk.set_user(number) or "x" if number else "x")
    served = wsgi.PlatformMiddleware(app)

    def work() -> None:
        call(served, "/1")
        call(served, "/0")
        platform_sdk.set_user("left behind")
        call(served, "/0")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert [request["user_id"] for request in recorded.requests] == [1, None, None]


def test_the_process_s_user_is_no_request_s(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tags are."""
    monkeypatch.setattr(scope, "_process", scope.Scope(shared=True))
    platform_sdk.set_user("importer")
    platform_sdk.set_tag("region", "eu")
    app = Flask("app")
    app.add_url_rule("/", view_func=lambda: str(platform_sdk.log_error("broken")))
    call(wsgi.PlatformMiddleware(app))

    (error,) = recorded.errors
    assert (recorded.request["user_id"], error[4]) == (None, None)
    assert error[8] == {"method": "GET", "tags": {"region": "eu"}}


@pytest.mark.parametrize(
    ("named", "role", "expected"),
    [(7, None, (7, "staff")), ("7", None, ("7", "staff")), (8, None, (8, None)), (8, "guest", (8, "guest"))],
)
def test_beside_the_framework_s_user(recorded: Recorded, named: Any, role: Any, expected: tuple[Any, ...]) -> None:
    """Whom the application names wins; role and session are the framework's where they are of the same user."""

    async def endpoint(request: Request) -> Response:
        platform_sdk.set_user(named, role=role)
        return PlainTextResponse("x")

    monitored = Middleware(asgi.PlatformMiddleware, identify=lambda scope: (7, "staff", "key"))
    Call(Starlette(routes=[Route("/", endpoint)], middleware=[monitored])).run()

    assert (recorded.request["user_id"], recorded.request["role"]) == expected
    assert recorded.request["session_id"] == session_digest("key")


def test_an_exception_has_what_was_said(recorded: Recorded) -> None:
    """One that nobody handled, and the activity of its request."""

    async def endpoint(request: Request) -> Response:
        platform_sdk.set_user(7, role="editor")
        platform_sdk.set_tag("plan", "pro")
        raise ValueError("broken")

    Call(Starlette(routes=[Route("/", endpoint)], middleware=[Middleware(asgi.PlatformMiddleware)])).run()

    (error,) = recorded.errors
    assert (error[4], error[8]) == (7, {"method": "GET", "tags": {"plan": "pro"}})
