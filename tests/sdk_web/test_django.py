"""What is recorded of requests to Django, by WSGI and ASGI, and that it costs no query."""

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.test.utils import CaptureQueriesContext
from starlette.applications import Starlette
from starlette.routing import Mount

from platform_sdk.web import asgi, wsgi
from platform_sdk.web.django_request import template
from tests.sdk_web import django_project
from tests.sdk_web.recording import Call, Recorded
from tests.sdk_web.test_wsgi import call

Record = Callable[..., Recorded]


@pytest.fixture(scope="session", autouse=True)
def tables() -> None:
    """Create the tables of users and sessions."""
    django_project.create_tables()


@pytest.fixture
def users() -> Iterator[dict[str, User]]:
    """Return users by role."""
    kinds: dict[str, dict[str, bool]] = {"user": {}, "staff": {"is_staff": True},
                                         "superuser": {"is_staff": True, "is_superuser": True}}  # fmt: skip
    yield {role: User.objects.create_user(role, **rights) for role, rights in kinds.items()}
    User.objects.all().delete()


@pytest.mark.parametrize(
    ("path", "route", "status"),
    [
        ("/", "/", 201),
        ("/users/5/", "/users/<int:pk>/", 201),
        ("/users/5", "(unmatched)", 301),
        ("/shop/acme/5/", "/shop/<slug:tenant>/<int:pk>/", 201),
        ("/articles/2024/", "/articles/<year>/(?:page-<page>/)?", 201),
        ("/legacy.html", "/legacy.html", 201),
        ("/en/about/", "/en/about/", 201),
        ("/de/about/", "/de/about/", 201),
        ("/missing/", "/missing/", 404),
        ("/denied/", "/denied/", 403),
        ("/scan.php", "(unmatched)", 404),
    ],
)
@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_routes(recorded: Recorded, path: str, route: str, status: int, interface: str) -> None:
    """The whole route, with its prefix."""
    if interface == "wsgi":
        Client().get(path)
    else:
        asyncio.run(AsyncClient().get(path))  # type: ignore[arg-type]  # untyped

    assert (recorded.request["route"], recorded.request["status"]) == (route, status)
    assert recorded.errors == []


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("", "/"),
        ("users/<int:pk>/", "/users/<int:pk>/"),
        (r"^(?P<year>[0-9]{4})/(\w+)/$", "/<year>/<var>/"),
        (r"^a/(?P<x>[()\])]+(b|c))/\d+\Z", r"/a/<x>/\d+"),
        (r"shop/(?P<a>x", "/shop/<a>"),
        ("/leading", "/leading"),
    ],
)
def test_template(route: str, expected: str) -> None:
    """Regular expressions become readable."""
    assert template(route) == expected


def test_everything_known_of_a_request(recorded: Recorded) -> None:
    """Status, size, address, client software and time."""
    began = perf_counter()
    answer = Client().post("/users/5/", headers={"user-agent": "Mozilla"})
    elapsed_seconds = perf_counter() - began

    request = recorded.request
    assert (answer.status_code, answer.content) == (201, b"hello")
    assert 0 < request.pop("duration_seconds") < elapsed_seconds
    assert request == {
        "route": "/users/<int:pk>/", "method": "POST", "status": 201, "response_bytes": 5, "user_id": None,
        "role": "anonymous", "session_id": None, "ip": "127.0.0.1", "user_agent": "Mozilla", "consumer": None,
        "first_byte_seconds": None, "trace_id": None, "trace_sampled": None,
    }  # fmt: skip


@pytest.mark.parametrize("role", ["user", "staff", "superuser"])
def test_user_that_the_view_loaded(recorded: Recorded, users: dict[str, User], role: str) -> None:
    """User and role are recorded, and no query is run beyond the view's own two."""
    test_client = Client()
    test_client.force_login(users[role])
    with CaptureQueriesContext(connection) as queries:
        test_client.get("/user/")

    request = recorded.request
    assert (request["user_id"], request["role"], len(queries)) == (users[role].pk, role, 2)
    assert request["session_id"] not in (None, test_client.session.session_key)


def test_user_of_an_asynchronous_view(recorded: Recorded, users: dict[str, User]) -> None:
    """`request.auser()` is understood too."""
    test_client = AsyncClient()
    test_client.force_login(users["staff"])
    asyncio.run(test_client.get("/async/user/"))  # type: ignore[arg-type]  # untyped

    assert (recorded.request["user_id"], recorded.request["role"]) == (users["staff"].pk, "staff")


def test_user_that_was_not_loaded(recorded: Recorded, users: dict[str, User]) -> None:
    """No query is run to find out."""
    test_client = Client()
    test_client.force_login(users["user"])
    with CaptureQueriesContext(connection) as queries:
        test_client.get("/")

    assert len(queries) == 0
    assert (recorded.request["user_id"], recorded.request["role"]) == (None, None)
    assert recorded.request["session_id"] is not None


def test_session_that_the_view_loaded(recorded: Recorded, users: dict[str, User]) -> None:
    """A loaded session has the user's id, though not the role."""
    test_client = Client()
    test_client.force_login(users["user"])
    with CaptureQueriesContext(connection) as queries:
        test_client.get("/session/")

    assert len(queries) == 1
    assert (recorded.request["user_id"], recorded.request["role"]) == (str(users["user"].pk), None)


@pytest.mark.parametrize("path", ["/", "/user/", "/session/"])
def test_anonymous(recorded: Recorded, path: str) -> None:
    """Without a session the user is anonymous, loaded or not."""
    Client().get(path)

    assert (recorded.request["user_id"], recorded.request["role"]) == (None, "anonymous")


def test_deferred_fields_are_not_fetched(recorded: Recorded, users: dict[str, User]) -> None:
    """A user that was loaded in part stays so: what role it has is not known."""
    from platform_sdk.web.django_request import requesting

    request = type("Request", (), {})()
    request._cached_user = User.objects.only("id").get(pk=users["staff"].pk)
    with CaptureQueriesContext(connection) as queries:
        actor = requesting(request)

    assert len(queries) == 0
    assert actor == (users["staff"].pk, None, None)


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
@pytest.mark.parametrize("path", ["/fail/", "/async/fail/"])
def test_exception(recorded: Recorded, interface: str, path: str) -> None:
    """Django answers it; it is recorded once, with its chain and its request."""
    if interface == "wsgi":
        answer = Client(raise_request_exception=False).get(path, headers={"user-agent": "Mozilla"})
    else:
        client = AsyncClient(raise_request_exception=False)
        answer = asyncio.run(client.get(path, headers={"user-agent": "Mozilla"}))  # type: ignore[arg-type]  # untyped

    assert (answer.status_code, recorded.request["status"]) == (500, 500)
    assert recorded.error_chains == [["ValueError", "KeyError"] if path == "/fail/" else ["ValueError"]]
    assert recorded.errors[0][3:7] == (path, None, "127.0.0.1", "Mozilla")


def test_exception_that_is_not_answered(recorded: Recorded) -> None:
    """With DEBUG_PROPAGATE_EXCEPTIONS it goes on to the server; it is recorded once all the same."""
    with override_settings(DEBUG_PROPAGATE_EXCEPTIONS=True), pytest.raises(ValueError, match="broken"):
        call(django_project.wsgi_application(), "/fail/")
    assert (recorded.request["status"], len(recorded.errors)) == (500, 1)


@pytest.mark.parametrize(("interface", "path"), [("wsgi", "/stream/"), ("asgi", "/async/stream/")])
def test_streaming(recorded: Recorded, interface: str, path: str) -> None:
    """The last part counts, in time and in size."""
    if interface == "wsgi":
        _, body = call(django_project.wsgi_application(), path)
    else:
        body = Call(django_project.asgi_application(), path).run().body

    assert body == b"onetwo"
    assert (recorded.request["status"], recorded.request["response_bytes"]) == (200, 6)
    assert recorded.request["duration_seconds"] >= 0.05
    assert recorded.request["first_byte_seconds"] <= recorded.request["duration_seconds"] - 0.05


# Django leaves the request's body open there.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("interface", "path"), [("wsgi", "/stream/"), ("asgi", "/async/stream/")])
def test_exception_in_the_middle_of_a_stream(recorded: Recorded, interface: str, path: str) -> None:
    """It goes on to the server, and is recorded."""
    if interface == "wsgi":
        with pytest.raises(ValueError, match="broken"):
            call(django_project.wsgi_application(), path, QUERY_STRING="fail=1")
    else:
        Call(django_project.asgi_application(), path, scope={"query_string": b"fail=1"}).run()
        gc.collect()

    assert (recorded.request["status"], recorded.request["response_bytes"]) == (500, 3)
    assert recorded.error_chains == [["ValueError"]]


def test_client_that_leaves_a_stream(recorded: Recorded) -> None:
    """The server closes before the end: status 499."""
    call(django_project.wsgi_application(), "/stream/", read=1)

    assert (recorded.request["status"], recorded.errors) == (499, [])


def test_client_that_leaves_while_the_view_works(recorded: Recorded) -> None:
    """Django cancels an asynchronous view: status 499, no exception."""
    gone = [{"type": "http.request"}, {"type": "http.disconnect"}]
    Call(django_project.asgi_application(), "/async/wait/", incoming=gone).run()

    assert (recorded.request["status"], recorded.errors) == (499, [])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Django leaves the body's file open
def test_a_task_that_the_view_cancelled(recorded: Recorded) -> None:
    """Nobody gave up waiting: a 500 and an error, by ASGI and by WSGI."""
    with pytest.raises(asyncio.CancelledError):
        Call(django_project.asgi_application(), "/async/cancel/").run()
    with pytest.raises((asyncio.CancelledError, futures.CancelledError)):
        call(django_project.wsgi_application(), "/async/cancel/")

    assert [request["status"] for request in recorded.requests] == [500, 500]
    assert recorded.error_chains == [["CancelledError"], ["CancelledError"]]


def test_file_is_sent_as_before(recorded: Recorded) -> None:
    """A server's file wrapper still gets the file itself."""
    wrapped = []

    class Wrapper:
        def __init__(self, file: Any, size: int) -> None:
            wrapped.append(file.read(10))
            self.close = file.close

        def __iter__(self) -> Iterator[bytes]:
            return iter(())

    call(django_project.wsgi_application(), "/file/", **{"wsgi.file_wrapper": Wrapper})

    assert wrapped == [Path(django_project.__file__).read_bytes()[:10]]
    assert (recorded.request["status"], recorded.request["response_bytes"]) == (
        200, Path(django_project.__file__).stat().st_size,
    )  # fmt: skip


def test_file_without_a_wrapper(recorded: Recorded) -> None:
    """It is read in parts."""
    _, body = call(django_project.wsgi_application(), "/file/")

    assert recorded.request["response_bytes"] == len(body) > 1000


@pytest.mark.parametrize("path", ["/assets/a.css", "/back-office/users/"])
def test_left_out(recorded: Recorded, path: str) -> None:
    """The project's own places for files and for the admin are known."""
    Client().get(path)

    assert recorded.requests == []


def test_left_out_but_failing(recorded: Recorded) -> None:
    """A 5xx is recorded wherever it is."""
    Client(raise_request_exception=False).get("/health/")

    assert (recorded.request["route"], recorded.request["status"]) == ("/health/", 500)


def test_activity_rules(record: Record, users: dict[str, User]) -> None:
    """By route, with who it was."""
    recorded = record(activity_rules={"/user/": ("look", "accounts", "profile")})
    test_client = Client()
    test_client.force_login(users["staff"])
    test_client.get("/user/")

    (activity,) = recorded.activities
    assert (activity["activity"], activity["module"], activity["feature"]) == ("look", "accounts", "profile")
    assert (activity["user_id"], activity["role"], activity["success"]) == (users["staff"].pk, "staff", True)


def tenant(request: Any) -> tuple[str, str]:
    return "told", "tenant"


@pytest.mark.parametrize("named", [tenant, f"{__name__}.tenant", "tests.sdk_web.nowhere"])
def test_identify(recorded: Recorded, named: Any) -> None:
    """The setting may name a function that says who it is; one that cannot be imported does no harm."""
    with override_settings(PLATFORM_SDK={"identify": named}):
        Client().get("/")

    assert recorded.request["user_id"] == (None if named == "tests.sdk_web.nowhere" else "told")


def test_garbage_headers(record: Record) -> None:
    """Whatever a client sends, the request is served and counted."""
    recorded = record(trusted_proxies=1)
    garbage = {"HTTP_USER_AGENT": "\x00ÿ" * 5000, "HTTP_X_FORWARDED_FOR": ',;"', "HTTP_COOKIE": "sessionid=\x01"}
    answer = Client().get("/user/", **garbage)

    assert (answer.status_code, recorded.request["status"]) == (200, 200)


def test_address_behind_a_proxy(record: Record) -> None:
    """As over ASGI."""
    recorded = record(trusted_proxies=1)
    Client().get("/", headers={"x-forwarded-for": "6.6.6.6, 203.0.113.9"})

    assert recorded.request["ip"] == "203.0.113.9"


def test_mounted_in_starlette(recorded: Recorded) -> None:
    """Where an outer middleware records too, it is one request, with what Django knows of it."""
    app = Starlette(routes=[Mount("/django", app=django_project.asgi_application())])
    app.add_middleware(asgi.PlatformMiddleware)
    Call(app, "/django/users/5/").run()

    assert (recorded.request["route"], recorded.request["role"]) == ("/users/<int:pk>/", "anonymous")


def test_inside_of_wsgi(recorded: Recorded) -> None:
    """The same over WSGI."""
    call(wsgi.PlatformMiddleware(django_project.wsgi_application()), "/users/5/")

    assert (recorded.request["route"], recorded.request["role"]) == ("/users/<int:pk>/", "anonymous")


def test_before_init_nothing_happens() -> None:
    """Without `init` requests pass through."""
    assert Client().get("/").status_code == 201


def test_own_failure_is_counted(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in the middleware reaches the ledger, not the application."""
    monkeypatch.setattr("platform_sdk.emit.request_finished", lambda *_, **__: 1 / 0)

    assert Client().get("/").status_code == 201
    assert "count(2)" in repr(recorded.intake.internal)


def test_response_of_another_class(recorded: Recorded) -> None:
    """It is passed on unchanged."""
    from platform_sdk.web.django import PlatformMiddleware

    odd = object()

    assert PlatformMiddleware(lambda request: odd)(None) is odd


def test_threads(recorded: Recorded) -> None:
    """Requests of many threads are all counted."""
    app = django_project.wsgi_application()
    threads = [threading.Thread(target=lambda: [call(app, "/users/5/") for _ in range(20)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(recorded.requests) == 160


def test_init_by_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """PLATFORM_SDK is what `init` gets, once."""
    from platform_sdk.web import django

    given: list[dict[str, Any]] = []
    monkeypatch.setattr(django.client, "init", lambda **options: given.append(options))
    with override_settings(PLATFORM_SDK={"dsn": "x", "app": "shop", "identify": tenant}):
        django.configure()

    assert given == [{"dsn": "x", "app": "shop"}]
    assert isinstance(HttpResponse(), HttpResponse)


@pytest.mark.parametrize("url", ["http://[::1/static/", "//a[b", None])
def test_a_static_url_that_is_malformed(recorded: Recorded, url: Any) -> None:
    """It hides no request."""
    with override_settings(STATIC_URL=url):
        Client().get("/")

    assert recorded.request["status"] == 201
