"""Put the middleware around Django's, in whatever settings, unless they name it."""

import inspect
from typing import Any

from django.conf import settings  # type: ignore[import-untyped]  # Django has no types
from django.core.handlers.base import BaseHandler  # type: ignore[import-untyped]  # Django has no types
from django.utils.module_loading import import_string  # type: ignore[import-untyped]  # Django has no types

from platform_sdk.diagnostics import note
from platform_sdk.outgoing.hooks import Patch
from platform_sdk.web.django import PlatformMiddleware

_SEEN = "_platform_sdk_seen"


def _get_response(handler: Any, request: Any) -> Any:
    if _SEEN not in handler.__dict__:
        _wrap(handler)
    return _sync.original(handler, request)


async def _get_response_async(handler: Any, request: Any) -> Any:
    if _SEEN not in handler.__dict__:
        _wrap(handler)
    return await _async.original(handler, request)


_sync = Patch(BaseHandler, "get_response", _get_response)
_async = Patch(BaseHandler, "get_response_async", _get_response_async)


def ensure() -> None:
    """Record the requests of every handler, made before or after this."""
    _sync.apply()
    _async.apply()


def uninstall() -> None:
    """Record those of no further handler."""
    _sync.remove()
    _async.remove()


def _wrap(handler: Any) -> None:
    """Make ours the outermost middleware of a handler that has loaded its own."""
    try:
        setattr(handler, _SEEN, True)
        if not any(map(_is_ours, settings.MIDDLEWARE)):
            handler._middleware_chain = PlatformMiddleware(handler._middleware_chain)
    except Exception as error:  # noqa: BLE001 - never into the application
        note("integration django", error)


def _is_ours(path: str) -> bool:
    try:
        found = import_string(path)
    except ImportError:
        return False
    return inspect.isclass(found) and issubclass(found, PlatformMiddleware)
