"""Understand the calls of SciTeX Cloud's own monitoring helpers, so that an import is all that changes there.

    log_error(severity, error_type, message, endpoint=None, user=None, stack_trace=None, metadata=None)
    log_api_usage(api_name, endpoint, response_time, status_code, success, query_params, response_size)

The first begins with the severity, where ours has the error; the second differs in one name.
"""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec

from platform_sdk.web.actor import actor_of

Parameters = ParamSpec("Parameters")

SEVERITIES = ("low", "medium", "high", "critical")

_ERROR = ("severity", "error_type", "message", "endpoint", "user", "stack_trace", "metadata")
_USAGE = {"api_name": "api"}


def error_too(function: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Let `log_error` be called in SciTeX's shape as well."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> None:
        if _is_error(args, kwargs):
            kwargs = _error({**dict(zip(_ERROR, args, strict=False)), **kwargs})
            args = ()
        function(*args, **kwargs)

    return call


def usage_too(function: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Let `log_api_usage` be called by SciTeX's names as well."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> None:
        function(*args, **{_USAGE.get(name, name): value for name, value in kwargs.items()})

    return call


def _is_error(args: tuple[Any, ...], named: dict[str, Any]) -> bool:
    """Tell SciTeX's shape by the error's type in its place: after a severity, or by its name."""
    if "error_type" in named:
        return "error" not in named
    begins = bool(args) and isinstance(args[0], str) and args[0].lower() in SEVERITIES
    return begins and (len(args) >= 3 or (len(args) == 2 and "message" in named))


def _error(given: dict[str, Any]) -> dict[str, Any]:
    """Return what ours calls these arguments; of the user only what is loaded is read."""
    user, metadata = given.pop("user", None), given.pop("metadata", None)
    if user is not None and given.get("user_id") is None:
        held = getattr(user, "__dict__", {})
        given["user_id"] = actor_of(held.get("_wrapped") or user)[0]  # Django's request.user is a lazy object
    if metadata is not None and "context" not in given:
        given["context"] = metadata
    return {"error": given.pop("error_type", "LoggedError"), "message": given.pop("message", ""), **given}
