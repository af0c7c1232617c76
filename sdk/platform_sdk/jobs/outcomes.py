"""Tell why a scraping job failed, by the exception it ended with. Reasons are those of the event kind scraping_run."""

from platform_sdk.events.scraping_run import REASONS
from platform_sdk.outgoing import outcomes

_PARSE = (
    "Parse", "JSONDecodeError", "XMLSyntaxError", "ValidationError", "UnicodeDecodeError", "XPathEvalError",
    "SelectorSyntaxError", "ExpressionError",
)  # fmt: skip
_BLOCKED = ("Blocked", "Captcha", "Banned")
_TIMEOUT = ("SoftTimeLimitExceeded", "TimeLimitExceeded", "JobTimeoutException")


def reason_of(exc: BaseException) -> str:
    """Return why a job failed that ended with `exc`.

    Names decide where a library's class cannot be imported: classes (or their bases) called `...Parse...` and such
    mean parse, `...Blocked...`, `...Captcha...`, `...Banned...` mean blocked.
    """
    if outcomes.is_cancellation(exc):
        return "cancelled"
    names = [kind.__name__ for kind in type(exc).__mro__]
    if any(name in _TIMEOUT for name in names):
        return "timeout"
    if any(part in name for name in names for part in _BLOCKED):
        return "blocked"
    # Before the next: JSON that cannot be read is, in requests, an OSError.
    if any(part in name for name in names for part in _PARSE) or type(exc).__module__ in ("_csv", "csv"):
        return "parse"
    if isinstance(exc, outcomes.FILES):
        return "other"
    reason, _ = outcomes.reason_of_exception(exc)
    return reason if reason in REASONS else "other"
