"""On whose behalf a request is: as the application says, or by its headers; calls made within have it, too."""

from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import path

import platform_sdk
from platform_sdk import consumers, emit, scope
from platform_sdk.web import asgi, wsgi
from tests.sdk_web.recording import Call, Recorded
from tests.sdk_web.test_django import tables  # noqa: F401 - an automatic fixture
from tests.sdk_web.test_wsgi import call

Record = Callable[..., Recorded]
Work = Callable[[], None]
KEY = "nine lives of a secret"


def by_asgi(work: Work, name: str, value: str) -> None:
    async def app(asgi_scope: Any, receive: Any, send: Any) -> None:
        work()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    Call(asgi.PlatformMiddleware(app), headers=[(name.lower(), value)]).run()


def by_wsgi(work: Work, name: str, value: str) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        work()
        start_response("200 OK", [])
        return [b""]

    call(wsgi.PlatformMiddleware(app), **{f"HTTP_{name.upper().replace('-', '_')}": value})


def by_django(work: Work, name: str, value: str) -> None:
    Client().get("/worked/", headers={name: value})


@pytest.fixture(params=[by_asgi, by_wsgi, by_django])
def serve(request: pytest.FixtureRequest, views: Callable[..., None]) -> Callable[[Work, str, str], None]:
    """Return what serves one request, with a header, that does some work."""

    def serve(work: Work, name: str = "X-Api-Key", value: str = KEY) -> None:
        def view(_: Any) -> HttpResponse:
            work()
            return HttpResponse()

        views(path("worked/", view))
        request.param(work, name, value)

    return serve


def made_a_call() -> None:
    emit.api_call("maps", "/v1", "success", 0.1)


def consumers_of(recorded: Recorded) -> tuple[Any, Any]:
    """Return the consumer of the only request, and of the only call within."""
    (made,) = recorded.calls
    return recorded.request["consumer"], made["consumer"]


@pytest.mark.parametrize(
    ("option", "header", "value", "expected"),
    [
        ("X-Api-Key", "X-Api-Key", KEY, consumers.digest(KEY)),
        ("authorization", "Authorization", f"Bearer {KEY}", consumers.digest(KEY)),
        ("authorization", "Authorization", f"Basic {b64encode(b'acme:pass').decode()}", consumers.digest("acme")),
        ("authorization", "Authorization", "Basic !", None),
        ("X-Consumer-Username", "X-Consumer-Username", " acme ", "acme"),
        ("X-Client-Secret", "X-Client-Secret", KEY, consumers.digest(KEY)),
        (lambda headers: headers["x-plan"].upper(), "X-Plan", "pro", "PRO"),
        (lambda headers: 17, "X-Plan", "pro", "17"),
        (lambda headers: headers["x-none"], "X-Plan", "pro", None),
        ("X-None", "X-Plan", "pro", None),
        (None, "X-Api-Key", KEY, None),
    ],
)
def test_of_a_header(
    record: Record, serve: Callable[..., None], option: Any, header: str, value: str, expected: str | None
) -> None:
    """A key is a digest, a name itself; a function that fails says nothing."""
    recorded = record(consumer=option)
    serve(made_a_call, header, value)

    assert consumers_of(recorded) == (expected, expected)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"consumer": "acme"}, "acme"),
        ({"consumer": 17}, "17"),
        ({"key": "a secret"}, consumers.digest("a secret")),
        ({"consumer": None}, consumers.digest(KEY)),
        ({"consumer": object()}, consumers.digest(KEY)),
    ],
)
def test_what_the_application_says_wins(
    record: Record, serve: Callable[..., None], said: dict[str, Any], expected: str
) -> None:
    """The header holds where it says nothing."""
    recorded = record(consumer="X-Api-Key")

    def work() -> None:
        platform_sdk.set_consumer(**said)
        made_a_call()

    serve(work)

    assert consumers_of(recorded) == (expected, expected)


def test_of_a_task(record: Record) -> None:
    """Within a scope it holds for calls, and for nothing after it."""
    recorded = record()
    with scope.opened():
        platform_sdk.set_consumer("acme")
        made_a_call()
    made_a_call()

    assert [made["consumer"] for made in recorded.calls] == ["acme", None]
