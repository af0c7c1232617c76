"""What all middlewares share: the options that concern requests, and the events of a request that has ended."""

from collections.abc import Callable, Mapping
from typing import Any

from platform_sdk import emit, scope
from platform_sdk.actor import Actor
from platform_sdk.delivery.intake import Intake
from platform_sdk.diagnostics import note
from platform_sdk.events.http_request import METHODS as _CLOSED
from platform_sdk.options import Options
from platform_sdk.request_context import RequestDetails

ActivityRule = tuple[str, str | None, str | None]
"""Activity, module, feature."""

UNMATCHED = "(unmatched)"

KEY = "platform_sdk"
"""In an ASGI scope or a WSGI environ: an outer middleware records this request. An inner one hands over what it
knows better, route, actor and what was said: in a scope the value is a list to fill, in an environ a `WsgiRequest`."""

CLIENT_GONE = 499
"""The client left before the response was complete; nginx's number, which is never sent."""

METHODS = {method: method for method in _CLOSED}


class RequestOptions:
    """The options that concern requests, prepared for looking up."""

    __slots__ = ("_exact", "_prefixes", "activity_rules", "consumer", "leaves_out_admin", "options", "trusted_proxies")

    def __init__(self, options: Options) -> None:
        self.options = options
        self.trusted_proxies, self.consumer = options.trusted_proxies, options.consumer
        self._exact = frozenset(path.rstrip("/") or "/" for path in options.excluded_paths)
        self._prefixes = tuple(path.rstrip("/") + "/" for path in options.excluded_paths if path.strip("/"))
        self.leaves_out_admin = "/admin" in self._exact
        self.activity_rules = _activity_rules(options.activity_rules)

    def leaves_out(self, path: str) -> bool:
        """Return whether requests of this path are left out: /health is and /health/db, but /healthcare is not."""
        return path.startswith(self._prefixes) or path in self._exact


_newest: RequestOptions | None = None


def options_of(intake: Intake) -> RequestOptions:
    """Return the options in force."""
    global _newest
    prepared = _newest
    if prepared is None or prepared.options is not intake.options:
        prepared = _newest = RequestOptions(intake.options)
    return prepared


def routed(route: Callable[[Any], str | None], request: Any) -> str:
    """Return the template that the application's function returns."""
    try:
        return route(request) or UNMATCHED
    except Exception as error:  # noqa: BLE001 - the application's code, called by us
        note("route", error)
        return UNMATCHED


def closed_method(method: Any) -> str:
    """Return a request's method, "OTHER" for one that is not in the closed list: a scanner can make up any number."""
    return METHODS.get(method, "OTHER")


def record_activity(
    options: RequestOptions, route: str, method: str, status: int, duration_seconds: float, actor: Actor,
    ip: str | None, user_agent: str | None,
) -> None:  # fmt: skip
    """Emit a request's activity by the rules, if any, whether the request itself is left out or not."""
    rules = options.activity_rules
    if (rule := rules.get(f"{method} {route}") or rules.get(route)) is not None:
        activity, module, feature = rule
        user_id, role, session_id = actor
        emit.activity(
            activity, user_id=user_id, role=role, session_id=session_id, module=module, feature=feature,
            success=status < 400, duration_seconds=duration_seconds, ip=ip, user_agent=user_agent,
        )  # fmt: skip


def is_failure(error: BaseException | None) -> bool:
    """Return whether an exception is an error, rather than what ends a process or a generator."""
    return isinstance(error, Exception) or type(error).__name__ == "CancelledError"


def gave_up(error: BaseException, *, asynchronous: bool) -> bool:
    """Return whether an exception says that whoever asked no longer waits.

    A CancelledError may also come from a task that the application itself cancelled and awaits: then the task here is
    asked nothing of the kind. A thread may serve for a task of an `asynchronous` server, and knows nothing of it.
    """
    name = type(error).__name__
    if name != "CancelledError":
        return name == "GeneratorExit"
    from asyncio import current_task  # loaded where there is such an error

    try:
        task = current_task()
    except RuntimeError:  # no loop runs in this thread
        return asynchronous
    return task is None or task.cancelling() > 0


def record_exception(
    error: BaseException, request: RequestDetails, said: scope.Scope | None, view: str | None = None
) -> None:
    """Emit an exception with its request, and what was said of it; one that was emitted before is not emitted again."""
    context: Mapping[str, Any] | None = {"method": request.method, **({} if view is None else {"view": view})}
    emit.exception(
        error, endpoint=request.route, user_id=request.user_id, ip=request.ip, user_agent=request.user_agent,
        context=scope.completed(context, said) if said is not None else context, trace=request.trace,
    )  # fmt: skip


def _activity_rules(given: Mapping[str, Any]) -> dict[str, ActivityRule]:
    """Return activity rules by "route" or "METHOD route"; (activity,) and "activity" are short for the whole."""
    rules: dict[str, ActivityRule] = {}
    for key, value in given.items():
        parts = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list | tuple) else ()
        if not 1 <= len(parts) <= 3 or not all(part is None or isinstance(part, str) for part in parts) or not parts[0]:
            expected = "expected (activity, module, feature), of which the last two may be None"
            note("activity_rules", f"invalid rule {value!r} for {key!r}: {expected}")
            continue
        activity, module, feature = (*parts, None, None)[:3]
        method, _, route = key.strip().rpartition(" ")
        rules[f"{method.strip().upper()} {route}" if method else route] = (activity, module, feature)
    return rules
