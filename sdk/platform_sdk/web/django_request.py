"""One Django request, followed to the end of its response: its route, its user, its stream."""

import re
from collections.abc import Callable
from functools import lru_cache, partial
from time import perf_counter
from typing import Any

from django.conf import settings  # type: ignore[import-untyped]  # Django has no types
from django.utils.functional import LazyObject  # type: ignore[import-untyped]  # Django has no types

from platform_sdk import consumers, emit, scope
from platform_sdk.actor import UNKNOWN, Actor, actor_of, identified, session_digest
from platform_sdk.delivery.intake import Intake
from platform_sdk.diagnostics import note
from platform_sdk.parsing import size_of, split_url
from platform_sdk.request_context import RequestDetails
from platform_sdk.trace import Trace, of_request
from platform_sdk.web.address import address_and_agent
from platform_sdk.web.body import AsyncParts, Parts
from platform_sdk.web.record import (
    CLIENT_GONE,
    KEY,
    UNMATCHED,
    RequestOptions,
    closed_method,
    gave_up,
    is_failure,
    options_of,
    record_activity,
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
        "_signed", "_trace", "said",
    )  # fmt: skip

    def __init__(self, request: Request, intake: Intake, identify: Identify | None) -> None:
        self._begun = perf_counter()
        self._request = request
        self._intake = intake
        self._identify = identify
        self._signed: Actor | None = None
        self.said: scope.Scope | None = None

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
            gone = gave_up(exception, asynchronous=hasattr(self._request, "scope"))
            self._end(CLIENT_GONE if gone else 500, None, None if gone else exception)
        except Exception as error:  # noqa: BLE001 - never into the application
            self._intake.fail("django", error)

    def _follow(self, response: Response) -> None:
        """Follow a stream: the response keeps its content and headers."""
        self._first_byte_seconds = perf_counter() - self._begun
        self._trace = of_request(self.traceparent())  # a span ends before the stream does
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
            error: BaseException | None = None
            if parts.error is not None:
                left = type(parts.error).__name__ in ("CancelledError", "GeneratorExit")
                status, error = (CLIENT_GONE, None) if left else (500, parts.error)
            elif parts.complete is False and self._request.method != "HEAD":
                status = CLIENT_GONE
            if parts.complete is None:  # a server that has sent the file itself
                size = size_of(response["Content-Length"]) if response.has_header("Content-Length") else None
            self._end(status, size, error, self._first_byte_seconds, self._trace)
        except Exception as error:  # noqa: BLE001 - never into the application
            self._intake.fail("django", error)
        finally:
            parts.error = self._parts = self._response = None

    def _end(
        self, status: int, size: int | None, exception: BaseException | None = None,
        first_byte_seconds: float | None = None, trace: Trace | None = None,
    ) -> None:  # fmt: skip
        """Emit the request and the exception that ended it, unless an outer middleware does."""
        duration_seconds = perf_counter() - self._begun
        options = options_of(self._intake)
        request = self._request
        route, actor = self._known()
        if _handed_out(request, route, actor, self.said):
            return
        ip, user_agent = address_and_agent(request.META, options.trusted_proxies)
        method = closed_method(request.method)
        trace = of_request(self.traceparent()) if trace is None else trace
        if exception is not None and is_failure(exception):
            details = RequestDetails(route, method, *actor, ip, user_agent, trace)
            record_exception(exception, details, self.said, view_of(request))
        if status >= 500 or not _leaves_out(options, request):
            by = self.consumer() if scope.used or options.consumer is not None else None
            emit.request_finished(
                route, method, status, duration_seconds, size, *actor, ip, user_agent, first_byte_seconds, trace, by
            )
        if options.activity_rules:
            record_activity(options, route, method, status, duration_seconds, actor, ip, user_agent)

    def describe(self) -> RequestDetails:
        """Return what is known of it by now."""
        request = self._request
        route, actor = self._known()
        ip, user_agent = address_and_agent(request.META, options_of(self._intake).trusted_proxies)
        trace = of_request(self.traceparent())
        return RequestDetails(route, closed_method(request.method), *actor, ip, user_agent, trace)

    def consumer(self) -> str | None:
        """Return on whose behalf it is."""
        named, option = scope.consumer_of(self.said) if scope.used else None, self._intake.options.consumer
        if named is not None or option is None:
            return named
        environ = self._request.META
        return consumers.found(option, partial(consumers.header_of, environ), partial(consumers.headers_of, environ))

    def traceparent(self) -> str | None:
        """Return its header of that name."""
        return self._request.META.get("HTTP_TRACEPARENT")  # type: ignore[no-any-return]  # a str

    def signed_in(self, user: Any) -> None:
        """Remember who has just logged in: a middleware may have asked before, and found nobody."""
        self._signed = actor_of(user)

    def signed_out(self, user: Any) -> None:
        """Remember who is about to log out, and of which session."""
        user_id, role, _ = actor_of(user)
        if user_id is not None:
            self._signed = user_id, role, _session_of(self._request)

    def record_exception(self, exception: BaseException) -> None:
        """Emit an exception that Django answers itself."""
        record_exception(exception, self.describe(), self.said, view_of(self._request))

    def _requesting(self) -> Actor:
        try:
            if self._signed is None:
                return requesting(self._request)
            user_id, role, session_id = self._signed
            return user_id, role, session_id or _session_of(self._request)
        except Exception as error:  # noqa: BLE001 - the application's classes of sessions
            note("user", error)
            return UNKNOWN

    def _known(self) -> tuple[str, Actor]:
        """Return route and actor."""
        request, identify = self._request, self._identify
        match = request.resolver_match
        route = UNMATCHED if match is None else template(match.route)
        actor = self._requesting() if identify is None else identified(identify, request)
        return route, scope.acting(self.said, actor) if scope.used else actor


def _leaves_out(options: RequestOptions, request: Request) -> bool:
    path, match = request.path_info, request.resolver_match
    if options.leaves_out(path) or (options.leaves_out_admin and match is not None and match.app_name == "admin"):
        return True
    return path.startswith(_paths_of_files(options))  # type: ignore[no-any-return]  # a str


@lru_cache(maxsize=1)
def _paths_of_files(options: RequestOptions) -> tuple[str, ...]:
    """Return the paths of this project's static and media files, where the usual ones are left out."""
    names = {"/static/": "STATIC_URL", "/media/": "MEDIA_URL"}
    paths = [split_url(getattr(settings, names[usual], None)).path for usual in names if options.leaves_out(usual)]
    return tuple(path for path in paths if path.startswith("/") and path != "/")


def _handed_out(request: Request, route: str, actor: Actor, said: scope.Scope | None) -> bool:
    """Leave a request to a middleware outside of Django, handing over what only Django knows."""
    asgi_scope = request.__dict__.get("scope")
    if asgi_scope is not None:
        if (from_inner := asgi_scope.get(KEY)) is None:
            return False
        from_inner[:] = (route, actor, said)
        return True
    outer = request.META.get(KEY)
    if outer is None:
        return False
    outer.take_from_inner(route, actor, said)
    return True


def requesting(request: Request) -> Actor:
    """Return who made a request, as far as the view or a middleware has found out already."""
    known = request.__dict__
    session_id = _session_of(request)
    user_id, role, _ = _loaded(known)
    if user_id is None and role is None:
        return _actor_of_session(known.get("session"), session_id)
    return user_id, role, session_id


def _session_of(request: Request) -> str | None:
    session = request.__dict__.get("session")
    return None if session is None else session_digest(session.session_key)


def _loaded(known: dict[str, Any]) -> Actor:
    """Return what the loaded user says: whom a login, a logout or DRF put there, else whom someone asked for."""
    user = known.get("user")
    if user is not None and issubclass(type(user), LazyObject):
        user = object.__getattribute__(user, "__dict__").get("_wrapped")  # its own is slow
        if type(user) is object:  # not loaded by this way, but maybe by another
            user = None
    if user is None:
        user = known.get("_cached_user")
    if user is None:
        user = known.get("_acached_user")
    return UNKNOWN if user is None else actor_of(user)


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


def view_of(request: Request) -> str | None:
    """Return the name of a request's view: of a class its own, with the action where Django REST framework has one."""
    match = request.resolver_match
    if match is None:
        return None
    try:
        view = match.func
        kind = getattr(view, "cls", None) or getattr(view, "view_class", None)
        if kind is None:
            return match._func_path  # type: ignore[no-any-return]  # a str
        action = (getattr(view, "actions", None) or {}).get(request.method.lower())
        return f"{kind.__module__}.{kind.__qualname__}{f'.{action}' if action else ''}"
    except Exception as error:  # noqa: BLE001 - the application's object, of any class
        note("view", error)
        return None


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
