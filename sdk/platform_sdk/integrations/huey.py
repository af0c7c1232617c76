"""Record the tasks of each Huey instance, from when it is made."""

from typing import Any

from huey.api import Huey  # type: ignore[import-untyped]  # ships no types

from platform_sdk.diagnostics import note
from platform_sdk.jobs.huey import install
from platform_sdk.outgoing.hooks import Patch


def _init(huey: Any, *args: Any, **kwargs: Any) -> None:
    _patch.original(huey, *args, **kwargs)
    try:
        install(huey)
    except Exception as error:  # noqa: BLE001 - never into the application
        note("integration huey", error)


_patch = Patch(Huey, "__init__", _init)
ensure, uninstall = _patch.apply, _patch.remove
