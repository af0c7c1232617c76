"""See what an application does, and account for every event.

    import platform_sdk
    platform_sdk.init(dsn="postgresql://...", app="shop", release="1.2.3")   # or PLATFORM_SDK_DSN, _APP, _RELEASE

Public names:

    init, close, flush, flush_now, stats                start, end, and the ledger
    log_error, log_activity, log_api_usage, sample      log manually
    capture_exception, capture_message                  the same by the names of other SDKs
    APIMonitor                                          time a call to an external API
    set_user, set_consumer, set_tag, set_context        say who and what the request or task at hand is about
    scraping_job, current_job                           follow a scraping job
    get_system_health_summary                           how the system is doing

Everything else is imported by its own path: the middlewares of `platform_sdk.web`, the hooks of
`platform_sdk.outgoing`, the task queues of `platform_sdk.jobs`, and for integrations of your own:

    platform_sdk.emit           one function for each kind of event: one append, never raises, never waits
    platform_sdk.scope          begin() and end(token), or `with opened():`, around one task of a queue
    platform_sdk.client         active_options() -> Options | None
    platform_sdk.outgoing.outcomes      reason_of_status, reason_of_exception, status_of
    platform_sdk.outgoing.rate_limits   read(headers) -> (remaining, reset)
    platform_sdk.diagnostics    note(kind, problem): log a problem of the integration's own, once a minute

`flush_now()` is for processes that end without `atexit`: Celery's children, RQ's workers. A fork needs no call.
What is not used is not loaded: the functions' modules come with their first use, the writer's with `init`, psycopg with
the writer thread's first batch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from platform_sdk import loading
from platform_sdk.client import close, flush, flush_now, init, stats

if TYPE_CHECKING:
    from platform_sdk.api import (
        capture_exception,
        capture_message,
        log_activity,
        log_api_usage,
        log_error,
        sample,
    )
    from platform_sdk.health import get_system_health_summary
    from platform_sdk.jobs.scraping import current_job, scraping_job
    from platform_sdk.outgoing.api_monitor import APIMonitor
    from platform_sdk.scope import set_consumer, set_context, set_tag, set_user

__version__ = "0.1.0"

__all__ = [
    "APIMonitor", "capture_exception", "capture_message", "close", "current_job", "flush", "flush_now",
    "get_system_health_summary", "init", "log_activity", "log_api_usage", "log_error", "sample", "scraping_job",
    "set_consumer", "set_context", "set_tag", "set_user", "stats",
]  # fmt: skip

_HOMES = {
    "APIMonitor": "outgoing.api_monitor",
    "capture_exception": "api",
    "capture_message": "api",
    "current_job": "jobs.scraping",
    "get_system_health_summary": "health",
    "log_activity": "api",
    "log_api_usage": "api",
    "log_error": "api",
    "sample": "api",
    "scraping_job": "jobs.scraping",
    "set_consumer": "scope",
    "set_context": "scope",
    "set_tag": "scope",
    "set_user": "scope",
}

if not TYPE_CHECKING:

    def __getattr__(name):
        """Load a public name at its first use."""
        if name not in _HOMES:
            raise AttributeError(f"module 'platform_sdk' has no attribute {name!r}")
        with loading.without_fork():
            value = getattr(import_module(f"platform_sdk.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
