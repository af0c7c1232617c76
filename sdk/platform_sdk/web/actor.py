"""Who made a request: user, role, session, and the client's address behind proxies.

Only what the application has loaded already is read: nothing here runs a query.
"""

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
    """Return the digest that events store of a session key: who reads the key itself could take over the session."""
    if not key or type(key) is not str:
        return None
    return blake2b(key.encode("utf-8", "replace"), digest_size=12).hexdigest()


def identified(identify: Callable[[Any], Any], request: Any) -> Actor:
    """Return what the application's function returns: (user id, role, session id), a shorter tuple, or a user id."""
    try:
        found = identify(request)
        if found is None:
            return UNKNOWN
        user_id, role, session = (*found, None, None, None)[:3] if isinstance(found, tuple) else (found, None, None)
        return user_id, role, session_digest(session)
    except Exception as error:  # noqa: BLE001 - the application's code, called by us
        note("identify", error)
        return UNKNOWN


def actor_of(user: Any) -> Actor:
    """Return what a user object of any class says.

    Only what is stored in the object is read: an ORM attribute that is not loaded yet would run a query.
    """
    fields: Mapping[str, Any] = user if isinstance(user, Mapping) else getattr(user, "__dict__", None) or {}
    user_id = next((fields[name] for name in _IDS if fields.get(name) is not None), None)
    if user_id is None:
        return None, "anonymous" if getattr(user, "is_authenticated", None) is False else None, None
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


def address_and_agent(environ: Mapping[str, Any], trusted_proxies: int) -> tuple[str | None, str | None]:
    """Return the client's address and its user agent, by a WSGI environ or Django's META."""
    address = environ.get("REMOTE_ADDR") or None
    if trusted_proxies:
        forwarded_for, forwarded = environ.get("HTTP_X_FORWARDED_FOR"), environ.get("HTTP_FORWARDED")
        address = client_address(address, forwarded_for, forwarded, trusted_proxies)
    return address, environ.get("HTTP_USER_AGENT")


def client_address(
    peer: str | None, forwarded_for: str | None, forwarded: str | None, trusted_proxies: int
) -> str | None:
    """Return the client's address, or the text in its place ("unknown", garbage), which the writer does not store.

    `peer` is the other end of the connection. Each proxy appends its own peer to the right of X-Forwarded-For, so with
    N trusted proxies the Nth entry from the right was written by one of them, and all to the left of it may be forged.
    With fewer entries it is the leftmost. `forwarded` (RFC 7239) is read only without X-Forwarded-For: most proxies
    write that one, and pass on a Forwarded that the client forged.
    """
    if trusted_proxies <= 0:
        return peer or None
    if forwarded_for is not None:
        return _bare(_nth_from_right(forwarded_for, trusted_proxies))
    if forwarded is not None:
        return _bare(_parameter_for(_nth_from_right(forwarded, trusted_proxies)))
    return peer or None


def _nth_from_right(entries: str, number: int) -> str:
    # Split from the right: an unbalanced quote or a million commas that a client put further left do no harm.
    parts = entries.rsplit(",", number)
    return parts[-number] if len(parts) >= number else parts[0]


def _parameter_for(element: str) -> str:
    """Return the value of `for` in an element of Forwarded, e.g. for="[2001:db8::1]:4711";proto=https."""
    for pair in element.split(";"):
        name, _, value = pair.partition("=")
        if name.strip().lower() == "for":
            return value.strip().strip('"')
    return ""


def _bare(address: str) -> str | None:
    """Return an address without its port and brackets."""
    address = address.strip()[:64]
    if address.startswith("["):
        address = address[1:].partition("]")[0]
    elif address.count(":") == 1:
        address = address.partition(":")[0]
    return address or None
