"""Add the extension to each crawler, unless its settings name it."""

from typing import Any

from scrapy.extension import ExtensionManager

from platform_sdk.diagnostics import note
from platform_sdk.outgoing.hooks import Patch

MONITOR = "platform_sdk.jobs.scrapy.Monitor"


def _listed(cls: Any, settings: Any) -> list[Any]:
    found: list[Any] = list(_patch.original(settings))
    try:
        from platform_sdk.jobs.scrapy import Monitor

        if not any(each == MONITOR or (isinstance(each, type) and issubclass(each, Monitor)) for each in found):
            found.append(Monitor)
    except Exception as error:  # noqa: BLE001 - never into the crawl
        note("integration scrapy", error)
    return found


_patch = Patch(ExtensionManager, "_get_mwlist_from_settings", classmethod(_listed))
ensure, uninstall = _patch.apply, _patch.remove
