"""Who it was: user, role, session, read from whatever stands for a user.

Only what is stored in an object is read, and no code of its class is run: an ORM's attribute that is not loaded yet
would run a query, a property may raise, and `isinstance` alone makes a lazy object load what it stands for.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache
from hashlib import blake2b
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any, NamedTuple

from platform_sdk.capture.context import is_spelled, spelled
from platform_sdk.diagnostics import note

Actor = tuple[object, str | None, str | None]
"""User id, role, session id; each None where it is not known."""

UNKNOWN: Actor = (None, None, None)
ANONYMOUS: Actor = (None, "anonymous", None)

LONGEST_ID = 200

_IDS = ("id", "pk", "user_id", "uuid", "username", "identity", "sub", "email")
_ROLES = ("role", "is_superuser", "is_staff")
_READ = (*_IDS, *_ROLES)


class _Named(NamedTuple):
    x: int


_FIELDS = (MemberDescriptorType, type(vars(_Named)["x"]))
"""The classes of slots and of a named tuple's fields: what reads them is written in C."""


@lru_cache(maxsize=1024)
def session_digest(key: object) -> str | None:
    """Return the digest that events store of a session key: who reads the key itself could take over the session."""
    if not key or type(key) is not str:
        return None
    return blake2b(key.encode("utf-8", "replace"), digest_size=12).hexdigest()


def plain_id(value: object) -> object:
    """Return a user's id: a text, a number, a UUID; None for anything else, whose text would name nobody."""
    kind = type(value)
    if kind is int:
        return value
    text = None if value is None or kind is bool else spelled(value)
    return text[:LONGEST_ID] if text else None


def identified(identify: Callable[[Any], Any], request: Any) -> Actor:
    """Return what the application's function returns: (user id, role, session id), a shorter tuple, or a user."""
    try:
        found = identify(request)
        if found is None:
            return UNKNOWN
        if not issubclass(type(found), tuple) or hasattr(type(found), "_fields"):
            user_id = plain_id(found)
            return actor_of(found) if user_id is None else (user_id, None, None)
        user_id, role, session = (*found, None, None, None)[:3]
        return actor_of(user_id)[0], plain_role(role), session_digest(session)
    except Exception as error:  # noqa: BLE001 - the application's code, called by us
        note("identify", error)
        return UNKNOWN


def actor_of(user: Any) -> Actor:
    """Return what a user object of any class says, or an id itself; UNKNOWN where it says nothing. Never raises."""
    if user is None:
        return UNKNOWN
    try:
        known = _class_of(type(user))  # type: ignore[arg-type]  # a class can be hashed
        if known.anonymous:
            return ANONYMOUS
        if known.is_id and (user_id := plain_id(user)) is not None:
            return user_id, "user", None
        fields = stored(user, known)
        if "_wrapped" in fields:  # Django's lazy objects: what is not loaded yet has no fields
            user = fields["_wrapped"]
            known = _class_of(type(user))  # type: ignore[arg-type]  # as above
            fields = stored(user, known)
            if known.anonymous:
                return ANONYMOUS
        return _actor_of(known, fields)
    except Exception as error:  # noqa: BLE001 - the application's classes
        note("user", error)
        return UNKNOWN


def _actor_of(known: "_Class", fields: Mapping[str, Any]) -> Actor:
    user_id: object = None
    state = fields.get("_sa_instance_state")
    if state is not None and (key := getattr(state, "key", None)) is not None:
        # SQLAlchemy: a commit takes all attributes away, and leaves the primary key here.
        user_id = plain_id(key[1][0]) if len(key[1]) == 1 else None
    else:
        for name in known.ids:
            user_id = plain_id(fields.get(name))
            if user_id is not None:
                break
    return UNKNOWN if user_id is None else (user_id, _role_of(known, fields), None)


def _role_of(known: "_Class", fields: Mapping[str, Any]) -> str | None:
    """Return the role of a signed-in user: its own `role`, otherwise superuser, staff or user; None if not loaded."""
    role = fields.get("role")
    if role is not None:
        return plain_role(role)
    if fields.get("is_superuser") is True:
        return "superuser"
    if fields.get("is_staff") is True:
        return "staff"
    for name in known.loadable:
        if name not in fields:
            return None
    return "user"


def plain_role(role: object) -> str | None:
    """Return a role that is a text, or an enumeration's; None for anything else."""
    if issubclass(type(role), Enum):
        role = vars(role).get("_value_")
    return str.__str__(role)[:LONGEST_ID] if issubclass(type(role), str) else None


def stored(user: Any, known: "_Class") -> Mapping[str, Any]:
    """Return what is stored in an object, as its `__dict__` or in slots, or a mapping itself; may raise."""
    if known.is_mapping:
        return user  # type: ignore[no-any-return]  # a mapping
    fields: Mapping[str, Any] = {} if known.dictionary is None else known.dictionary(user)
    if not known.slots:
        return fields
    fields = dict(fields)
    for name, read in known.slots:
        try:
            fields[name] = read(user)
        except AttributeError:  # never assigned
            continue
    return fields


class _Class(NamedTuple):
    """How to read the instances of a class without running its code.

    `ids` are the names of what may hold the id; `loadable` those of a role that it declares and an instance may lack,
    as an ORM's columns.
    """

    dictionary: Callable[[Any], Mapping[str, Any]] | None
    slots: tuple[tuple[str, Callable[[Any], Any]], ...]
    ids: tuple[str, ...]
    loadable: tuple[str, ...]
    anonymous: bool
    is_mapping: bool
    is_id: bool


@lru_cache(maxsize=512)
def _class_of(kind: type) -> _Class:
    """Return what is known of a class, from its own and its bases' attributes."""
    found: dict[str, Any] = {}
    for base in kind.__mro__:
        for name in (*_READ, "__dict__", "_meta", "is_authenticated"):
            if name in vars(base):
                found.setdefault(name, vars(base)[name])
    dictionary = found.get("__dict__")
    slots = {name: found[name].__get__ for name in _READ if type(found.get(name)) in _FIELDS}
    plain = (property, bool, str, type(None))
    key = getattr(getattr(found.get("_meta"), "pk", None), "attname", None)  # Django's models
    return _Class(
        dictionary.__get__ if isinstance(dictionary, GetSetDescriptorType | MemberDescriptorType) else None,
        tuple(slots.items()),
        _IDS if key is None else (key,),
        tuple(name for name in _ROLES if name in found and name not in slots and not isinstance(found[name], plain)),
        _says_no(found.get("is_authenticated")),
        issubclass(kind, Mapping),
        issubclass(kind, str | int | float | Enum) or is_spelled(kind),
    )


def _says_no(attribute: Any) -> bool:
    """Return whether `is_authenticated` is False, or a property that returns so without reading anything."""
    if isinstance(attribute, property):
        code = getattr(attribute.fget, "__code__", None)
        reads_nothing = code is not None and not code.co_names and not code.co_freevars
        return attribute.fget is not None and reads_nothing and attribute.fget(None) is False
    return attribute is False
