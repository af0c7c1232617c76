"""Who made a request of Django's: also where that changes in the middle of it."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.db import connection, models
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import path
from rest_framework.authentication import BaseAuthentication
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

import platform_sdk
from platform_sdk.actor import session_digest
from tests.sdk_web.recording import Recorded
from tests.sdk_web.test_django import tables  # noqa: F401 - an automatic fixture

RULES = {
    "/sign-in/": ("login", "accounts", None), "/async/sign-in/": ("login", "accounts", None),
    "/sign-out/": ("logout", "accounts", None), "/async/sign-out/": ("logout", "accounts", None),
}  # fmt: skip


@pytest.fixture
def people() -> Iterator[dict[str, User]]:
    """Return users by name; every request's user is asked for before its view."""
    first = [*settings.MIDDLEWARE, "tests.sdk_web.django_project.asking_first"]
    with override_settings(MIDDLEWARE=first):
        yield {"ann": User.objects.create_user("ann", is_staff=True), "bob": User.objects.create_user("bob")}
    User.objects.all().delete()


@pytest.fixture(params=["/", "/async/"])
def under(request: pytest.FixtureRequest) -> str:
    """Return where views of one kind are."""
    return str(request.param)


def test_login(record: Callable[..., Recorded], people: dict[str, User], under: str) -> None:
    """The request of the login is the user's, with the session that it began, and so is its activity."""
    recorded = record(activity_rules=RULES)
    browser = Client()
    browser.get(f"{under}sign-in/?name=ann")

    (activity,) = recorded.activities
    for made in (recorded.request, activity):
        assert (made["user_id"], made["role"]) == (people["ann"].pk, "staff")
        assert made["session_id"] == session_digest(browser.cookies["sessionid"].value)


def test_logout(record: Callable[..., Recorded], people: dict[str, User], under: str) -> None:
    """The request of the logout is that of the user who logged out, of the session that it ended."""
    recorded = record(activity_rules=RULES)
    browser = Client()
    browser.force_login(people["bob"])
    session = session_digest(browser.cookies["sessionid"].value)
    browser.get(f"{under}sign-out/")
    browser.get("/")

    (activity,) = recorded.activities
    request, after = recorded.requests
    for made in (request, activity):
        assert (made["user_id"], made["role"], made["session_id"]) == (people["bob"].pk, "user", session)
    assert (after["user_id"], after["role"]) == (None, "anonymous")


def test_an_error_after_the_logout(recorded: Recorded, people: dict[str, User]) -> None:
    """It happened to whom it happened to."""
    browser = Client(raise_request_exception=False)
    browser.force_login(people["bob"])
    browser.get("/sign-out/?fail=1")

    assert [error[4] for error in recorded.errors] == [people["bob"].pk]


def test_switching_users(recorded: Recorded, people: dict[str, User]) -> None:
    """A login in the place of another user: the request is the new one's."""
    browser = Client()
    browser.force_login(people["ann"])
    browser.get("/sign-in/?name=bob")
    browser.get("/sign-in/?name=ann&name=bob")

    assert [request["user_id"] for request in recorded.requests] == [people["bob"].pk] * 2
    assert recorded.requests[-1]["session_id"] == session_digest(browser.cookies["sessionid"].value)


def test_login_under_asgi(recorded: Recorded, people: dict[str, User], under: str) -> None:
    """In views of both kinds."""
    asyncio.run(AsyncClient().get(f"{under}sign-in/?name=ann"))  # type: ignore[arg-type]  # untyped

    assert (recorded.request["user_id"], recorded.request["role"]) == (people["ann"].pk, "staff")


class Member(AbstractBaseUser):
    """A project's own model of users, with a key of another name, and roles that are methods."""

    number = models.AutoField(primary_key=True)
    email = models.EmailField()
    is_admin = models.BooleanField(default=False)

    USERNAME_FIELD = "email"

    class Meta:
        app_label = "auth"
        managed = False

    @property
    def is_staff(self) -> bool:
        raise RuntimeError("a query")


def test_a_model_of_the_project_s_own(recorded: Recorded, views: Callable[..., None]) -> None:
    """By the primary key, whatever its name."""

    def view(request: HttpRequest) -> HttpResponse:
        request.user = Member(number=7, email="ann@example.org")  # type: ignore[assignment]  # another model
        return HttpResponse("x")

    views(path("", view))
    with CaptureQueriesContext(connection) as queries:
        Client().get("/")

    assert (recorded.request["user_id"], len(queries)) == (7, 0)


class ByToken(BaseAuthentication):
    def authenticate(self, request: Any) -> tuple[User, str] | None:
        token = request.headers.get("authorization", "")
        return (User.objects.get(username=token), token) if token else None


class Whoami(APIView):
    authentication_classes = (ByToken,)

    def get(self, request: Any) -> Response:
        platform_sdk.log_activity("asked")
        return Response({"name": request.user.username})


class Papers(ViewSet):
    authentication_classes = (ByToken,)

    def retrieve(self, request: Any, pk: str) -> Response:
        raise ValueError("broken")


def test_rest_framework_s_user(recorded: Recorded, people: dict[str, User], views: Callable[..., None]) -> None:
    """A token's user, though Django's own found nobody before."""
    views(path("whoami/", Whoami.as_view()))
    Client().get("/whoami/", headers={"authorization": "ann"})

    for made in (recorded.request, *recorded.activities):
        assert (made["user_id"], made["role"]) == (people["ann"].pk, "staff")


def test_rest_framework_s_views(recorded: Recorded, people: dict[str, User], views: Callable[..., None]) -> None:
    """The route is the template of the router, and an error has the view's name and action."""
    router = SimpleRouter()
    router.register("papers", Papers, "paper")
    views(*router.urls)
    Client(raise_request_exception=False).get("/papers/5/", headers={"authorization": "bob"})

    (error,) = recorded.errors
    assert recorded.request["route"] == error[3] == "/papers/<pk>/"
    assert (error[4], error[8]) == (people["bob"].pk, {"method": "GET", "view": f"{__name__}.Papers.retrieve"})


def test_class_based_and_plain_views(recorded: Recorded) -> None:
    """An error has the name of its view's function, too."""
    Client(raise_request_exception=False).get("/fail/")

    assert recorded.errors[0][8] == {"method": "GET", "view": "tests.sdk_web.django_project.fail"}


class Broken:
    """A user that a project's own middleware puts there, whose every attribute raises."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


def raising() -> Any:
    raise RuntimeError("the directory is away")


@pytest.mark.parametrize("user", ["broken", "lazy", "tuple"])
def test_users_that_cannot_be_read(recorded: Recorded, views: Callable[..., None], user: str) -> None:
    """The request and its error are kept, and nobody is named."""
    from django.utils.functional import SimpleLazyObject

    kinds: dict[str, Any] = {"broken": Broken(), "lazy": SimpleLazyObject(raising), "tuple": (1, 2)}

    def view(request: HttpRequest) -> HttpResponse:
        request.user = kinds[user]
        raise ValueError("broken")

    views(path("", view))
    Client(raise_request_exception=False).get("/")

    assert (recorded.request["user_id"], recorded.request["status"]) == (None, 500)
    assert [error[4] for error in recorded.errors] == [None]
