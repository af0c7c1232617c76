"""What only Flask knows of a request, where it is used. It is never imported here, only found where it is loaded."""

import sys
from typing import Any

from platform_sdk.actor import UNKNOWN, Actor, actor_of, plain_id
from platform_sdk.diagnostics import note
from platform_sdk.web.answered import is_error, observe
from platform_sdk.web.record import KEY, UNMATCHED

_listening = False


def listen() -> None:
    """Receive the exceptions that Flask answers itself, which no WSGI middleware ever sees, and who logs out."""
    global _listening
    flask, login = sys.modules.get("flask"), sys.modules.get("flask_login")
    if flask is None or _listening:
        return
    _listening = True
    observe(flask.Flask, "handle_user_exception", after=_handled)
    try:
        flask.got_request_exception.connect(_failed, weak=False)
    except Exception:  # noqa: BLE001 - Flask before 2.3 without blinker, whose signals refuse receivers
        observe(flask.Flask, "handle_exception", before=_answered)
    try:
        if login is not None:
            login.user_logged_out.connect(_signed_out, weak=False)
    except Exception as error:  # noqa: BLE001 - as above
        note("flask_login", error)


def _request() -> Any:
    """Return the request that Flask serves here, a `WsgiRequest`; None where no middleware of ours encloses it."""
    return sys.modules["flask"].request.environ.get(KEY)


def _failed(sender: Any, exception: BaseException | None = None, **_: Any) -> None:
    try:
        _answered(exception)
    except Exception as error:  # noqa: BLE001 - never into the application
        note("flask", error)


def _answered(exception: BaseException | None) -> None:
    """Record an exception that Flask is about to answer."""
    if (request := _request()) is not None:
        request.record_exception(exception)


def _handled(result: Any, exception: BaseException) -> None:
    """Remember an exception that a handler of the application's has answered, until the status is known."""
    if is_error(exception) and (request := _request()) is not None:
        request.handled = exception


def _signed_out(sender: Any, user: Any = None, **_: Any) -> None:
    """Remember who is logging out: Flask-Login puts someone anonymous in their place."""
    try:
        if (request := _request()) is not None:
            request.signed_out = _actor_of(user)
    except Exception as error:  # noqa: BLE001 - never into the application
        note("flask", error)


def template(environ: dict[str, Any], mounted_at: str) -> str:
    """Return the rule that matched; `mounted_at` is the SCRIPT_NAME that the server gave."""
    rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
    if rule is None:
        return UNMATCHED
    # Werkzeug's DispatcherMiddleware moves an application's mount point from the path to SCRIPT_NAME.
    return str(environ.get("SCRIPT_NAME", "")).removeprefix(mounted_at) + str(rule.rule)


def actor(environ: dict[str, Any]) -> Actor:
    """Return the user that Flask-Login has loaded for this request, if it has."""
    flask = sys.modules.get("flask")
    if flask is None or "werkzeug.request" not in environ or not flask.has_app_context():
        return UNKNOWN
    user = flask.g.get("_login_user")
    return UNKNOWN if user is None else _actor_of(user)


def _actor_of(user: Any) -> Actor:
    """Return what a user says that Flask-Login has loaded."""
    found = actor_of(user)
    if found != UNKNOWN:
        return found
    # An object that hides its id: Flask-Login has read the session, and `dict` reads it without marking it as read.
    held = sys.modules["flask"].session._get_current_object()
    return (plain_id(dict.get(held, "_user_id")) if issubclass(type(held), dict) else None), None, None
