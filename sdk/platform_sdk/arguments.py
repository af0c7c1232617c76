"""Check what application code passes to the public functions: name what fits no argument, and leave it out.

A call is worth more than one of its arguments: one that does not fit is logged, once a minute, and the call goes on
with the argument's default; without one it goes on as it is. Types are those of the annotations, taken generously: what
the writer can make a text or a number of is one.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from itertools import chain, repeat
from types import UnionType
from typing import Any, Literal, NamedTuple, ParamSpec, TypeVar, get_args, get_origin, get_type_hints

from platform_sdk.actor import UNKNOWN, actor_of
from platform_sdk.capture.context import is_spelled, spelled
from platform_sdk.diagnostics import note_each
from platform_sdk.events.spellings import SEVERITIES
from platform_sdk.model_usage import ModelUsage
from platform_sdk.parsing import url_text

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

NoneType = type(None)

MOST_CLASSES = 64
"""That are remembered of an argument: of more it is asked each time whether they fit."""


class Rule(NamedTuple):
    """What fits an argument: `usual` types and words, and what `taken` makes one of; it returns None otherwise.

    Values of the classes `kept` do no harm: they stay what they are. `each` says that of two values of a class one may
    fit and the other not.
    """

    usual: frozenset[object]
    taken: Callable[[Any], Any]
    expected: str
    kept: tuple[type, ...] = ()
    each: bool = False


def _number(value: Any) -> float | None:
    return float(value) if hasattr(type(value), "__float__") or isinstance(value, str) else None


def _whole(value: Any) -> int | None:
    number = value if hasattr(type(value), "__int__") or isinstance(value, str) else None
    return None if number is None else int(number)


def _flag(value: Any) -> bool | None:
    return bool(value) if type(value) is int or type(value).__name__.rstrip("_") == "bool" else None  # numpy's


def _text(value: Any) -> Any:
    return value if spelled(value) is not None or url_text(value) is not None else None


def _texts(value: Any) -> Any:
    return value if issubclass(type(value), list | tuple) else _text(value)


def _instance(*kinds: type) -> Callable[[Any], Any]:
    return lambda value: value if issubclass(type(value), kinds) else None


_USER = Rule(
    frozenset({str, int, NoneType}), lambda value: None if actor_of(value) == UNKNOWN else value,
    "an id (a text, a whole number, a UUID), or an object or a mapping that holds one", each=True,
)  # fmt: skip
_NAME = Rule(frozenset({str, int}), lambda value: spelled(value) and value, "a text, a whole number or a UUID")
_TEXT = Rule(frozenset({str}), _text, "a text")
_RULES: dict[frozenset[Any], Rule] = {
    frozenset(kinds): rule
    for kinds, rule in (
        ({str}, _TEXT),
        ({float}, Rule(frozenset({float, int}), _number, "a number")),
        ({int}, Rule(frozenset({int}), _whole, "a whole number")),
        ({bool}, Rule(frozenset({bool}), _flag, "True or False")),
        ({Mapping}, Rule(frozenset({dict}), _instance(Mapping), "a mapping", (object,))),
        ({str, Sequence}, Rule(frozenset({str, list, tuple}), _texts, "a text, or a list of texts")),
        ({str, BaseException}, Rule(frozenset({str}), _instance(str, BaseException), "an exception or a text")),
        ({str, BaseException, tuple}, Rule(
            frozenset({str, tuple}), _instance(str, BaseException), "an exception, a text or sys.exc_info()"
        )),
        ({Callable}, Rule(frozenset(), lambda value: value if callable(value) else None, "a function")),
        ({BaseException}, Rule(frozenset(), _instance(BaseException), "an exception")),
        ({ModelUsage}, Rule(frozenset({ModelUsage}), _instance(ModelUsage), "a ModelUsage")),
    )
}  # fmt: skip
"""By the classes of an annotation, without None."""


def rule_of(name: str, annotation: Any) -> Rule | None:
    """Return the rule of an argument, None for one that takes anything."""
    if annotation is object:
        return {"user": _USER, "user_id": _USER, "consumer": _NAME}.get(name)
    words = _words(annotation)
    if words:
        known = frozenset(words).union(*(SEVERITIES.get(word, ()) for word in words))
        return Rule(
            frozenset(words), lambda value: value if type(value) is str and value.lower() in known else None,
            f"one of {', '.join(words)}", (str,), each=True,
        )  # fmt: skip
    given = [each for each in get_args(annotation) if each is not NoneType]
    kinds = given if isinstance(annotation, UnionType) else [annotation]
    return _RULES.get(frozenset(get_origin(kind) or kind for kind in kinds))


def _words(annotation: Any) -> tuple[str, ...]:
    """Return the words that a Literal, or a union of some, allows."""
    parts = [annotation] if get_origin(annotation) is Literal else list(get_args(annotation))
    found = [word for part in parts if get_origin(part) is Literal for word in get_args(part)]
    return tuple(dict.fromkeys(found))


def rules_of(function: Callable[..., Any]) -> dict[str, Rule]:
    """Return the rules of a function's arguments by name."""
    hints = get_type_hints(function)
    found = ((name, rule_of(name, hints.get(name))) for name in _parameters(function))
    return {name: rule for name, rule in found if rule is not None}


def _parameters(function: Callable[..., Any]) -> dict[str, Parameter]:
    several = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    return {name: each for name, each in signature(function).parameters.items() if each.kind not in several}


def checked(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Return a function that is called with the arguments that fit."""
    check: _Check | None = None

    @functools.wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        nonlocal check
        if check is None:
            check = _Check(function)
        # Each call of an application passes here: in these lines no function is called but `zip`.
        for usual, value in zip(check.positional, args):  # noqa: B905 - `strict` takes as long as an argument
            if type(value) not in usual and usual and (type(value) is not str or value not in usual):
                break
        else:
            if not kwargs:  # empty ones take a tenth of a microsecond to pass on
                return function(*args)  # type: ignore[call-arg]  # as it was called
            named = check.named
            for name in kwargs:
                if (
                    name in named
                    and type(value := kwargs[name]) not in (usual := named[name])
                    and (type(value) is not str or value not in usual)
                ):
                    break
            else:
                return function(*args, **kwargs)
        return function(*check.in_order(args), **{name: check.fitting(name, kwargs[name]) for name in kwargs})

    return call


class _Check:
    """The rules of a function's arguments, and what these usually are: types, and the words of a Literal.

    An empty one is anything.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        parameters = _parameters(function)
        self.function = function.__qualname__.removesuffix(".__init__")
        self.rules = rules_of(function)
        self.defaults = {name: each.default for name, each in parameters.items()}
        self.order = [name for name, each in parameters.items() if each.kind is not Parameter.KEYWORD_ONLY]
        self.named: dict[str, set[object]] = {name: {NoneType, *rule.usual} for name, rule in self.rules.items()}
        self.positional = [self.named.get(name, set()) for name in self.order]

    def in_order(self, args: Sequence[Any]) -> list[Any]:
        """Return positional arguments as they fit; those that are too many as they are."""
        names = chain(self.order, repeat(""))
        return [self.fitting(name, value) for name, value in zip(names, args, strict=False)]

    def fitting(self, name: str, value: Any) -> Any:
        """Return an argument, or what can be made of it."""
        rule, kind = self.rules.get(name), type(value)
        if rule is None or kind in (usual := self.named[name]):
            return value
        try:
            taken = rule.taken(value)
        except Exception:  # noqa: BLE001 - the application's classes, or a text that is no number
            taken = None
        if taken is None:
            return self._misfit(name, value, rule)
        if taken is value and (is_spelled(kind) or not rule.each) and len(usual) < MOST_CLASSES:
            usual.add(kind)
        return taken

    def _misfit(self, name: str, value: Any, rule: Rule) -> Any:
        shown = type(value).__name__
        shown += f" {value[:40]!r}" if type(value) is str and rule.kept == (str,) else ""
        note_each(self.function, f"invalid {shown} for {name}: expected {rule.expected}")
        default = self.defaults[name]
        return value if default is Parameter.empty or issubclass(type(value), rule.kept) else default
