"""See what an application does, and account for every event.

    import platform_sdk
    platform_sdk.init(dsn="postgresql://...", app="shop", release="1.2.3")   # or PLATFORM_SDK_DSN, _APP, _RELEASE

Public names:

    init, close, flush, flush_now, stats    start, end, and the ledger: platform_sdk.client
    log_error, log_activity, log_api_usage, sample      log by hand: platform_sdk.api
    APIMonitor                              time a call to an outside API: platform_sdk.outgoing.api_monitor
    get_system_health_summary               how the system fares: platform_sdk.health

Seams for integrations, which live in modules of their own and are imported by their own paths:

    platform_sdk.emit       request_finished, exception, error_message, api_call, scraping_run, job_heartbeat,
                            activity, sample: raw values in, one append, never raises, never waits
    platform_sdk.client     active_options() -> Options | None: excluded_paths, trusted_proxies, activity_rules
    platform_sdk.outgoing.outcomes   reason_of_status, reason_of_exception, status_of
    platform_sdk.outgoing.rate_limits    read(headers) -> (remaining, reset)
    platform_sdk.diagnostics    note(kind, problem): log a problem of an integration's own, once a minute

`flush_now()` is for processes that end without `atexit`: Celery's children, RQ's workers. A fork needs no call.
Nothing of the server is loaded by this package, and psycopg only by the writer thread, at its first batch.
"""

from platform_sdk.api import log_activity, log_api_usage, log_error, sample
from platform_sdk.client import close, flush, flush_now, init, stats
from platform_sdk.health import get_system_health_summary
from platform_sdk.outgoing.api_monitor import APIMonitor

__all__ = [
    "APIMonitor",
    "close",
    "flush",
    "flush_now",
    "get_system_health_summary",
    "init",
    "log_activity",
    "log_api_usage",
    "log_error",
    "sample",
    "stats",
]
