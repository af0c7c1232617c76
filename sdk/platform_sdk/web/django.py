"""Record the requests of a Django project, served by WSGI or ASGI.

    MIDDLEWARE = ["platform_sdk.web.django.PlatformMiddleware", ...]      # first, so that it is the outermost
    PLATFORM_SDK = {"dsn": "postgresql://...", "app": "shop", "release": "1.2.3"}

PLATFORM_SDK takes what `platform_sdk.init` takes, and `identify`: a function, or the dotted path of one, of the
request, which returns (user id, role, session id). Without the setting, call `init` yourself. For processes that serve
no requests (management commands, workers) add "platform_sdk.web.django.PlatformConfig" to INSTALLED_APPS.

No query is ever caused: who the user is, is told where the view or a middleware has asked for it.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.apps import AppConfig  # type: ignore[import-untyped]  # Django has no types
from django.conf import settings  # type: ignore[import-untyped]  # Django has no types
from django.core.signals import got_request_exception  # type: ignore[import-untyped]  # Django has no types
from django.utils.module_loading import import_string  # type: ignore[import-untyped]  # Django has no types

from platform_sdk import client, request_context
from platform_sdk.delivery.intake import Intake
from platform_sdk.diagnostics import note
from platform_sdk.request_context import Told
from platform_sdk.web import uvicorn
from platform_sdk.web.actor import Actor, identified
from platform_sdk.web.address import client_address
from platform_sdk.web.django_actor import actor_of
from platform_sdk.web.django_routes import template
from platform_sdk.web.django_stream import Stream
from platform_sdk.web.plan import UNMATCHED, Plan, closed_method, plan_of
from platform_sdk.web.record import CLIENT_GONE, KEY, lose, record, record_exception

# Requests, responses, users: Django has no types of its own.
Request = Any
Response = Any


class PlatformConfig(AppConfig):  # type: ignore[misc]  # Django is untyped
    """Start the SDK with the project, whatever it runs."""

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
    except Exception as trouble:  # noqa: BLE001 - never into the application
        note("PLATFORM_SDK", trouble)


class PlatformMiddleware:
    """Record what passes through, in whichever mode the layers around it run."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Request], Any]) -> None:
        configure()
        self.get_response = get_response
        self._asynchronous = iscoroutinefunction(get_response)
        if self._asynchronous:
            markcoroutinefunction(self)
            uvicorn.listen()
        self._identify = _identify()
        self._plan: Plan | None = None
        self._files: tuple[str, ...] = ()
        got_request_exception.connect(_on_exception, dispatch_uid="platform_sdk")

    def __call__(self, request: Request) -> Any:
        intake = client.current
        if intake is None:
            return self.get_response(request)
        if self._asynchronous:
            return self._call_asynchronously(request, intake)
        begun = perf_counter()
        token = request_context.current.set(Serving(self, request, intake))
        try:
            response = self.get_response(request)
        except BaseException as error:
            self._failed(request, error, begun, intake)
            raise
        finally:
            request_context.current.reset(token)
        self._answered(request, response, begun, intake)
        return response

    async def _call_asynchronously(self, request: Request, intake: Intake) -> Response:
        begun = perf_counter()
        token = request_context.current.set(Serving(self, request, intake))
        try:
            response = await self.get_response(request)
        except BaseException as error:
            self._failed(request, error, begun, intake)
            raise
        finally:
            with suppress(ValueError):  # closed by the garbage collector, in another context
                request_context.current.reset(token)
        self._answered(request, response, begun, intake)
        return response

    def _answered(self, request: Request, response: Response, begun: float, intake: Intake) -> None:
        """Emit a request whose response is there, or see to it that a stream's is emitted at its end."""
        try:
            if response.streaming:
                Stream(self, request, response, begun, intake, Serving(self, request, intake))
            else:
                self.emit(request, response.status_code, len(response.content), begun, intake)
        except Exception as trouble:  # noqa: BLE001 - never into the application
            lose(intake, "django", trouble)

    def _failed(self, request: Request, error: BaseException, begun: float, intake: Intake) -> None:
        """Emit a request that ended by an exception: Django answers all but those that are to end the process."""
        try:
            given_up = type(error).__name__ in ("CancelledError", "GeneratorExit")
            self.emit(request, CLIENT_GONE if given_up else 500, None, begun, intake, error)
        except Exception as trouble:  # noqa: BLE001 - never into the application
            lose(intake, "django", trouble)

    def emit(
        self, request: Request, status: int, size: int | None, begun: float, intake: Intake,
        error: BaseException | None = None, first_byte_seconds: float | None = None,
    ) -> None:  # fmt: skip
        """Emit a request that has ended, and the exception that ended it."""
        duration_seconds = perf_counter() - begun
        plan = plan_of(intake)
        match = request.resolver_match
        route = UNMATCHED if match is None else template(match.route)
        actor = self.actor(request)
        if _handed_out(request, route, actor):
            return
        ip, user_agent = _address_and_agent(request, plan)
        method = closed_method(request.method)
        if isinstance(error, Exception):
            record_exception(error, route, method, actor, ip, user_agent)
        record(
            plan, self._leaves_out(plan, request, match), route, method, status, duration_seconds, size, actor, ip,
            user_agent, first_byte_seconds,
        )  # fmt: skip

    def _leaves_out(self, plan: Plan, request: Request, match: Any) -> bool:
        path = request.path_info
        if plan.leaves_out(path) or (plan.leaves_out_admin and match is not None and match.app_name == "admin"):
            return True
        if plan is not self._plan:
            self._plan, self._files = plan, tuple(_paths_of_files(plan))
        return path.startswith(self._files)  # type: ignore[no-any-return]  # a str

    def actor(self, request: Request) -> Actor:
        """Return who made a request, as far as is known."""
        return actor_of(request) if self._identify is None else identified(self._identify, request)


class Serving:
    """Stand for a request while it is being served."""

    __slots__ = ("__weakref__", "_intake", "_layer", "_request")

    def __init__(self, layer: PlatformMiddleware, request: Request, intake: Intake) -> None:
        self._layer = layer
        self._request = request
        self._intake = intake

    def describe(self) -> Told:
        """Return what is known of it by now."""
        match = self._request.resolver_match
        route = UNMATCHED if match is None else template(match.route)
        address_and_agent = _address_and_agent(self._request, plan_of(self._intake))
        method = closed_method(self._request.method)
        return Told(route, method, *self._layer.actor(self._request), *address_and_agent)


def _address_and_agent(request: Request, plan: Plan) -> tuple[str | None, str | None]:
    headers = request.META
    if plan.trusted_proxies:
        address = client_address(
            headers.get("REMOTE_ADDR"), headers.get("HTTP_X_FORWARDED_FOR"), headers.get("HTTP_FORWARDED"),
            plan.trusted_proxies,
        )  # fmt: skip
        return address, headers.get("HTTP_USER_AGENT")
    return headers.get("REMOTE_ADDR") or None, headers.get("HTTP_USER_AGENT")


def _handed_out(request: Request, route: str, actor: Actor) -> bool:
    """Leave a request to a layer outside of Django, telling that what only Django knows."""
    scope = request.__dict__.get("scope")
    if scope is not None:
        if (told := scope.get(KEY)) is None:
            return False
        told[:] = (route, actor)
        return True
    exchange = request.META.get(KEY)
    if exchange is None:
        return False
    exchange.told(route, actor)
    return True


def _on_exception(sender: Any, request: Request = None, **_: Any) -> None:
    """Emit an exception that Django is about to answer with a 500."""
    intake, error = client.current, sys.exc_info()[1]
    if intake is None or request is None or not isinstance(error, Exception):
        return
    try:
        match = request.resolver_match
        route = UNMATCHED if match is None else template(match.route)
        identify = _identify()
        actor = actor_of(request) if identify is None else identified(identify, request)
        record_exception(
            error, route, closed_method(request.method), actor, *_address_and_agent(request, plan_of(intake))
        )
    except Exception as trouble:  # noqa: BLE001 - never into the application
        lose(intake, "django", trouble)


def _identify() -> Callable[[Request], Any] | None:
    """Return the function that the setting names."""
    try:
        named = (getattr(settings, "PLATFORM_SDK", None) or {}).get("identify")
        return import_string(named) if isinstance(named, str) else named
    except Exception as trouble:  # noqa: BLE001 - never into the application
        note("PLATFORM_SDK", f"identify: {trouble}")
        return None


def _paths_of_files(plan: Plan) -> Iterator[str]:
    """Yield where this project has static and media files, where the usual paths of these are left out."""
    for usual, name in (("/static/", "STATIC_URL"), ("/media/", "MEDIA_URL")):
        path = urlsplit(getattr(settings, name, None) or "").path
        if path.startswith("/") and path != "/" and plan.leaves_out(usual):
            yield path
