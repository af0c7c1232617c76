"""Tell who made a request, from what the application has found out already: nothing here runs a query."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from platform_sdk.diagnostics import note

Actor = tuple[object, str | None, str | None]
"""User id, role, session id; each None where it is not known."""

UNKNOWN: Actor = (None, None, None)

_IDS = ("id", "pk", "user_id", "uuid", "username", "identity", "sub", "email")


@lru_cache(maxsize=1024)
def session_digest(key: object) -> str | None:
    """Return what stands for a session in the events: the key itself would let a reader of them take the session."""
    if not key or type(key) is not str:
        return None
    return blake2b(key.encode("utf-8", "replace"), digest_size=12).hexdigest()


def identified(identify: Callable[[Any], Any], request: Any) -> Actor:
    """Return what an application's own function tells: (user id, role, session id), a shorter tuple, or a user id."""
    try:
        told = identify(request)
        if told is None:
            return UNKNOWN
        user_id, role, session = (*told, None, None, None)[:3] if isinstance(told, tuple) else (told, None, None)
        return user_id, role, session_digest(session)
    except Exception as error:  # noqa: BLE001 - code of the application's, called on our account
        note("identify", error)
        return UNKNOWN


def actor_of(user: Any) -> Actor:
    """Return what a user object of any make tells.

    Only what is stored in the object is read: an attribute of an ORM's that is not loaded yet would run a query.
    """
    fields: Mapping[str, Any] = user if isinstance(user, Mapping) else getattr(user, "__dict__", None) or {}
    user_id = next((fields[name] for name in _IDS if fields.get(name) is not None), None)
    if user_id is None:
        if getattr(user, "is_authenticated", None) is False:
            return None, "anonymous", None
        return None, None, None
    return user_id, role_of(fields), None


def role_of(fields: Mapping[str, Any]) -> str | None:
    """Return the role of a signed-in user: its own `role`, otherwise superuser, staff or user."""
    role = fields.get("role")
    if role is not None:
        role = getattr(role, "value", role)
        return role if isinstance(role, str) else None
    if fields.get("is_superuser") is True:
        return "superuser"
    return "staff" if fields.get("is_staff") is True else "user"
