"""Put the middleware around each application of Starlette and FastAPI, unless it was added to it."""

from functools import partial
from typing import Any

from starlette.applications import Starlette

from platform_sdk.diagnostics import note
from platform_sdk.outgoing.hooks import Patch
from platform_sdk.web.asgi import PlatformMiddleware

_OURS = "_platform_sdk_middleware"


async def _call(app: Starlette, scope: Any, receive: Any, send: Any) -> None:
    around = app.__dict__.get(_OURS)
    if around is None:
        around = _made_for(app)
    await around(scope, receive, send)


_patch = Patch(Starlette, "__call__", _call)
ensure, uninstall = _patch.apply, _patch.remove


def _made_for(app: Starlette) -> Any:
    """Return what to call instead of the application; an inner middleware of ours leaves the request to an outer."""
    plain = partial(_patch.original, app)
    try:
        added = any(
            issubclass(each.cls, PlatformMiddleware) for each in app.user_middleware if isinstance(each.cls, type)
        )
        around = plain if added else PlatformMiddleware(plain)
        app.__dict__[_OURS] = around
    except Exception as error:  # noqa: BLE001 - never into the application
        note("integration starlette", error)
        return plain
    return around
