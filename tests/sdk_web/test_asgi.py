"""What is recorded of requests and websockets over ASGI, and that the application notices nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from time import perf_counter
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from platform_sdk import client
from platform_sdk.web.asgi import PlatformMiddleware
from tests.sdk_web.recording import Call, Recorded

Record = Callable[..., Recorded]


def serving(endpoint: Any, path: str = "/x/{id}", *before: Middleware, **options: Any) -> Starlette:
    routes = [Route(path, endpoint, methods=["GET", "POST"])]
    return Starlette(routes=routes, middleware=[Middleware(PlatformMiddleware), *before], **options)


async def page(request: Any) -> PlainTextResponse:
    return PlainTextResponse("hello", status_code=201)


def test_everything_known_of_a_request(recorded: Recorded) -> None:
    """Status, size, address, client software and time."""
    began = perf_counter()
    call = Call(serving(page), "/x/1", "POST", [("user-agent", "Mozilla/5.0")]).run()
    elapsed_seconds = perf_counter() - began

    request = recorded.request
    assert (call.status, call.body) == (201, b"hello")
    assert 0 < request.pop("duration_seconds") < elapsed_seconds
    assert request == {
        "route": "/x/{id}", "method": "POST", "status": 201, "response_bytes": 5, "user_id": None, "role": None,
        "session_id": None, "ip": "192.0.2.1", "user_agent": "Mozilla/5.0", "consumer": None,
        "first_byte_seconds": None, "trace_id": None, "trace_sampled": None,
    }  # fmt: skip


def test_head_has_no_body(recorded: Recorded) -> None:
    """What the application made of a body is not sent, and not counted."""
    Call(serving(page), "/x/1", "HEAD").run()

    assert (recorded.request["method"], recorded.request["response_bytes"]) == ("HEAD", 0)


@pytest.mark.parametrize("way", ["pathsend", "zerocopysend"])
@pytest.mark.parametrize(("headers", "size"), [([(b"Content-Length", b"4096")], 4096), ([], None),
                                                ([(b"content-length", b"much")], None)])  # fmt: skip
def test_file_that_the_server_sends(recorded: Recorded, way: str, headers: list[Any], size: int | None) -> None:
    """Its size is what the headers announce."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": f"http.response.{way}", "path": "/a", "file": 3})

    Call(PlatformMiddleware(app)).run()

    assert recorded.request["response_bytes"] == size


def test_by_the_frameworks_own_client(recorded: Recorded) -> None:
    """The same through Starlette's client, lifespan included."""
    started = []

    async def lifespan(app: Any) -> AsyncIterator[None]:
        started.append(True)
        yield

    with TestClient(serving(page, lifespan=asynccontextmanager(lifespan))) as test_client:
        answer = test_client.get("/x/1")

    assert (answer.status_code, answer.text, started) == (201, "hello", [True])
    assert recorded.request["status"] == 201


def test_before_init_nothing_happens() -> None:
    """Without `init` the application gets the server's own functions."""
    assert client.current is None
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    scope, receive, send = {"type": "http"}, object(), object()
    asyncio.run(PlatformMiddleware(app)(scope, receive, send))  # type: ignore[arg-type]  # never called

    assert seen == [(scope, receive, send)]
    assert scope == {"type": "http"}


@pytest.mark.parametrize(("method", "recorded_as"), [("HEAD", "HEAD"), ("PROPFIND", "OTHER"), ("get", "OTHER")])
def test_method_is_of_a_closed_list(recorded: Recorded, method: str, recorded_as: str) -> None:
    """A scanner cannot make up methods."""
    Call(PlatformMiddleware(PlainTextResponse("x")), "/", method).run()

    assert recorded.request["method"] == recorded_as


def test_streaming_is_timed_to_its_end(recorded: Recorded) -> None:
    """The last part counts, in time and in size; the first byte's time is recorded, too."""

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(3):
            await asyncio.sleep(0.02)
            yield b"part"

    async def endpoint(request: Any) -> StreamingResponse:
        return StreamingResponse(parts())

    Call(serving(endpoint), "/x/1").run()

    assert recorded.request["duration_seconds"] >= 0.06
    assert recorded.request["first_byte_seconds"] <= recorded.request["duration_seconds"] - 0.06
    assert (recorded.request["response_bytes"], recorded.request["status"]) == (12, 200)


def test_response_of_one_piece_has_no_first_byte_of_its_own(recorded: Recorded) -> None:
    """Its duration says how fast the application is."""
    Call(PlatformMiddleware(PlainTextResponse("x"))).run()

    assert recorded.request["first_byte_seconds"] is None


def test_background_tasks_are_not_timed(recorded: Recorded) -> None:
    """The client has its response before them, and the request is recorded then."""
    began = perf_counter()
    recorded_before, elapsed_seconds = [], []

    async def later() -> None:
        elapsed_seconds.append(perf_counter() - began)
        recorded_before.append(len(recorded.requests))
        await asyncio.sleep(0.05)

    async def endpoint(request: Any) -> PlainTextResponse:
        return PlainTextResponse("x", background=BackgroundTask(later))

    Call(serving(endpoint), "/x/1").run()

    assert recorded_before == [1]
    assert recorded.request["duration_seconds"] < elapsed_seconds[0]


def test_background_task_that_fails(recorded: Recorded) -> None:
    """Its exception belongs to the request, which was served all the same."""

    async def later() -> None:
        raise ValueError("too late")

    async def endpoint(request: Any) -> PlainTextResponse:
        return PlainTextResponse("x", background=BackgroundTask(later))

    Call(serving(endpoint), "/x/1").run()

    assert recorded.request["status"] == 200
    assert [error[3] for error in recorded.errors] == ["/x/{id}"]


async def failing(request: Any) -> PlainTextResponse:
    try:
        raise KeyError("cause")
    except KeyError as error:
        raise ValueError("broken") from error


@pytest.mark.parametrize("outside", [False, True], ids=["add_middleware", "wrapped"])
@pytest.mark.parametrize("handled", [False, True], ids=["unhandled", "handler of 500"])
def test_exception(recorded: Recorded, handled: bool, outside: bool) -> None:
    """It is recorded once, with its chain and its request, and goes on to the server unchanged."""

    async def handler(request: Any, error: Exception) -> PlainTextResponse:
        return PlainTextResponse("sorry", status_code=500)

    app: Any = Starlette(routes=[Route("/x/{id}", failing)], exception_handlers={Exception: handler} if handled else {})
    if outside:
        app = PlatformMiddleware(app)
    else:
        app.add_middleware(PlatformMiddleware)
    call = Call(app, "/x/1", headers=[("user-agent", "Mozilla")]).run()

    assert type(call.error) is ValueError
    assert call.body == (b"sorry" if handled else b"Internal Server Error")
    assert (recorded.request["status"], recorded.request["route"]) == (500, "/x/{id}")
    assert recorded.error_chains == [["ValueError", "KeyError"]]
    assert recorded.errors[0][3:7] == ("/x/{id}", None, "192.0.2.1", "Mozilla")


def test_exception_that_the_application_answers_is_none(recorded: Recorded) -> None:
    """An HTTPException is a response."""

    async def endpoint(request: Any) -> PlainTextResponse:
        raise HTTPException(418)

    Call(serving(endpoint), "/x/1").run()

    assert (recorded.request["status"], recorded.errors) == (418, [])


def test_exception_in_the_middle_of_a_stream(recorded: Recorded) -> None:
    """The client got a status of 200 and half a response: that is a failure."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"part"
        raise ValueError("broken")

    async def endpoint(request: Any) -> StreamingResponse:
        return StreamingResponse(parts())

    call = Call(serving(endpoint), "/x/1").run()

    assert call.error is not None
    assert (recorded.request["status"], recorded.request["response_bytes"]) == (500, 4)
    assert len(recorded.errors) == 1


def test_group_of_exceptions(recorded: Recorded) -> None:
    """A task group's exceptions are recorded as one, with its members."""

    async def one() -> None:
        raise ValueError("one")

    async def endpoint(request: Any) -> PlainTextResponse:
        async with asyncio.TaskGroup() as group:
            group.create_task(one())
        return PlainTextResponse("never")

    Call(serving(endpoint), "/x/1").run()

    ((_, captured, *_),) = recorded.errors
    assert [member.name for member in captured.chain[0].members] == ["ValueError"]


def test_application_that_answers_nothing(recorded: Recorded) -> None:
    """The server makes a 500 of it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        return None

    Call(PlatformMiddleware(app)).run()

    assert recorded.request["status"] == 500


DISCONNECT = [{"type": "http.request", "body": b"", "more_body": True}, {"type": "http.disconnect"}]


def test_client_that_leaves_while_it_is_read(recorded: Recorded) -> None:
    """Status 499, and no exception though Starlette raises one."""

    async def endpoint(request: Request) -> PlainTextResponse:
        return PlainTextResponse(await request.body())

    call = Call(serving(endpoint), "/x/1", "POST", incoming=DISCONNECT).run()

    assert type(call.error).__name__ == "ClientDisconnect"
    assert (recorded.request["status"], recorded.errors) == (499, [])


@pytest.mark.parametrize("version", ["2.3", "2.4"])
def test_client_that_leaves_while_it_is_sent_to(recorded: Recorded, version: str) -> None:
    """Status 499, whether the server says so by a message or by an exception of `send`."""

    async def parts() -> AsyncIterator[bytes]:
        while True:
            yield b"part"
            await asyncio.sleep(0.005)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await StreamingResponse(parts())(scope, receive, send)

    sent = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0.02 if version == "2.3" else 3600)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        if version == "2.4" and len(sent) > 2:
            raise OSError("gone")

    scope = {**Call(None).scope, "type": "http", "asgi": {"spec_version": version}, "method": "GET", "path": "/",
             "headers": [], "client": None}  # fmt: skip

    with pytest.raises(ClientDisconnect) if version == "2.4" else nullcontext():
        asyncio.run(PlatformMiddleware(app)(scope, receive, send))

    assert (recorded.request["status"], recorded.errors) == (499, [])


def test_failure_of_a_file_is_not_taken_for_a_client_that_left(recorded: Recorded) -> None:
    """An OSError of the application's own is an exception like any other."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"part"
        raise FileNotFoundError("gone")

    async def endpoint(request: Any) -> StreamingResponse:
        return StreamingResponse(parts())

    Call(serving(endpoint), "/x/1").run()

    assert recorded.request["status"] == 500
    assert len(recorded.errors) == 1


def test_cancellation_passes_through(recorded: Recorded) -> None:
    """A request that is cancelled stays cancelled; it is a 499 and no exception."""

    async def endpoint(request: Any) -> PlainTextResponse:
        await asyncio.sleep(3600)
        return PlainTextResponse("never")

    async def run() -> None:
        task = asyncio.create_task(Call(serving(endpoint), "/x/1")())
        await asyncio.sleep(0.05)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
    assert (recorded.request["status"], recorded.errors) == (499, [])


@pytest.mark.parametrize("gone", [False, True])
def test_a_task_that_the_application_cancelled(recorded: Recorded, gone: bool) -> None:
    """Who awaits it fails, though nobody gave up waiting: a 500 and an error; a 499 where the client has left."""

    async def endpoint(request: Any) -> PlainTextResponse:
        if gone:
            await request.is_disconnected()
        task = asyncio.create_task(asyncio.sleep(3600))
        await asyncio.sleep(0)
        task.cancel()
        await task
        return PlainTextResponse("never")

    incoming = [{"type": "http.disconnect"}] if gone else [{"type": "http.request"}]
    with pytest.raises(asyncio.CancelledError):
        Call(serving(endpoint), "/x/1", incoming=incoming).run()

    assert recorded.request["status"] == (499 if gone else 500)
    assert recorded.error_chains == ([] if gone else [["CancelledError"]])


async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    await asyncio.sleep(0.05)
    await websocket.send_text(await websocket.receive_text())
    await websocket.close(int(websocket.query_params.get("code", 1000)))


async def refuse(websocket: WebSocket) -> None:
    await websocket.close()


async def break_down(websocket: WebSocket) -> None:
    await websocket.accept()
    raise ValueError("broken")


async def listen(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.receive_text()


@pytest.mark.parametrize(
    ("endpoint", "query", "status"), [(talk, "", 101), (talk, "?code=1011", 500), (refuse, "", 403)]
)
def test_websocket(recorded: Recorded, endpoint: Any, query: str, status: int) -> None:
    """It is one request, by how it ended."""
    app = Starlette(routes=[WebSocketRoute("/ws/{room}", endpoint)], middleware=[Middleware(PlatformMiddleware)])
    with TestClient(app) as test_client:
        try:
            with test_client.websocket_connect(f"/ws/blue{query}") as websocket:
                websocket.send_text("hi")
                assert websocket.receive_text() == "hi"
        except WebSocketDisconnect:
            assert status == 403

    request = recorded.request
    assert (request["method"], request["route"], request["status"]) == ("GET", "/ws/{room}", status)
    assert request["duration_seconds"] >= (0.05 if endpoint is talk else 0)
    if endpoint is talk:
        assert request["first_byte_seconds"] <= request["duration_seconds"] - 0.05


def test_websocket_that_fails(recorded: Recorded) -> None:
    """Its exception is recorded."""
    app = Starlette(routes=[WebSocketRoute("/", break_down)], middleware=[Middleware(PlatformMiddleware)])
    Call(app, type="websocket", incoming=[{"type": "websocket.connect"}]).run()

    assert recorded.request["status"] == 500
    assert recorded.error_chains == [["ValueError"]]


def test_websocket_whose_client_leaves(recorded: Recorded) -> None:
    """That is how most websockets end, though Starlette raises an exception."""
    app = Starlette(routes=[WebSocketRoute("/", listen)], middleware=[Middleware(PlatformMiddleware)])
    gone = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1001}]
    Call(app, type="websocket", incoming=gone).run()

    assert (recorded.request["status"], recorded.errors) == (101, [])


class User:
    """A user object as an application may have it."""

    is_authenticated = True

    def __init__(self, **fields: object) -> None:
        self.__dict__.update(fields)

    @property
    def email(self) -> str:
        raise AssertionError("a property may run a query")


class Anonymous:
    """A user that is not signed in."""

    is_authenticated = False


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (None, (None, None)),
        (Anonymous(), (None, "anonymous")),
        (User(id=5), (5, "user")),
        (User(id=0, is_staff=True), (0, "staff")),
        (User(username="ann", is_superuser=True, is_staff=True), ("ann", "superuser")),
        (User(id=5, role="editor"), (5, "editor")),
        ({"sub": "ann"}, ("ann", "user")),
        (object(), (None, None)),
    ],
    ids=["none", "anonymous", "user", "staff", "superuser", "role", "mapping", "object"],
)
def test_user_that_a_middleware_has_found(recorded: Recorded, user: object, expected: tuple[object, str]) -> None:
    """Only what the user object holds is read."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if user is not None:
            scope["user"] = user
        await PlainTextResponse("x")(scope, receive, send)

    Call(PlatformMiddleware(app)).run()

    assert (recorded.request["user_id"], recorded.request["role"]) == expected


def test_user_of_starlette(recorded: Recorded) -> None:
    """Starlette's own AuthenticationMiddleware is understood."""
    from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser

    class Backend(AuthenticationBackend):
        async def authenticate(self, conn: Any) -> Any:
            return AuthCredentials(), SimpleUser("ann")

    Call(serving(page, "/x/{id}", Middleware(AuthenticationMiddleware, backend=Backend())), "/x/1").run()

    assert (recorded.request["user_id"], recorded.request["role"]) == ("ann", "user")


def test_hook_that_identifies(recorded: Recorded) -> None:
    """The application's function says who it is; of a session's key only a digest is stored."""
    app = PlatformMiddleware(PlainTextResponse("x"), identify=lambda scope: (7, "editor", "key-of-the-session"))
    Call(app).run()
    Call(app).run()

    first, second = recorded.requests
    assert (first["user_id"], first["role"]) == (7, "editor")
    assert first["session_id"] == second["session_id"] != "key-of-the-session"


@pytest.mark.parametrize("told", [None, (), ValueError("hook")])
def test_hook_that_fails_or_does_not_know(recorded: Recorded, told: object) -> None:
    """Neither harms the request."""

    def identify(scope: Any) -> object:
        if isinstance(told, Exception):
            raise told
        return told

    call = Call(PlatformMiddleware(PlainTextResponse("x"), identify=identify)).run()

    assert (call.status, recorded.request["user_id"]) == (200, None)


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/static/a.css", False), ("/static", False), ("/media/a.png", False), ("/admin/users/", False),
        ("/health", False), ("/health/db", False), ("/healthz", False), ("/metrics", False), ("/-/ready", False),
        ("/favicon.ico", False), ("/healthcare", True), ("/metrics-of-mine", True), ("/my/static/a.css", True),
        ("/statics", True), ("/", True), ("", True),
    ],
)  # fmt: skip
def test_paths_left_out(recorded: Recorded, path: str, kept: bool) -> None:
    """What no user asked for is not recorded, by whole parts of the path."""
    Call(PlatformMiddleware(PlainTextResponse("x")), path).run()

    assert len(recorded.requests) == kept


def test_path_left_out_that_fails(recorded: Recorded) -> None:
    """A 5xx is recorded wherever it is."""
    Call(PlatformMiddleware(PlainTextResponse("x", status_code=503)), "/health").run()

    assert recorded.request["status"] == 503


def test_paths_to_leave_out_are_an_option(record: Record) -> None:
    """They replace the usual ones."""
    recorded = record(excluded_paths=["/internal"])
    app = PlatformMiddleware(PlainTextResponse("x"))
    for path in ("/internal/x", "/health", "/static/x"):
        Call(app, path).run()

    assert len(recorded.requests) == 2


def test_path_left_out_below_a_root_path(recorded: Recorded) -> None:
    """A proxy's prefix changes nothing."""
    Call(PlatformMiddleware(PlainTextResponse("x")), "/proxied/health", scope={"root_path": "/proxied"}).run()

    assert recorded.requests == []


RULES = {
    "/x/{id}": ("view", "library", "item"),
    "POST /x/{id}": ("edit", "library", None),
    "/health": "check",
    "/bad": 5,
}


@pytest.mark.parametrize(
    ("method", "expected"), [("GET", ("view", "library", "item")), ("POST", ("edit", "library", None))]
)
def test_activity_rules(record: Record, method: str, expected: tuple[str, str, str | None]) -> None:
    """A route, or a route and a method, is an activity by a table; the request is recorded too."""
    recorded = record(activity_rules=RULES)
    Call(serving(page), "/x/1", method, [("user-agent", "Mozilla")]).run()

    (activity,) = recorded.activities
    assert (activity["activity"], activity["module"], activity["feature"]) == expected
    assert (activity["success"], activity["ip"], activity["user_agent"]) == (True, "192.0.2.1", "Mozilla")
    assert len(recorded.requests) == 1


def test_activity_that_fails(record: Record) -> None:
    """The status says whether it worked."""
    recorded = record(activity_rules=RULES)
    Call(serving(failing), "/x/1").run()

    assert [activity["success"] for activity in recorded.activities] == [False]


def test_activity_on_a_path_left_out(record: Record) -> None:
    """A rule is explicit: the request is left out, the activity is not."""
    recorded = record(activity_rules=RULES)
    Call(serving(page, "/health"), "/health").run()

    assert recorded.requests == []
    assert [activity["activity"] for activity in recorded.activities] == ["check"]


@pytest.mark.parametrize(
    "headers",
    [
        [("user-agent", "\x00\x01\x7f")], [("user-agent", "ÿ" * 100_000)], [("", "")], [("x-forwarded-for", ",;\"")],
        [("forwarded", 'for="')], [("user-agent", "a"), ("user-agent", "b")], [("cookie", "=" * 9000)],
    ],
    ids=["control", "huge", "empty", "commas", "quote", "twice", "cookie"],
)  # fmt: skip
@pytest.mark.parametrize("trusted", [0, 2])
def test_garbage_headers(record: Record, headers: list[tuple[str, str]], trusted: int) -> None:
    """Whatever a client sends, the request is served and counted."""
    recorded = record(trusted_proxies=trusted)
    call = Call(PlatformMiddleware(PlainTextResponse("x")), headers=headers).run()

    assert (call.status, recorded.request["status"]) == (200, 200)
    assert len(recorded.request["user_agent"] or "") <= 400


@pytest.mark.parametrize("broken", [{"headers": None}, {"client": 5}, {"headers": [("a", "b"), None]}])
def test_garbage_scope(recorded: Recorded, broken: dict[str, object]) -> None:
    """A server that does not keep to the specification is not made worse."""
    call = Call(PlatformMiddleware(PlainTextResponse("x")), scope=broken).run()

    assert (call.status, recorded.request["status"]) == (200, 200)


def test_garbage_message_is_the_servers_to_refuse(recorded: Recorded) -> None:
    """It arrives there as it is."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"status": 200})

    call = Call(PlatformMiddleware(app)).run()

    assert call.sent == [{"status": 200}]
    assert recorded.request["status"] == 500


def test_own_failure_is_counted(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in the middleware reaches the ledger, not the application."""
    monkeypatch.setattr("platform_sdk.emit.request_finished", lambda *_, **__: 1 / 0)
    call = Call(PlatformMiddleware(PlainTextResponse("x"))).run()

    assert (call.status, call.error) == (200, None)
    assert "count(2)" in repr(recorded.intake.internal)


def test_address_behind_proxies(record: Record) -> None:
    """All X-Forwarded-For headers are one list."""
    recorded = record(trusted_proxies=2)
    headers = [("x-forwarded-for", "6.6.6.6, 203.0.113.9"), ("x-forwarded-for", "10.0.0.1")]
    Call(PlatformMiddleware(PlainTextResponse("x")), headers=headers).run()

    assert recorded.request["ip"] == "203.0.113.9"


def test_concurrent_requests(recorded: Recorded) -> None:
    """Requests that are served at the same time do not mix."""
    app = FastAPI()

    @app.get("/{name}/{seconds}")
    async def wait(name: str, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return name * 100

    app.add_middleware(PlatformMiddleware)

    async def run() -> None:
        await asyncio.gather(*(Call(app, f"/{'x' * n}/0.0{n % 5}")() for n in range(1, 51)))

    asyncio.run(run())

    assert sorted(request["response_bytes"] for request in recorded.requests) == [n * 100 + 2 for n in range(1, 51)]
