"""Log the SDK's own problems: once per kind and minute, on the logger "platform_sdk"."""

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

INTERVAL_SECONDS = 60.0
LONGEST = 2_000
LONGEST_EXPLAINED = 500
"""How many characters are logged of a problem, and of the error of a call before what it should have been."""

MOST_REMEMBERED = 1_000

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Class = TypeVar("Class", bound=type)

_last: dict[str, float] = {}
"""When a problem of a kind was logged, and when one of `note_each` was, by kind and text."""


def note(kind: str, problem: object) -> None:
    """Log a problem unless one of this kind was logged within the last minute. Never raises."""
    _log(kind, kind, problem)


def note_each(kind: str, problem: str) -> None:
    """Log a problem unless the very same was logged within the last minute: for what no loop does. Never raises."""
    _log(f"{kind}: {problem}", kind, problem)


def _log(key: str, kind: str, problem: object) -> None:
    try:
        now = time.monotonic()
        if now - _last.get(key, -INTERVAL_SECONDS) < INTERVAL_SECONDS:
            return
        if len(_last) >= MOST_REMEMBERED:
            _last.clear()
        _last[key] = now
        text = problem if isinstance(problem, str) else f"{type(problem).__name__}: {problem}"
        import logging

        logging.getLogger("platform_sdk").warning("%s: %s", kind, text[:LONGEST])
    except Exception:  # noqa: BLE001, S110 - a broken log handler must not reach the application
        pass


def unfailing(
    otherwise: Callable[[], Result], noted: Callable[[str, str], None] = note
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Return a decorator: what goes wrong in a function, or in calling it, is `noted`, and `otherwise()` returned."""

    def decorate(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        @functools.wraps(function)
        def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            try:
                return function(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - never into the application
                noted(function.__name__, explained(error, function, args, kwargs))
                return otherwise()

        return call

    return decorate


def unfailing_methods(*arguments: object, noted: Callable[[str, str], None] = note) -> Callable[[Class], Class]:
    """Return a decorator of a class: none of its public methods raises, and a call that fails returns None.

    Where the arguments of a new object do not fit, it is made with these; both is `noted`.
    """

    def decorate(cls: Class) -> Class:
        for name, function in list(vars(cls).items()):
            if callable(function) and not isinstance(function, type) and not name.startswith("_"):
                setattr(cls, name, unfailing(_nothing, noted)(function))
        made: Callable[..., None] = cls.__init__  # type: ignore[misc]  # of the class, not of an object

        @functools.wraps(made)
        def init(self: object, *args: Any, **kwargs: Any) -> None:
            try:
                made(self, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 - never into the application
                noted(cls.__name__, explained(error, made, (self, *args), kwargs))
                made(self, *arguments)

        cls.__init__ = init  # type: ignore[misc]  # as above
        return cls

    return decorate


def explained(
    error: Exception, function: Callable[..., object], args: tuple[object, ...], kwargs: Mapping[str, object]
) -> str:
    """Return an error's text, and where the arguments did not fit the function, those that it takes."""
    text = f"{type(error).__name__}: {error}"[:LONGEST_EXPLAINED]
    if not isinstance(error, TypeError):
        return text
    import inspect

    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        bare = [each.replace(annotation=each.empty) for each in signature.parameters.values() if each.name != "self"]
        return f"{text}; expected {function.__name__}{inspect.Signature(bare)}"
    return text


def _nothing() -> Any:
    return None
