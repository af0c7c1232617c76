"""Put the middleware around each application of Flask, unless it was put there."""

from functools import partial
from typing import Any

from flask.app import Flask

from platform_sdk.diagnostics import note
from platform_sdk.outgoing.hooks import Patch
from platform_sdk.web.wsgi import PlatformMiddleware

_OURS = "_platform_sdk_middleware"
_DEEPEST = 10


def _call(app: Flask, environ: Any, start_response: Any) -> Any:
    around = app.__dict__.get(_OURS)
    if around is None:
        around = _made_for(app)
    return around(environ, start_response)


_patch = Patch(Flask, "__call__", _call)
ensure, uninstall = _patch.apply, _patch.remove


def _made_for(app: Flask) -> Any:
    plain = partial(_patch.original, app)
    try:
        around = plain if _has_ours(app.wsgi_app) else PlatformMiddleware(plain)
        app.__dict__[_OURS] = around
    except Exception as error:  # noqa: BLE001 - never into the application
        note("integration flask", error)
        return plain
    return around


def _has_ours(middleware: Any) -> bool:
    """Return whether one of the middlewares around an application is ours, by the names that they have for the next."""
    for _ in range(_DEEPEST):
        if isinstance(middleware, PlatformMiddleware):
            return True
        fields = getattr(middleware, "__dict__", {})
        middleware = fields.get("app") or fields.get("wsgi_app") or fields.get("application")
    return False
