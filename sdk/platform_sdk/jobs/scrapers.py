"""What scraping jobs and the hooks of job runners share: which jobs are scrapers, and why a run failed."""

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

from platform_sdk import client
from platform_sdk.diagnostics import note
from platform_sdk.events.scraping_run import REASONS
from platform_sdk.outgoing import outcomes

Scrapers = Mapping[str, str] | Callable[[str], str | None]
"""Which jobs are scraping jobs: a job's name, or a pattern such as `shop.scrape_*`, to the scraper's; or a function."""

REFUSALS = {401: "other", 403: "forbidden", 407: "connection", 429: "rate_limited", 503: "blocked"}
"""Statuses by which sites, and with 407 proxies, refuse scrapers, and the reason of a run that got nothing else.

A wrong password is no ban, of which `forbidden` would warn: neither the site's nor that of the proxy.
"""

_PARSE = (
    "Parse", "JSONDecodeError", "XMLSyntaxError", "ValidationError", "UnicodeDecodeError", "XPathEvalError",
    "SelectorSyntaxError", "ExpressionError",
)  # fmt: skip
_BLOCKED = ("Blocked", "Captcha", "Banned")
_TIMEOUT = ("SoftTimeLimitExceeded", "TimeLimitExceeded", "JobTimeoutException")


def ensure_started(**given: str | None) -> bool:
    """Start the SDK from the environment unless the application did; return whether it is on."""
    return client.active_options() is not None or client.init(given.get("dsn"), given.get("app"), given.get("release"))


def scraper_of(scrapers: Scrapers | None, name: str) -> str | None:
    """Return the scraper that a job of this name is, None where it is not a scraping job."""
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


def reason_of(exception: BaseException) -> str:
    """Return why a job failed that ended with an exception; reasons are those of the event kind scraping_run.

    Names decide where a library's class cannot be imported: classes (or their bases) called `...Parse...` and such
    mean parse, `...Blocked...`, `...Captcha...`, `...Banned...` mean blocked.
    """
    if outcomes.is_cancellation(exception):
        return "cancelled"
    names = [kind.__name__ for kind in type(exception).__mro__]
    if any(name in _TIMEOUT for name in names):
        return "timeout"
    if any(part in name for name in names for part in _BLOCKED):
        return "blocked"
    # Before the next: JSON that cannot be read is, in requests, an OSError.
    if any(part in name for name in names for part in _PARSE) or type(exception).__module__ in ("_csv", "csv"):
        return "parse"
    if isinstance(exception, outcomes.FILES):
        return "other"
    reason, status = outcomes.reason_of_exception(exception)
    if reason not in REASONS:  # of a client's error
        reason = REFUSALS.get(status or 0, "other")
    return reason
