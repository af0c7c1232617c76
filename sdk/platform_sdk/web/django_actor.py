"""Tell who made a Django request, as far as the view or a middleware has found out: nothing here runs a query."""

from typing import Any

from django.utils.functional import LazyObject  # type: ignore[import-untyped]  # Django has no types

from platform_sdk.web.actor import UNKNOWN, Actor, role_of, session_digest


def actor_of(request: Any) -> Actor:
    """Return who made a request, as far as that was found out already."""
    known = request.__dict__
    session = known.get("session")
    session_id = None if session is None else session_digest(session.session_key)
    user = known.get("_cached_user")
    if user is None:
        user = known.get("_acached_user")
    if user is None:
        user = known.get("user")
        if user is None or issubclass(type(user), LazyObject):
            return _actor_of_session(session, session_id)
    user_id = getattr(user, "pk", None)
    if user_id is None:
        return None, "anonymous", session_id
    # Looked up where it is stored: a deferred field, or a property, would run a query.
    return user_id, role_of(user.__dict__), session_id


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
