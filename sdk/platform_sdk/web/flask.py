"""What only Flask knows of a request, where it is used. It is never imported here, only found where it is loaded."""

import sys
from typing import Any

from platform_sdk.diagnostics import note
from platform_sdk.web.actor import UNKNOWN, Actor, actor_of
from platform_sdk.web.record import KEY, UNMATCHED

_listening = False


def listen() -> None:
    """Receive the exceptions that Flask answers itself: no WSGI middleware ever sees those."""
    global _listening
    flask = sys.modules.get("flask")
    if flask is None or _listening:
        return
    try:
        flask.got_request_exception.connect(_failed, weak=False)
        _listening = True
    except Exception as error:  # noqa: BLE001 - Flask before 2.3 without blinker
        note("flask", error)


def _failed(sender: Any, exception: BaseException | None = None, **_: Any) -> None:
    try:
        request = sys.modules["flask"].request.environ.get(KEY)
        if request is not None:
            request.record_exception(exception)
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
    return UNKNOWN if user is None else actor_of(user)
