"""What an application says of the request or the task at hand: its user, tags and contexts.

    platform_sdk.set_user(7, role="editor")     who it is for: requests, errors, activities
    platform_sdk.set_consumer("acme")           on whose behalf: requests, calls to external APIs
    platform_sdk.set_tag("plan", "pro")         one word about it, with every error
    platform_sdk.set_context("cart", {...})     more about it, with every error

Where they write to, the first that there is:

- the scope that `begin` opened, until `end`: a task queue's attempt at a task;
- the request that is being served, from wherever in it: its middlewares, dependencies, tasks, and threads with its
  context (`asyncio.to_thread`, a framework's pool; a bare `threading.Thread` has none);
- at start-up, which is the main thread without an event loop: the process;
- otherwise this thread, or this coroutine and the tasks that it starts from then on.

An inner one has what the outer ones have, and changes only itself. Two exceptions, because an unknown user is better
than another's: the process's user is none of a request or a scope, and what a thread was told outside of both stays
outside. Nothing here raises; sizes are bounded; secrets are redacted by the writer, as those of any context.
"""

import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import ContextDecorator
from contextvars import ContextVar, Token
from typing import Any
from weakref import ref

from platform_sdk import consumers, request_context
from platform_sdk.actor import UNKNOWN, Actor, actor_of, plain_id, plain_role, session_digest
from platform_sdk.arguments import checked
from platform_sdk.capture.context import MOST_ITEMS, freeze, plain_text
from platform_sdk.diagnostics import note, unfailing

MOST_TAGS, LONGEST_TAG = MOST_ITEMS, 200
MOST_CONTEXTS = 16

used = False
"""Whether anything was ever said. Whoever emits asks this first: most applications say nothing."""


class Scope:
    """What was said. `shared` by all that inherit it; otherwise each that writes makes a copy, which `task` made."""

    __slots__ = ("consumer", "contexts", "shared", "tags", "task", "user", "within")

    def __init__(self, *layers: "Scope", shared: bool = False) -> None:
        """Make a scope of these, the outermost first."""
        self.user = _user(layers)
        self.consumer = _consumer(layers)
        self.tags: dict[str, str] = {}
        self.contexts: dict[str, Any] = {}
        for layer in layers:
            self.tags.update(layer.tags)
            self.contexts.update(layer.contexts)
        self.shared = shared
        self.within: request_context.ServedRequest | None = None
        self.task: Callable[[], Any] | None = None

    def reaches_in(self) -> bool:
        """Return whether requests and scopes inherit it: what a thread was told may be about an earlier request."""
        task = None if self.task is None else self.task()
        return self.shared or (task is not None and not task.done())


def _user(layers: Iterable[Scope]) -> Actor | None:
    named = None
    for layer in layers:
        named = layer.user or named
    return named


def _consumer(layers: Iterable[Scope]) -> str | None:
    named = None
    for layer in layers:
        named = layer.consumer or named
    return named


_process = Scope(shared=True)
_current: ContextVar[Scope | None] = ContextVar("platform_sdk_scope", default=None)


def _nothing() -> None:
    """Return what a call that fails returns."""


@unfailing(_nothing)
@checked
def set_user(user: object, role: str | None = None, session_id: str | None = None) -> None:
    """Say who the request or task at hand is for; None takes it back.

    `user` is an id (text, whole number, UUID), or an object or a mapping that holds one. Of `session_id` a digest is
    stored. Of a request, what is not given is the framework's: the session, and the role if it has the same user.
    """
    user_id, own_role = plain_id(user), None
    if user_id is None and user is not None:
        user_id, own_role, _ = actor_of(user)
        own_role = own_role if user_id is not None else None
    actor = user_id, own_role if role is None else plain_role(role), session_digest(session_id)
    _writable().user = None if actor == UNKNOWN else actor


@unfailing(_nothing)
@checked
def set_consumer(consumer: object = None, *, key: str | None = None) -> None:
    """Say on whose behalf the request or task at hand is: a customer, a partner; None takes it back.

    Everyone who sees metrics reads the name. Who is known by a secret `key` only is named by a digest of it.
    """
    name = consumers.named(consumer)
    _writable().consumer = name if name is not None or not key else consumers.digest(str(key))


@unfailing(_nothing)
@checked
def set_tag(name: str, value: object) -> None:
    """Add a word about the request or task at hand to its errors; None takes it back. Objects become their class."""
    tags, key = _writable().tags, plain_text(name)[:LONGEST_TAG]
    if value is None:
        tags.pop(key, None)
    elif key in tags or len(tags) < MOST_TAGS:
        tags[key] = plain_text(value)[:LONGEST_TAG]


@unfailing(_nothing)
@checked
def set_context(name: str, values: Mapping[str, Any] | None) -> None:
    """Add a mapping about the request or task at hand to its errors, copied now; None takes it back."""
    contexts, key = _writable().contexts, plain_text(name)[:LONGEST_TAG]
    if values is None:
        contexts.pop(key, None)
    elif key in contexts or len(contexts) < MOST_CONTEXTS:
        contexts[key] = freeze(values)[0]


def _begun() -> Token[Scope | None]:
    scope = Scope(*(layer for layer in _layers() if layer.reaches_in()), shared=True)
    scope.within = request_context.current.get()
    return _current.set(scope)


def _noted(name: str, problem: str) -> None:
    note(f"scope.{name}", problem)


@unfailing(_begun, _noted)
def begin() -> Token[Scope | None]:
    """Open a scope, with what holds here, until what this returns is given to `end`. For task queues."""
    return _begun()


@unfailing(_nothing, _noted)
def end(token: Token[Scope | None]) -> None:
    """Close a scope. Never raises, though it may be called in another thread or task than `begin`."""
    if not isinstance(token, Token) or token.var is not _current:  # what `reset` says then may be of any length
        raise TypeError(f"invalid {type(token).__name__} for end(token): expected what begin() returned")
    try:
        _current.reset(token)
    except RuntimeError:
        raise ValueError("invalid token for end(token): it was ended before") from None
    except ValueError:
        raise ValueError("invalid token for end(token): expected one that begin() returned in this context") from None


class Opened(ContextDecorator):
    """A scope for the body of each `with`: several times, one within another, in several threads or tasks."""

    def __init__(self) -> None:
        self._tokens: dict[Scope | None, Token[Scope | None]] = {}

    def __enter__(self) -> None:
        token = begin()
        self._tokens[_current.get()] = token

    def __exit__(self, *raised: object) -> None:
        scope = _current.get()
        if scope not in self._tokens:  # one that was begun within was not ended
            scope = next(reversed(list(self._tokens)), None)
        end(self._tokens.pop(scope, None))  # type: ignore[arg-type]  # None where it was left more often than entered


@unfailing(Opened, _noted)
def opened() -> Opened:
    """Run the body of a `with` in a scope of its own."""
    return Opened()


def acting(request: Scope | None, found: Actor) -> Actor:
    """Return who made a request: whom the application named, with what the framework has `found` of the same user."""
    named = _user(_layers_of(request))
    if named is None:
        return found
    user_id, role, session = named
    if role is None and (user_id is None or str(user_id) == str(found[0])):
        role = found[1]
    return found[0] if user_id is None else user_id, role, found[2] if session is None else session


def user() -> Actor:
    """Return whom the application named for what runs here."""
    layers = _layers()
    named = _user(layers)
    if named is None and request_context.current.get() is None and not any(layer.shared for layer in layers):
        named = _process.user
    return named or UNKNOWN


def consumer() -> str | None:
    """Return on whose behalf things run here: as the application said, or else as the served request's headers do."""
    request = request_context.current.get()
    named = None
    if used:
        layers = _layers()
        named = _consumer(layers)
        if named is None and request is None and not any(layer.shared for layer in layers):
            named = _process.consumer
    return request.consumer() if named is None and request is not None else named


def consumer_of(request: Scope | None) -> str | None:
    """Return on whose behalf a request is, as the application said."""
    return _consumer(_layers_of(request))


def completed(context: Mapping[str, Any] | None, request: Scope | None = None) -> Mapping[str, Any] | None:
    """Return an error's context with the tags and contexts of what runs here, or of a request; its own win."""
    all_said = Scope(_process, *(_layers() if request is None else _layers_of(request)))
    whole: dict[str, Any] = {}
    if context is not None:
        whole.update(context if issubclass(type(context), Mapping) else {"value": context})
    for name, values in (("tags", all_said.tags), ("contexts", all_said.contexts)):
        if values:
            own = whole.get(name)
            whole[name] = {**values, **own} if type(own) is dict else values if own is None else own
    return whole or context


def _layers() -> tuple[Scope, ...]:
    """Return what holds here, the outermost first, without the process's."""
    request, scope = request_context.current.get(), _current.get()
    if request is None or (scope is not None and scope.shared and scope.within is request):
        return () if scope is None else (scope,)
    return _layers_of(request.said)


def _layers_of(request: Scope | None) -> tuple[Scope, ...]:
    """Return what holds in a request, the outermost first, without the process's."""
    scope = _current.get()
    outer = () if scope is None or not scope.reaches_in() else (scope,)
    return outer if request is None else (*outer, request)


def _writable() -> Scope:
    """Return the scope to write to."""
    global used
    used = True
    request, scope = request_context.current.get(), _current.get()
    if scope is not None and scope.shared and scope.within is request:
        return scope
    if request is not None:
        new = Scope(shared=True)
        if request.said is None:  # nothing comes between these two lines: no call, no loop
            request.said = new
        return request.said  # type: ignore[no-any-return]  # a Scope
    in_loop, task = _running()
    if not in_loop and threading.get_ident() == threading.main_thread().ident:
        return _process
    scope = Scope() if scope is None else Scope(scope)
    scope.task = task
    _current.set(scope)
    return scope


def _running() -> tuple[bool, Callable[[], Any] | None]:
    """Return whether an event loop runs in this thread, and a reference to its current task."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return False, None
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False, None
    return True, None if task is None else ref(task)
