"""Record the requests of a Django project, served by WSGI or ASGI.

    MIDDLEWARE = ["platform_sdk.web.django.PlatformMiddleware", ...]      # first, so that it is the outermost
    PLATFORM_SDK = {"dsn": "postgresql://...", "app": "shop", "release": "1.2.3"}

PLATFORM_SDK takes what `platform_sdk.init` takes, and `identify`: a function of the request, or its dotted path, which
returns (user id, role, session id). Without the setting, call `init` yourself. For processes that serve no requests
(management commands, workers) add "platform_sdk.web.django.PlatformConfig" to INSTALLED_APPS.

No query is ever caused: the user is recorded where the view or a middleware has loaded it.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.apps import AppConfig  # type: ignore[import-untyped]  # Django has no types
from django.conf import settings  # type: ignore[import-untyped]  # Django has no types
from django.core.handlers.base import BaseHandler  # type: ignore[import-untyped]  # Django has no types
from django.core.signals import got_request_exception  # type: ignore[import-untyped]  # Django has no types
from django.utils.module_loading import import_string  # type: ignore[import-untyped]  # Django has no types

from platform_sdk import client, request_context
from platform_sdk.delivery.intake import Intake
from platform_sdk.diagnostics import note
from platform_sdk.web.answered import is_error, observe
from platform_sdk.web.asgi import store_before_uvicorn_ends
from platform_sdk.web.django_request import DjangoRequest, Identify, Request, Response


class PlatformConfig(AppConfig):  # type: ignore[misc]  # Django is untyped
    """The application that starts the SDK with the project, whatever it runs."""

    name = "platform_sdk.web.django"
    label = "platform_sdk"
    verbose_name = "Platform SDK"

    def ready(self) -> None:
        """Start the SDK."""
        configure()


def configure() -> None:
    """Start the SDK by the setting PLATFORM_SDK, unless it runs already. Never raises: what is wrong is logged."""
    try:
        given = getattr(settings, "PLATFORM_SDK", None)
        if given is not None and client.active_options() is None:
            client.init(**{name: value for name, value in given.items() if name != "identify"})
    except Exception as error:  # noqa: BLE001 - never into the application
        note("PLATFORM_SDK", error)


class PlatformMiddleware:
    """The middleware, in whichever mode the middlewares around it run."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Request], Any]) -> None:
        configure()
        self.get_response = get_response
        self._identify = _identify()
        self._asynchronous = iscoroutinefunction(get_response)
        if self._asynchronous:
            markcoroutinefunction(self)
            store_before_uvicorn_ends()
        got_request_exception.connect(_on_exception, dispatch_uid="platform_sdk")
        observe(BaseHandler, "process_exception_by_middleware", after=_on_answer)
        _observe_rest_framework()
        auth = sys.modules.get("django.contrib.auth.signals")
        if auth is not None:
            auth.user_logged_in.connect(_on_login, dispatch_uid="platform_sdk")
            auth.user_logged_out.connect(_on_logout, dispatch_uid="platform_sdk")

    def __call__(self, request: Request) -> Any:
        intake = client.current
        if intake is None:
            return self.get_response(request)
        if self._asynchronous:
            return self._call_asynchronously(request, intake)
        served = DjangoRequest(request, intake, self._identify)
        token = request_context.current.set(served)
        try:
            response = self.get_response(request)
        except BaseException as error:
            served.failed(error)
            raise
        finally:
            request_context.current.reset(token)
        served.answered(response)
        return response

    async def _call_asynchronously(self, request: Request, intake: Intake) -> Response:
        served = DjangoRequest(request, intake, self._identify)
        token = request_context.current.set(served)
        try:
            response = await self.get_response(request)
        except BaseException as error:
            served.failed(error)
            raise
        finally:
            with suppress(ValueError):  # closed by the garbage collector, in another context
                request_context.current.reset(token)
        served.answered(response)
        return response


def _on_exception(sender: Any, request: Request = None, **_: Any) -> None:
    """Emit an exception that Django is about to answer with a 500."""
    intake, raised = client.current, sys.exc_info()[1]
    if intake is None or request is None or not isinstance(raised, Exception):
        return
    try:
        served = request_context.current.get()
        if not isinstance(served, DjangoRequest):  # an exception of a middleware outside of ours
            served = DjangoRequest(request, intake, _identify())
        served.record_exception(raised)
    except Exception as error:  # noqa: BLE001 - never into the application
        intake.fail("django", error)


def _observe_rest_framework() -> None:
    """Observe what Django REST framework's exception handler answers, where the project uses it."""
    if "rest_framework" not in sys.modules:
        return
    try:
        observe(import_module("rest_framework.views").APIView, "handle_exception", after=_on_answer)
    except Exception as error:  # noqa: BLE001 - a class of the project's that its settings name
        note("rest_framework", error)


def _on_answer(response: Response, exception: BaseException, *_: Any) -> None:
    """Emit an exception that a middleware or Django REST framework's handler has answered."""
    served = request_context.current.get()
    failed = response is not None and response.status_code >= 500 and is_error(exception)
    if failed and isinstance(served, DjangoRequest):
        served.record_exception(exception)


def _on_login(sender: Any, user: Any = None, **_: Any) -> None:
    """Remember who has just logged in."""
    served = request_context.current.get()
    if isinstance(served, DjangoRequest):
        served.signed_in(user)


def _on_logout(sender: Any, user: Any = None, **_: Any) -> None:
    """Remember who is about to log out."""
    served = request_context.current.get()
    if isinstance(served, DjangoRequest):
        served.signed_out(user)


def _identify() -> Identify | None:
    """Return the function that the setting names."""
    try:
        named = (getattr(settings, "PLATFORM_SDK", None) or {}).get("identify")
        return import_string(named) if isinstance(named, str) else named
    except Exception as error:  # noqa: BLE001 - never into the application
        note("PLATFORM_SDK", f"identify: {error}")
        return None
