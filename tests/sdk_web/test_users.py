"""Who made a request, by user objects of every make: none costs a query, and none costs the request."""

from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import pytest
from django.utils.functional import SimpleLazyObject
from flask import Flask
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from starlette.applications import Starlette
from starlette.authentication import SimpleUser, UnauthenticatedUser
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from werkzeug.local import LocalProxy

import platform_sdk
from platform_sdk.web import asgi, wsgi
from tests.sdk_web.recording import Call, Recorded
from tests.sdk_web.test_wsgi import call
from tests.servers import Database

KEY = "6f3a2c1e-0d9b-4c57-9a50-1f1c53a4c111"


class Raising:
    """A user whose every attribute raises."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class RaisingProperties:
    @property
    def id(self) -> int:
        raise RuntimeError("the connection is gone")

    @property
    def is_authenticated(self) -> bool:
        return bool(self.id)


class AsTuple:
    id = pk = None

    def __init__(self) -> None:
        self.id = (1, 2)


class Slots:
    __slots__ = ("id", "role")

    def __init__(self) -> None:
        self.id = 7
        self.role = "editor"


@dataclass(slots=True)
class Dataclass:
    username: str
    role: str | None = None


class Named(NamedTuple):
    id: int
    is_staff: bool


class Role(Enum):
    EDITOR = "editor"


class Held:
    def __init__(self, **held: Any) -> None:
        vars(self).update(held)


class Guest:
    is_authenticated = False


def unasked() -> Any:
    raise AssertionError("it was evaluated")


def loaded(user: Any) -> Any:
    lazy = SimpleLazyObject(lambda: user)
    bool(lazy)
    return lazy


USERS: dict[str, tuple[Any, tuple[object, str | None]]] = {
    "raising": (Raising(), (None, None)),
    "raising properties": (RaisingProperties(), (None, None)),
    "a tuple for an id": (AsTuple(), (None, None)),
    "a tuple": ((1, 2), (None, None)),
    "a list": ([1], (None, None)),
    "True": (True, (None, None)),
    "a class": (Held, (None, None)),
    "lazy, not loaded": (SimpleLazyObject(unasked), (None, None)),
    "a proxy": (LocalProxy(unasked), (None, None)),
    "lazy, loaded": (loaded(Held(id=7)), (7, "user")),
    "slots": (Slots(), (7, "editor")),
    "a dataclass with slots": (Dataclass("ann"), ("ann", "user")),
    "slots, not assigned": (object.__new__(Slots), (None, None)),
    "a named tuple": (Named(7, True), (7, "staff")),
    "a mapping": ({"id": 7, "role": Role.EDITOR}, (7, "editor")),
    "a mapping of another class": (MappingProxyType({"sub": "ann"}), ("ann", "user")),
    "a text": ("ann", ("ann", "user")),
    "a number": (7, (7, "user")),
    "a UUID": (UUID(KEY), (KEY, "user")),
    "a UUID for an id": (Held(id=UUID(KEY)), (KEY, "user")),
    "Starlette's": (SimpleUser("ann"), ("ann", "user")),
    "Starlette's, unauthenticated": (UnauthenticatedUser(), (None, "anonymous")),
    "one of its own, unauthenticated": (Guest(), (None, "anonymous")),
}


@pytest.mark.parametrize("name", USERS)
def test_user_objects(recorded: Recorded, name: str) -> None:
    """The user, and the role, of what an object holds; no code of its class is run, and the request is recorded."""
    user, expected = USERS[name]

    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        scope["user"] = user
        raise ValueError("broken")

    Call(asgi.PlatformMiddleware(endpoint)).run()

    assert (recorded.request["user_id"], recorded.request["role"]) == expected
    assert [error[4] for error in recorded.errors] == [expected[0]]


@pytest.mark.parametrize("name", USERS)
def test_what_identify_returns(recorded: Recorded, name: str) -> None:
    """A user object is as good as its id."""
    user, (user_id, _) = USERS[name]
    if type(user) is tuple:
        user = (user, "role", "session")

    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("broken")

    Call(asgi.PlatformMiddleware(endpoint, identify=lambda scope: user)).run()

    assert (recorded.request["user_id"], len(recorded.errors)) == (user_id, 1)


@pytest.mark.parametrize("name", ["slots", "raising", "lazy, not loaded"])
def test_request_state(recorded: Recorded, name: str) -> None:
    """`request.state.user`, where a middleware or a dependency puts it."""
    user, expected = USERS[name]

    async def endpoint(request: Request) -> Response:
        request.state.user = user
        return Response("x")

    app = Starlette(routes=[Route("/", endpoint)], middleware=[Middleware(asgi.PlatformMiddleware)])
    Call(app).run()

    assert (recorded.request["user_id"], recorded.request["role"]) == expected


def test_a_lazy_object_in_a_context_stays_unloaded(recorded: Recorded) -> None:
    """Logging it must not run a query."""
    platform_sdk.log_error("broken", user_id=SimpleLazyObject(unasked), context={"user": SimpleLazyObject(unasked)})

    assert (recorded.errors[0][4], recorded.errors[0][8]) == (None, {"user": "<SimpleLazyObject>"})


def test_a_user_object_in_a_manual_call(recorded: Recorded) -> None:
    """Whoever passes the user itself means its id."""
    platform_sdk.log_error("broken", user_id=Held(id=7))
    platform_sdk.log_activity("print", user_id=Held(id=8))

    assert (recorded.errors[0][4], recorded.activities[0]["user_id"]) == (7, 8)


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class User(UserMixin, db.Model):  # type: ignore[name-defined,misc]  # made at run time
    number: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    role: Mapped[str]
    is_active: Mapped[bool] = mapped_column(default=True)  # UserMixin's is_authenticated reads it

    def get_id(self) -> str:
        return str(self.number)


class Membership(UserMixin, db.Model):  # type: ignore[name-defined,misc]  # made at run time
    tenant: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[int] = mapped_column(primary_key=True)


@dataclass
class Site:
    """A Flask application with users in a database, and the queries that it ran since the last request began."""

    app: Flask
    queries: list[str]

    def get(self, path: str, **environ: Any) -> str:
        """Serve a request by the browser that signed in, and return the cookie it sets."""
        self.queries.clear()
        answers: list[Any] = []
        application = self.app.wsgi_app

        def keeping(environ: Any, start_response: Any) -> Any:
            def keep(status: str, headers: Any, exc_info: Any = None) -> Any:
                answers.extend(value for name, value in headers if name == "Set-Cookie")
                return start_response(status, headers, exc_info)

            return application(environ, keep)

        call(keeping, path, **environ)
        return answers[-1].partition(";")[0] if answers else ""


def save(user: User) -> None:
    user.name = "Ann"
    db.session.commit()


def rolled_back(user: User) -> None:
    db.session.rollback()


def detached(user: User) -> None:
    db.session.expire(user)
    db.session.expunge(user)


ENDINGS = {"unchanged": lambda user: None, "committed": save, "rolled back": rolled_back, "detached": detached}


@pytest.fixture
def site() -> Site:
    """Return an application on a database in memory, with user 7."""
    app = Flask("app")
    app.config.update(SECRET_KEY="a-key-of-tests", SQLALCHEMY_DATABASE_URI="sqlite://")
    db.init_app(app)
    manager = LoginManager(app)
    manager.user_loader(lambda user_id: db.session.get(User, int(user_id)))
    app.wsgi_app = wsgi.PlatformMiddleware(app.wsgi_app)  # type: ignore[method-assign]  # as Flask advises
    queries: list[str] = []
    with app.app_context():
        db.create_all()
        db.session.add(User(number=7, name="ann", role="editor"))
        db.session.commit()
        event.listen(db.engine, "before_cursor_execute", lambda *about: queries.append(about[2]))

    @app.route("/login")
    def login() -> str:
        assert current_user.is_anonymous
        login_user(db.session.get(User, 7))
        return "x"

    @app.route("/logout")
    def logout() -> str:
        logout_user()
        return "x"

    @app.route("/<ending>")
    def page(ending: str) -> str:
        if ending == "nobody":
            return "x"
        assert current_user.is_authenticated
        ENDINGS[ending](current_user._get_current_object())
        if ending != "detached":
            platform_sdk.log_activity("print")
        return "x"

    return Site(app, queries)


@pytest.mark.parametrize("ending", ENDINGS)
def test_flask_login_with_sqlalchemy(recorded: Recorded, site: Site, ending: str) -> None:
    """The user is known after a commit, and no query is run for it."""
    cookie = site.get("/login")
    site.get(f"/{ending}", HTTP_COOKIE=cookie)

    changes = 2 if ending == "committed" else 1
    assert len([query for query in site.queries if query.startswith(("SELECT", "UPDATE"))]) == changes, site.queries
    request = recorded.requests[-1]
    assert request["user_id"] == 7
    assert request["role"] == ("editor" if ending == "unchanged" else None)
    assert {activity["user_id"] for activity in recorded.activities} <= {7}


def test_flask_login_s_login_and_logout(recorded: Recorded, site: Site) -> None:
    """Who logged in, though nobody was signed in before; and who logged out."""
    cookie = site.get("/login")
    site.get("/logout", HTTP_COOKIE=cookie)
    site.get("/nobody", HTTP_COOKIE=cookie)

    assert [(request["route"], request["user_id"], request["role"]) for request in recorded.requests] == [
        ("/login", 7, "editor"), ("/logout", 7, "editor"), ("/<ending>", None, None),
    ]  # fmt: skip


def test_a_key_of_several_columns(recorded: Recorded, site: Site) -> None:
    """Half of a key names nobody."""
    with site.app.app_context():
        user = Membership(tenant=1, id=2)
        db.session.add(user)
        db.session.commit()

        async def endpoint(scope: Any, receive: Any, send: Any) -> None:
            scope["user"] = user

        Call(asgi.PlatformMiddleware(endpoint)).run()

    assert recorded.request["user_id"] is None


def test_asynchronous_sessions(recorded: Recorded, database: Database) -> None:
    """An expired attribute of theirs raises MissingGreenlet when it is read; it is not."""

    async def endpoint(scope: Any, receive: Any, send: Any) -> None:
        connect = psycopg.AsyncConnection.connect
        engine = create_async_engine("postgresql+psycopg://", async_creator=lambda: connect(database.dsn))
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with AsyncSession(engine) as session:
            scope["user"] = User(number=7, name="ann", role="editor")
            session.add(scope["user"])
            await session.commit()
        await engine.dispose()

    Call(asgi.PlatformMiddleware(endpoint)).run()

    assert recorded.request["user_id"] == 7
