"""Count what jobs open in a browser, by those of Playwright's two APIs that the application imports."""

import sys
from functools import partial

from platform_sdk.integrations import imports
from platform_sdk.outgoing import playwright

_APIS = ("playwright.sync_api", "playwright.async_api")

_on = False


def ensure() -> None:
    """Switch it on for the APIs that are loaded, and for the others when they are."""
    global _on
    _on = True
    for name in _APIS:
        if name in sys.modules:
            _loaded(name)
        else:
            imports.when_imported(name, partial(_loaded, name))


def uninstall() -> None:
    """Switch it off."""
    global _on
    _on = False
    playwright.uninstall()


def _loaded(name: str) -> None:
    if _on:
        playwright.ensure(sys.modules[name])
