"""One Django request, followed to the end of its response: its route, its user, its stream."""

import re
from collections.abc import Callable
from functools import lru_cache
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings  # type: ignore[import-untyped]  # Django has no types
from django.utils.functional import LazyObject  # type: ignore[import-untyped]  # Django has no types

from platform_sdk.delivery.intake import Intake
from platform_sdk.request_context import RequestDetails
from platform_sdk.web.actor import UNKNOWN, Actor, address_and_agent, identified, role_of, session_digest
from platform_sdk.web.body import AsyncParts, Parts
from platform_sdk.web.record import (
    CLIENT_GONE,
    KEY,
    UNMATCHED,
    RequestOptions,
    closed_method,
    options_of,
    record,
    record_exception,
)

# Requests, responses, matches, users: Django has no types.
Request = Any
Response = Any
Identify = Callable[[Request], Any]

_GROUP = re.compile(r"\((?:\?P<(?P<name>\w+)>|(?P<other>\?))?")


class DjangoRequest:
    """One request, followed to the end of its response."""

    __slots__ = (
        "__weakref__", "_begun", "_first_byte_seconds", "_identify", "_intake", "_parts", "_request", "_response",
    )  # fmt: skip

    def __init__(self, request: Request, intake: Intake, identify: Identify | None) -> None:
        self._begun = perf_counter()
        self._request = request
        self._intake = intake
        self._identify = identify

    def answered(self, response: Response) -> None:
        """Emit a request whose response is complete, or follow its stream."""
        try:
            if response.streaming:
                self._follow(response)
            else:
                self._end(response.status_code, len(response.content))
        except Exception as error:  # noqa: BLE001 - never into the application
            self._intake.fail("django", error)

    def failed(self, exception: BaseException) -> None:
        """Emit a request that ended by an exception: Django answers all but those that are to end the process."""
        try:
            self._end(_status_of(exception), None, exception)
        except Exception as error:  # noqa: BLE001 - never into the application
            self._intake.fail("django", error)

    def _follow(self, response: Response) -> None:
        """Follow a stream: the response keeps its content and headers."""
        self._first_byte_seconds = perf_counter() - self._begun
        self._response = response
        # Where a part fails, Django's ASGI handler never closes the response.
        followed = AsyncParts if response.is_async else Parts
        self._parts: Parts | AsyncParts | None = followed(self, response._iterator, self._close)
        # Not by the property: that would make a FileResponse forget its file, which servers send by sendfile(2).
        response._iterator = self._parts
        # Called at the end by all servers, however it ended.
        response._resource_closers.append(self._close)

    def _close(self) -> None:
        """Emit a request with a stream, once."""
        response, parts = self._response, self._parts
        if response is None or parts is None:
            return
        try:
            status: int = response.status_code
            size: int | None = parts.size
            if parts.error is not None:
                status = _status_of(parts.error)
            elif parts.complete is False and self._request.method != "HEAD":
                status = CLIENT_GONE
            if parts.complete is None:  # a server that has sent the file itself
                size = int(response["Content-Length"]) if response.has_header("Content-Length") else None
            self._end(status, size, parts.error, self._first_byte_seconds)
        except Exception as error:  # noqa: BLE001 - never into the application
            self._intake.fail("django", error)
        finally:
            parts.error = self._parts = self._response = None

    def _end(
        self, status: int, size: int | None, exception: BaseException | None = None,
        first_byte_seconds: float | None = None,
    ) -> None:  # fmt: skip
        """Emit the request and the exception that ended it, unless an outer middleware does."""
        duration_seconds = perf_counter() - self._begun
        options = options_of(self._intake)
        request = self._request
        match = request.resolver_match
        route = UNMATCHED if match is None else template(match.route)
        actor = actor_of(request) if self._identify is None else identified(self._identify, request)
        if _handed_out(request, route, actor):
            return
        ip, user_agent = address_and_agent(request.META, options.trusted_proxies)
        method = closed_method(request.method)
        if isinstance(exception, Exception):
            record_exception(exception, RequestDetails(route, method, *actor, ip, user_agent))
        record(
            options, _leaves_out(options, request), route, method, status, duration_seconds, size, actor,
            ip, user_agent, first_byte_seconds,
        )  # fmt: skip

    def describe(self) -> RequestDetails:
        """Return what is known of it by now."""
        return describe(self._request, self._intake, self._identify)


def describe(request: Request, intake: Intake, identify: Identify | None) -> RequestDetails:
    """Return what is known of a request by now."""
    match = request.resolver_match
    route = UNMATCHED if match is None else template(match.route)
    actor = actor_of(request) if identify is None else identified(identify, request)
    ip, user_agent = address_and_agent(request.META, options_of(intake).trusted_proxies)
    return RequestDetails(route, closed_method(request.method), *actor, ip, user_agent)


def _status_of(exception: BaseException) -> int:
    return CLIENT_GONE if type(exception).__name__ in ("CancelledError", "GeneratorExit") else 500


def _leaves_out(options: RequestOptions, request: Request) -> bool:
    path, match = request.path_info, request.resolver_match
    if options.leaves_out(path) or (options.leaves_out_admin and match is not None and match.app_name == "admin"):
        return True
    return path.startswith(_paths_of_files(options))  # type: ignore[no-any-return]  # a str


@lru_cache(maxsize=1)
def _paths_of_files(options: RequestOptions) -> tuple[str, ...]:
    """Return the paths of this project's static and media files, where the usual ones are left out."""
    names = {"/static/": "STATIC_URL", "/media/": "MEDIA_URL"}
    paths = [urlsplit(getattr(settings, names[usual], None) or "").path for usual in names if options.leaves_out(usual)]
    return tuple(path for path in paths if path.startswith("/") and path != "/")


def _handed_out(request: Request, route: str, actor: Actor) -> bool:
    """Leave a request to a middleware outside of Django, handing over what only Django knows."""
    scope = request.__dict__.get("scope")
    if scope is not None:
        if (from_inner := scope.get(KEY)) is None:
            return False
        from_inner[:] = (route, actor)
        return True
    outer = request.META.get(KEY)
    if outer is None:
        return False
    outer.take_from_inner(route, actor)
    return True


def actor_of(request: Request) -> Actor:
    """Return who made a request, as far as the view or a middleware has found out already."""
    known = request.__dict__
    session = known.get("session")
    session_id = None if session is None else session_digest(session.session_key)
    user = known.get("_cached_user")
    if user is None:
        user = known.get("_acached_user")
    if user is None:
        user = known.get("user")
        if user is None or issubclass(type(user), LazyObject):
            return _actor_of_session(session, session_id)
    user_id = getattr(user, "pk", None)
    if user_id is None:
        return None, "anonymous", session_id
    # From its `__dict__`: a deferred field, or a property, would run a query.
    return user_id, role_of(user.__dict__), session_id


def _actor_of_session(session: Any, session_id: str | None) -> Actor:
    """Return the user that a session names, if the application has loaded it."""
    if session is None:
        return UNKNOWN
    if session_id is None:
        return None, "anonymous", None
    loaded = session.__dict__.get("_session_cache")
    if loaded is None:
        return None, None, session_id
    user_id = loaded.get("_auth_user_id")
    return user_id, None if user_id is not None else "anonymous", session_id


@lru_cache(maxsize=4096)
def template(route: str) -> str:
    """Return "/articles/<year>/" for "^articles/(?P<year>[0-9]{4})/$", and "/users/<int:pk>/" for "users/<int:pk>/"."""
    for anchor in ("^", r"\A"):
        route = route.removeprefix(anchor)
    for anchor in ("$", r"\Z", r"\z"):
        route = route.removesuffix(anchor)
    return "/" + (_without_groups(route) if "(" in route or "\\" in route else route).removeprefix("/")


def _without_groups(pattern: str) -> str:
    """Return a regular expression with each group replaced by its name, or by "<var>"."""
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        if pattern[at] == "\\" and at + 1 < len(pattern):
            parts.append(pattern[at : at + 2] if pattern[at + 1].isalnum() else pattern[at + 1])
            at += 2
        elif (group := _GROUP.match(pattern, at)) and not group["other"]:
            parts.append(f"<{group['name'] or 'var'}>")
            at = _end_of_group(pattern, at)
        else:
            parts.append(pattern[at])
            at += 1
    return "".join(parts)


def _end_of_group(pattern: str, at: int) -> int:
    """Return the position behind the group that opens at `at`."""
    depth, in_class = 0, False
    while at < len(pattern):
        character = pattern[at]
        if character == "\\":
            at += 1
        elif in_class:
            in_class = character != "]"
        elif character == "[":
            in_class = True
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return at
