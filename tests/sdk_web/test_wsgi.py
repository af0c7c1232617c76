"""What is recorded of requests over WSGI, and that application and server notice nothing."""

import io
import threading
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults

import pytest
from flask import Blueprint, Flask, abort, g, stream_with_context
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from platform_sdk import client
from platform_sdk.web.wsgi import PlatformMiddleware
from tests.sdk_web.recording import Recorded

Record = Callable[..., Recorded]


def call(app: Any, path: str = "/", method: str = "GET", read: int | None = None, **environ: Any) -> tuple[str, bytes]:
    """Serve a request as a server does; `read` parts only, as where the client leaves."""
    environ = {"PATH_INFO": path, "REQUEST_METHOD": method, "REMOTE_ADDR": "192.0.2.1", **environ}
    setup_testing_defaults(environ)
    started: list[str] = []
    written: list[bytes] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
        if exc_info and written:
            raise exc_info[1]
        started.append(status)
        return written.append

    result = app(environ, start_response)
    try:
        for number, part in enumerate(result):
            if number == read:
                break
            written.append(part)
    finally:
        if hasattr(result, "close"):
            result.close()
    return started[-1], b"".join(written)


def plain(environ: Any, start_response: Any) -> list[bytes]:
    start_response("201 Created", [("Content-Type", "text/plain")])
    return [b"hel", b"lo"]


def flask_app() -> Flask:
    app, shop, inner = Flask("app"), Blueprint("shop", "shop", url_prefix="/shop/<tenant>"), Blueprint("in", "in")

    @app.route("/")
    def root() -> str:
        return "root"

    @app.route("/users/<int:user>", methods=["GET", "POST"])
    def user(user: int) -> str:
        return str(user)

    @app.route("/fail")
    def fail() -> str:
        try:
            raise KeyError("cause")
        except KeyError as error:
            raise ValueError("broken") from error

    @app.route("/teapot")
    def teapot() -> str:
        abort(418)

    @app.route("/stream")
    def stream() -> Any:
        def parts() -> Iterator[str]:
            yield "one"
            yield "two"

        return stream_with_context(parts())

    @app.route("/me")
    def me() -> str:
        g._login_user = type("User", (), {})()
        g._login_user.id, g._login_user.is_staff = 5, True
        return "me"

    @inner.route("/things/<path:thing>")
    def thing(tenant: str, thing: str) -> str:
        return thing

    shop.register_blueprint(inner, url_prefix="/in")
    app.register_blueprint(shop)
    app.wsgi_app = PlatformMiddleware(app.wsgi_app)  # type: ignore[method-assign]  # as Flask advises
    return app


@pytest.mark.parametrize(
    ("path", "route", "status"),
    [
        ("/", "/", 200),
        ("/users/5", "/users/<int:user>", 200),
        ("/users/five", "(unmatched)", 404),
        ("/shop/acme/in/things/a/b", "/shop/<tenant>/in/things/<path:thing>", 200),
        ("/teapot", "/teapot", 418),
        ("/scan.php", "(unmatched)", 404),
        ("/static-of-none/x", "(unmatched)", 404),
    ],
)
def test_flask_routes(recorded: Recorded, path: str, route: str, status: int) -> None:
    """The rule, blueprints and nested ones included."""
    flask_app().test_client().get(path, buffered=True)

    assert (recorded.request["route"], recorded.request["status"]) == (route, status)


def test_flask_method_not_allowed(recorded: Recorded) -> None:
    """Werkzeug does not say which rule refused the method."""
    flask_app().test_client().delete("/users/5", buffered=True)

    assert (recorded.request["route"], recorded.request["status"]) == ("(unmatched)", 405)


@pytest.mark.parametrize("script", ["", "/proxied"])
def test_mounted_flask(recorded: Recorded, script: str) -> None:
    """What it is mounted at is in the template, what the server is mounted at is not."""
    inner = Flask("inner")
    inner.add_url_rule("/x/<name>", view_func=lambda name: name)
    app = PlatformMiddleware(DispatcherMiddleware(plain, {"/mounted": inner}))
    call(app, "/mounted/x/1", SCRIPT_NAME=script)

    assert recorded.request["route"] == "/mounted/x/<name>"


def test_inside_and_outside_counts_once(recorded: Recorded) -> None:
    """A request that passes two of these is one request."""
    call(PlatformMiddleware(DispatcherMiddleware(plain, {"/mounted": flask_app()})), "/mounted/users/5")

    assert recorded.request["route"] == "/mounted/users/<int:user>"


def test_flask_exception(recorded: Recorded) -> None:
    """Flask answers it itself; it is recorded once, with its chain and its request."""
    answer = flask_app().test_client().get("/fail", headers={"User-Agent": "Mozilla"}, buffered=True)

    assert (answer.status_code, recorded.request["status"]) == (500, 500)
    assert recorded.error_chains == [["ValueError", "KeyError"]]
    assert recorded.errors[0][3:7] == ("/fail", None, "127.0.0.1", "Mozilla")


def test_flask_exception_that_goes_on(recorded: Recorded) -> None:
    """In testing mode it reaches the server; it is recorded once all the same."""
    app = flask_app()
    app.testing = True

    with pytest.raises(ValueError, match="broken"):
        app.test_client().get("/fail")
    assert (recorded.request["status"], len(recorded.errors)) == (500, 1)


def test_flask_streaming(recorded: Recorded) -> None:
    """The parts count."""
    answer = flask_app().test_client().get("/stream", buffered=True)

    assert answer.data == b"onetwo"
    assert (recorded.request["status"], recorded.request["response_bytes"]) == (200, 6)
    assert 0 < recorded.request["first_byte_seconds"] < recorded.request["duration_seconds"]


def test_response_of_one_part_has_no_first_byte_of_its_own(recorded: Recorded) -> None:
    """Though Flask's is an iterator, as a stream is."""
    flask_app().test_client().get("/", buffered=True)

    assert (recorded.request["status"], recorded.request["first_byte_seconds"]) == (200, None)


def test_flask_login(recorded: Recorded) -> None:
    """A user that Flask-Login has loaded is known."""
    flask_app().test_client().get("/me", buffered=True)

    assert (recorded.request["user_id"], recorded.request["role"]) == (5, "staff")


def test_everything_known_of_a_request(recorded: Recorded) -> None:
    """Status, size, address, client software and time."""
    began = perf_counter()
    answer = call(PlatformMiddleware(plain), "/x", "PUT", HTTP_USER_AGENT="Mozilla")
    elapsed_seconds = perf_counter() - began

    request = recorded.request
    assert answer == ("201 Created", b"hello")
    assert 0 < request.pop("duration_seconds") < elapsed_seconds
    assert request == {
        "route": "(unmatched)", "method": "PUT", "status": 201, "response_bytes": 5, "user_id": None, "role": None,
        "session_id": None, "ip": "192.0.2.1", "user_agent": "Mozilla", "consumer": None,
        "first_byte_seconds": None, "trace_id": None, "trace_sampled": None,
    }  # fmt: skip


def test_before_init_nothing_happens() -> None:
    """Without `init` the application gets the server's own function and environ."""
    assert client.current is None
    seen: list[Any] = []
    environ: dict[str, Any] = {}
    PlatformMiddleware(lambda *arguments: seen.append(arguments) or [])(environ, call)  # type: ignore[func-returns-value]

    assert seen == [({}, call)]


class Result:
    """An iterable that must be closed."""

    def __init__(self, *parts: bytes, error: Exception | None = None) -> None:
        self.parts = iter(parts)
        self.error = error
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield from self.parts
        if self.error:
            raise self.error

    def close(self) -> None:
        self.closed += 1


def returning(result: Any, status: str = "200 OK", headers: Any = ()) -> PlatformMiddleware:
    def app(environ: Any, start_response: Any) -> Any:
        start_response(status, list(headers))
        return result

    return PlatformMiddleware(app)


def test_iterable_is_timed_to_its_closing(recorded: Recorded) -> None:
    """It is recorded when it is closed, which is done once."""
    result = Result(b"one", b"two")
    environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "PATH_INFO": "/"}
    body: Any = returning(result)(environ, lambda *_: None)  # type: ignore[arg-type, return-value]  # no `write` wanted
    assert list(body) == [b"one", b"two"]
    before = len(recorded.requests)
    body.close()

    assert (before, result.closed) == (0, 1)
    assert (recorded.request["status"], recorded.request["response_bytes"]) == (200, 6)


def test_generator_that_starts_late(recorded: Recorded) -> None:
    """The response may be started at the first part."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("202 Accepted", [])
        yield b"part"

    assert call(PlatformMiddleware(app)) == ("202 Accepted", b"part")
    assert recorded.request["status"] == 202


def test_client_that_leaves(recorded: Recorded) -> None:
    """The server closes before the end: status 499."""
    result = Result(b"one", b"two", b"three")
    call(returning(result), read=1)

    assert (recorded.request["status"], result.closed, recorded.errors) == (499, 1, [])


@pytest.mark.parametrize(
    ("method", "headers"), [("HEAD", []), ("GET", [("Content-Length", "6")])], ids=["HEAD", "Content-Length"]
)
def test_server_that_needs_not_read_on(recorded: Recorded, method: str, headers: Any) -> None:
    """A server may stop where nothing more is to be sent."""
    call(returning(Result(b"one", b"two", b""), headers=headers), method=method, read=2)

    assert recorded.request["status"] == 200


def test_exception_in_the_middle(recorded: Recorded) -> None:
    """It goes on to the server, and is recorded."""
    with pytest.raises(ValueError, match="broken"):
        call(returning(Result(b"one", error=ValueError("broken"))))
    assert (recorded.request["status"], recorded.request["response_bytes"]) == (500, 3)
    assert recorded.error_chains == [["ValueError"]]


def test_exception_of_close(recorded: Recorded) -> None:
    """It goes on to the server, and is recorded."""

    class Unclosable(Result):
        def close(self) -> None:
            raise ValueError("unclosable")

    with pytest.raises(ValueError, match="unclosable"):
        call(returning(Unclosable(b"one")))
    assert (recorded.request["status"], len(recorded.errors)) == (500, 1)


def test_exception_before_the_response(recorded: Recorded) -> None:
    """It goes on to the server, and is recorded."""

    def app(environ: Any, start_response: Any) -> Any:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        call(PlatformMiddleware(app))
    assert (recorded.request["status"], len(recorded.errors)) == (500, 1)


def test_end_of_the_process_passes_through(recorded: Recorded) -> None:
    """A worker's time limit ends the request, and is not an exception of the application's."""

    def app(environ: Any, start_response: Any) -> Any:
        raise SystemExit(1)

    with pytest.raises(SystemExit):
        call(PlatformMiddleware(app))
    assert (recorded.request["status"], recorded.errors) == (500, [])


def test_exc_info(recorded: Recorded) -> None:
    """An application that answers its own exception passes it to the server, and so to the middleware."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        try:
            raise ValueError("broken")
        except ValueError:
            import sys

            start_response("500 Oops", [], sys.exc_info())
        return [b"sorry"]

    assert call(PlatformMiddleware(app)) == ("500 Oops", b"sorry")
    assert (recorded.request["status"], len(recorded.errors)) == (500, 1)


def test_write(recorded: Recorded) -> None:
    """What is written by the callable counts."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [])
        write(b"written ")
        return [b"returned"]

    assert call(PlatformMiddleware(app)) == ("200 OK", b"written returned")
    assert recorded.request["response_bytes"] == 16


def test_lists_are_returned_as_they_are(recorded: Recorded) -> None:
    """Servers make a Content-Length of a list of one."""
    parts = [b"one"]

    assert returning(parts)({}, lambda *_: None) is parts  # type: ignore[arg-type, return-value]


def test_length_is_kept(recorded: Recorded) -> None:
    """So they do of anything with a length."""

    class Sized(Result):
        def __len__(self) -> int:
            return 1

    body: Any = returning(Sized(b"one"))({}, lambda *_: None)  # type: ignore[arg-type, return-value]

    assert len(body) == 1


def test_file_wrapper_is_kept(recorded: Recorded) -> None:
    """The server's own wrapper is returned as it is, for sendfile(2), and recorded when it is closed."""
    file = io.BytesIO(b"content")
    wrapped = FileWrapper(file)
    app = returning(wrapped, headers=[("Content-Length", "7")])
    environ = {"wsgi.file_wrapper": FileWrapper, "REQUEST_METHOD": "GET", "PATH_INFO": "/"}
    result: Any = app(environ, lambda *_: None)  # type: ignore[arg-type, return-value]
    before = len(recorded.requests)
    result.close()

    assert (result is wrapped, before, file.closed) == (True, 0, True)
    assert (recorded.request["status"], recorded.request["response_bytes"]) == (200, 7)


def test_uwsgi_file_wrapper_is_kept(recorded: Recorded) -> None:
    """UWSGI's is a function, and the file itself is returned."""
    file = io.BytesIO(b"content")
    environ = {"wsgi.file_wrapper": lambda file, size=0: file, "REQUEST_METHOD": "GET", "PATH_INFO": "/"}

    assert returning(file)(environ, lambda *_: None) is file  # type: ignore[arg-type, return-value, comparison-overlap]
    assert recorded.request["status"] == 200


@pytest.mark.parametrize(("path", "status", "kept"), [("/static/a", "200 OK", 0), ("/health", "503 No", 1)])
def test_paths_left_out(recorded: Recorded, path: str, status: str, kept: int) -> None:
    """As over ASGI."""
    call(returning([b""], status), path)

    assert len(recorded.requests) == kept


def test_activity_rules(record: Record) -> None:
    """As over ASGI, by Flask's rules."""
    recorded = record(activity_rules={"POST /users/<int:user>": ("rename", "users", None)})
    test_client = flask_app().test_client()
    test_client.get("/users/5", buffered=True)
    test_client.post("/users/5", buffered=True)

    assert [activity["activity"] for activity in recorded.activities] == ["rename"]


def test_identify(recorded: Recorded) -> None:
    """The application's function says who it is."""
    app = PlatformMiddleware(plain, identify=lambda environ: environ["REMOTE_USER"])
    call(app, REMOTE_USER="ann")

    assert recorded.request["user_id"] == "ann"


@pytest.mark.parametrize("broken", [{"REQUEST_METHOD": 5}, {"HTTP_USER_AGENT": None}, {"REMOTE_ADDR": None}])
def test_garbage_environ(recorded: Recorded, broken: dict[str, Any]) -> None:
    """The request is served and counted."""
    environ = {"PATH_INFO": "/", "REQUEST_METHOD": "GET", **broken}
    PlatformMiddleware(plain)(environ, lambda *_: None)  # type: ignore[arg-type, return-value]

    assert recorded.request["status"] == 201


def test_threads(recorded: Recorded) -> None:
    """Requests of many threads are all counted, none mixed up."""
    app = flask_app()

    def work(number: int) -> None:
        for _ in range(50):
            call(app, f"/users/{10**number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    sizes = [request["response_bytes"] for request in recorded.requests]
    assert sorted(sizes) == [size for size in range(1, 9) for _ in range(50)]


def test_no_garbage_is_left(recorded: Recorded) -> None:
    """A request's objects go with it; none waits for the garbage collector."""
    import gc

    app = flask_app()
    call(PlatformMiddleware(plain))
    call(app, "/users/5")
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(10):
            call(PlatformMiddleware(plain))
        gc.collect()
        # Threads of earlier tests may leave something, too.
        left = [found for found in gc.garbage if type(found).__module__.startswith("platform_sdk")]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()

    assert left == []


@pytest.mark.parametrize("size", ["", "much", "\u00b2", "9" * 5000])
def test_a_content_length_that_is_none(recorded: Recorded, size: str) -> None:
    """A file with a malformed header is recorded all the same, without its size."""

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Length", size)])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"hello"))

    call(PlatformMiddleware(app), **{"wsgi.file_wrapper": FileWrapper})

    assert (recorded.request["status"], recorded.request["response_bytes"]) == (200, None)
