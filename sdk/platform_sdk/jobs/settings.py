"""What the hooks of job runners share: starting the SDK where the application did not, and naming scrapers."""

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from platform_sdk import client
from platform_sdk.diagnostics import note

Scrapers = Mapping[str, str] | Callable[[str], str | None]
"""Which jobs are scraping jobs: a job's name, or a pattern such as `shop.scrape_*`, to the scraper's; or a function."""


def ensure_started(**given: Any) -> bool:
    """Start the SDK from the environment unless the application did; return whether it is on."""
    return client.active_options() is not None or client.init(**given)


def scraper_of(scrapers: Scrapers | None, name: str) -> str | None:
    """Return the scraper that a job of this name is, None where the user did not say so."""
    if scrapers is None:
        return None
    try:
        if isinstance(scrapers, Mapping):
            exact = scrapers.get(name)
            return exact or next((to for pattern, to in scrapers.items() if fnmatchcase(name, pattern)), None)
        return scrapers(name)
    except Exception as error:  # noqa: BLE001 - the user's code, and never into the application
        note("scrapers", error)
        return None
