"""The views of a Django project; its settings are in django_settings."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from django.conf.urls.i18n import i18n_patterns
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import include, path, re_path

import platform_sdk
from platform_sdk import emit


def page(request: HttpRequest, **_: Any) -> HttpResponse:
    return HttpResponse("hello", status=201)


def ask_user(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.user.is_authenticated))


def ask_session(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.session.get("x")))


async def ask_user_async(request: HttpRequest) -> HttpResponse:
    user = await request.auser()
    return HttpResponse(str(user.is_authenticated))


def fail(request: HttpRequest) -> HttpResponse:
    try:
        raise KeyError("cause")
    except KeyError as error:
        raise ValueError("broken") from error


async def fail_async(request: HttpRequest) -> HttpResponse:
    raise ValueError("broken")


def traced(request: HttpRequest, broken: str = "") -> HttpResponse:
    emit.api_call("arxiv", "/api", "success", 0.1)
    platform_sdk.log_error("no paper left")
    if broken:
        raise ValueError
    return HttpResponse("x")


def log(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    def part() -> Iterator[bytes]:
        platform_sdk.log_error("no paper left")
        yield b"x"

    if request.GET:
        return StreamingHttpResponse(part())
    assert request.user.is_authenticated
    platform_sdk.log_error("no paper left")
    platform_sdk.log_activity("print")
    return HttpResponse("x")


async def log_async(request: HttpRequest) -> StreamingHttpResponse:
    async def part() -> AsyncIterator[bytes]:
        platform_sdk.log_error("no paper left")
        yield b"x"

    return StreamingHttpResponse(part())


def missing(request: HttpRequest) -> HttpResponse:
    raise Http404


def denied(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[bytes]:
        yield b"one"
        time.sleep(0.05)
        if "fail" in request.GET:
            raise ValueError("broken")
        yield b"two"

    return StreamingHttpResponse(parts())


async def stream_async(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"one"
        await asyncio.sleep(0.05)
        if "fail" in request.GET:
            raise ValueError("broken")
        yield b"two"

    return StreamingHttpResponse(parts())


def file(request: HttpRequest) -> FileResponse:
    return FileResponse(Path(__file__).open("rb"))


async def cancel(request: HttpRequest) -> HttpResponse:
    task = asyncio.create_task(asyncio.sleep(3600))
    await asyncio.sleep(0)
    task.cancel()
    await task
    return HttpResponse()


async def wait(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(3600)
    return HttpResponse("never")


_shop = ([path("<int:pk>/", page, name="item"), re_path(r"^(?P<year>[0-9]{4})/(\w+)/$", page)], "shop")
_admin = ([path("users/", page)], "admin")

urlpatterns = [
    path("", page),
    path("users/<int:pk>/", page),
    path("shop/<slug:tenant>/", include(_shop, namespace="eu")),
    re_path(r"^articles/(?P<year>[0-9]{4})/(?:page-(?P<page>\d+)/)?$", page),
    re_path(r"^legacy\.html$", page),
    path("user/", ask_user),
    path("session/", ask_session),
    path("async/user/", ask_user_async),
    path("async/fail/", fail_async),
    path("async/stream/", stream_async),
    path("async/wait/", wait),
    path("async/cancel/", cancel),
    path("fail/", fail),
    path("log/<int:pk>/", lambda request, pk: log(request)),
    path("async/log/", log_async),
    path("missing/", missing),
    path("denied/", denied),
    path("stream/", stream),
    path("file/", file),
    path("assets/<path:name>", page),
    path("back-office/", include(_admin, namespace="admin")),
    path("health/", fail),
    path("traced/", traced),
    path("traced/<slug:broken>/", traced),
    *i18n_patterns(path("about/", page)),
]


def create_tables() -> None:
    """Create the tables of users and sessions."""
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)


def wsgi_application() -> Any:
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def asgi_application() -> Any:
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


def sign_in(request: HttpRequest) -> HttpResponse:
    from django.contrib.auth import login
    from django.contrib.auth.models import User

    for name in request.GET.getlist("name"):
        login(request, User.objects.get(username=name), "django.contrib.auth.backends.ModelBackend")
    return HttpResponse("x")


async def sign_in_async(request: HttpRequest) -> HttpResponse:
    from django.contrib.auth import alogin
    from django.contrib.auth.models import User

    await alogin(
        request, await User.objects.aget(username=request.GET["name"]), "django.contrib.auth.backends.ModelBackend"
    )
    return HttpResponse("x")


def sign_out(request: HttpRequest) -> HttpResponse:
    from django.contrib.auth import logout

    logout(request)
    if request.GET:
        raise ValueError("broken")
    return HttpResponse("x")


async def sign_out_async(request: HttpRequest) -> HttpResponse:
    from django.contrib.auth import alogout

    await alogout(request)
    return HttpResponse("x")


def asking_first(get_response: Any) -> Any:
    """Make a middleware that asks who the user is before the view is called."""

    def middleware(request: HttpRequest) -> Any:
        assert request.user.pk is None or request.user.is_authenticated
        return get_response(request)

    return middleware


urlpatterns += [
    path("sign-in/", sign_in),
    path("sign-out/", sign_out),
    path("async/sign-in/", sign_in_async),
    path("async/sign-out/", sign_out_async),
]
