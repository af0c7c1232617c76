"""An exception that the application answers itself is recorded, once, where the answer is a 5xx."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import Client, override_settings
from django.urls import path
from fastapi import FastAPI, HTTPException
from flask import Flask, abort
from rest_framework.exceptions import APIException
from rest_framework.views import APIView
from starlette.responses import JSONResponse

from platform_sdk.web import asgi, wsgi
from tests.sdk_web.recording import Call, Recorded
from tests.sdk_web.test_django import tables  # noqa: F401 - an automatic fixture
from tests.sdk_web.test_wsgi import call


class TaskError(Exception):
    """An error of the application's own, for which it has a handler."""


def flask_app(status: int, kind: type[Exception] = Exception, **config: Any) -> Any:
    app = Flask("app")
    app.config.update(config)

    @app.route("/<what>")
    def view(what: str) -> str:
        if what == "abort":
            abort(503)
        raise TaskError("broken")

    @app.errorhandler(kind)
    def answer(error: Exception) -> tuple[dict[str, str], int]:
        return {"detail": "sorry"}, status

    return wsgi.PlatformMiddleware(app)


@pytest.mark.parametrize("kind", [Exception, TaskError])
def test_flask(recorded: Recorded, kind: type[Exception]) -> None:
    """By a handler for all exceptions or for one class."""
    call(flask_app(500, kind), "/x")

    assert (recorded.error_chains, recorded.request["status"]) == ([["TaskError"]], 500)
    assert recorded.errors[0][3] == "/<what>"


@pytest.mark.parametrize(("path", "status"), [("/x", 400), ("/abort", 503)])
def test_flask_answers_that_are_no_errors(recorded: Recorded, path: str, status: int) -> None:
    """A handler that makes it the client's error, and what was raised in order to answer."""
    call(flask_app(status), path)

    assert (recorded.errors, recorded.request["status"]) == ([], status)


def test_flask_handler_for_500(recorded: Recorded) -> None:
    """Flask gives it the exception wrapped; it is recorded once, as it was raised."""
    app = Flask("app")
    app.add_url_rule("/", view_func=lambda: 1 // 0)  # type: ignore[arg-type,return-value]  # it raises
    app.register_error_handler(500, lambda error: ("sorry", 500))
    call(wsgi.PlatformMiddleware(app))

    assert recorded.error_chains == [["ZeroDivisionError"]]


def test_flask_that_propagates(recorded: Recorded) -> None:
    """As in tests: the exception reaches the caller, and is recorded once."""
    app = Flask("app")
    app.config["PROPAGATE_EXCEPTIONS"] = True
    app.add_url_rule("/", view_func=lambda: 1 // 0)  # type: ignore[arg-type,return-value]  # it raises
    with pytest.raises(ZeroDivisionError):
        call(wsgi.PlatformMiddleware(app))

    assert (recorded.error_chains, recorded.request["status"]) == ([["ZeroDivisionError"]], 500)


def test_flask_teardown(recorded: Recorded) -> None:
    """What a teardown raises is recorded, too."""
    app = Flask("app")
    app.add_url_rule("/", view_func=lambda: "x")
    app.teardown_request(lambda _: 1 // 0)  # type: ignore[arg-type,return-value]  # it raises
    with pytest.raises(ZeroDivisionError):
        call(wsgi.PlatformMiddleware(app))

    assert recorded.error_chains == [["ZeroDivisionError"]]


WITHOUT_SIGNALS = """
import blinker

def refuse(self, *args, **kwargs):
    raise RuntimeError("Signalling support is unavailable because the blinker library is not installed.")

blinker.Signal.connect = refuse  # as flask.signals._FakeSignal of Flask before 2.3 does
from flask import Flask
from platform_sdk import client, options
from platform_sdk.delivery import kinds
from platform_sdk.delivery.intake import Intake
from platform_sdk.web import wsgi
from werkzeug.test import Client

client.current = Intake(options.read({"dsn": "none", "app": "shop"}, {}), lambda: None)
client.current.running = True
app = Flask("app")
app.add_url_rule("/", view_func=lambda: 1 // 0)
app.wsgi_app = wsgi.PlatformMiddleware(app.wsgi_app)
assert Client(app).get("/").status_code == 500
print([event[kinds.FIRST + 1].error_type for event in client.current.urgent.events])
"""


def test_flask_without_blinker() -> None:
    """Its signals refuse receivers; the exception is recorded all the same."""
    run = subprocess.run([sys.executable, "-c", WITHOUT_SIGNALS], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "['ZeroDivisionError']"


def fastapi_app(status: int, kind: type[Exception]) -> FastAPI:
    app = FastAPI()

    @app.get("/{what}")
    def endpoint(what: str) -> None:
        if what == "raised":
            raise HTTPException(503)
        raise TaskError("broken")

    @app.exception_handler(kind)
    async def answer(request: Any, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": "sorry"}, status)

    return app


@pytest.mark.parametrize("kind", [Exception, TaskError])
@pytest.mark.parametrize("outermost", [True, False])
def test_fastapi(recorded: Recorded, kind: type[Exception], outermost: bool) -> None:
    """By a handler for all exceptions, which Starlette calls outside of all middlewares, or for one class."""
    app: Any = fastapi_app(500, kind)
    if outermost:
        app = asgi.PlatformMiddleware(app)
    else:
        app.add_middleware(asgi.PlatformMiddleware)
    Call(app, "/x").run()

    assert (recorded.error_chains, recorded.request["status"]) == ([["TaskError"]], 500)
    assert recorded.errors[0][3] == "/{what}"


@pytest.mark.parametrize(("path", "status"), [("/x", 400), ("/raised", 503)])
def test_fastapi_answers_that_are_no_errors(recorded: Recorded, path: str, status: int) -> None:
    """A handler that makes it the client's error, and what was raised in order to answer."""
    app = fastapi_app(status, TaskError)
    app.add_middleware(asgi.PlatformMiddleware)
    Call(app, path).run()

    assert (recorded.errors, recorded.request["status"]) == ([], status)


class Answering:
    """A middleware of Django's that answers exceptions."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse:
        return JsonResponse({"detail": "sorry"}, status=500 if "fail" in request.path else 409)


@pytest.mark.parametrize(("where", "chains"), [("fail/", [["TaskError"]]), ("conflict/", [])])
def test_django_middleware(recorded: Recorded, views: Callable[..., None], where: str, chains: Any) -> None:
    """One with `process_exception`."""

    def view(request: HttpRequest) -> HttpResponse:
        raise TaskError("broken")

    views(path(where, view))
    from django.conf import settings

    with override_settings(MIDDLEWARE=[*settings.MIDDLEWARE, f"{__name__}.Answering"]):
        Client().get(f"/{where}")

    assert recorded.error_chains == chains


class Broken(APIView):
    authentication_classes = ()

    def get(self, request: Any) -> None:
        if request.GET:
            raise APIException("maintenance")
        raise TaskError("broken")

    def get_exception_handler(self) -> Any:
        from rest_framework.response import Response

        return lambda error, context: Response({"detail": "sorry"}, status=500)


@pytest.mark.parametrize(("query", "chains"), [("", [["TaskError"]]), ("?planned=1", [])])
def test_rest_framework(recorded: Recorded, views: Callable[..., None], query: str, chains: Any) -> None:
    """By an exception handler that answers everything; an exception that is an answer is not an error."""
    views(path("", Broken.as_view()))
    Client().get(f"/{query}")

    assert (recorded.error_chains, recorded.request["status"]) == (chains, 500)
