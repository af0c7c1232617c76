"""Exceptions that an application answers itself: they are recorded where the answer is a 5xx.

What is raised in order to be an answer, such as Werkzeug's, Starlette's and Django REST framework's, is none.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeGuard

from platform_sdk.diagnostics import note

_ANSWERS = {"HTTPException", "APIException"}
_MARK = "__platform_sdk__"


def is_error(error: object) -> TypeGuard[Exception]:
    """Return whether an exception, answered by a 5xx, is an error."""
    return isinstance(error, Exception) and not any(base.__name__ in _ANSWERS for base in type(error).__mro__)


def observe(
    owner: Any, name: str, *, before: Callable[..., None] | None = None, after: Callable[..., None] | None = None
) -> None:
    """Call `before` with a method's arguments, and `after` with its result and them, whoever calls the method."""
    method = getattr(owner, name, None)
    if method is None or hasattr(method, _MARK):
        return

    @functools.wraps(method)
    def observed(self: Any, *args: Any, **kwargs: Any) -> Any:
        if before is not None:
            _quietly(before, *args, **kwargs)
        result = method(self, *args, **kwargs)
        if after is not None:
            _quietly(after, result, *args, **kwargs)
        return result

    setattr(observed, _MARK, True)
    setattr(owner, name, observed)


def _quietly(function: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    try:
        function(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - never into the application
        note(function.__name__, error)
