"""See what an application does, and account for every event.

    from exporter import sdk
    sdk.init(dsn="postgresql://...", app="shop", release="1.2.3")   # or PLATFORM_SDK_DSN, _APP, _RELEASE

Public names:

    init, close, flush, flush_now, stats    start, end, and the ledger: exporter.sdk.client
    log_error, log_activity, log_api_usage, sample      log by hand: exporter.sdk.api
    APIMonitor                              time a call to an outside API: exporter.sdk.api_monitor
    get_system_health_summary               how the system fares: exporter.sdk.health

Seams for integrations, which live in modules of their own and are imported by their own paths:

    exporter.sdk.emit       request_finished, exception, error_message, api_call, scraping_run, job_heartbeat,
                            activity, sample: raw values in, one append, never raises, never waits
    exporter.sdk.client     active_options() -> Options | None: excluded_paths, trusted_proxies, activity_rules
    exporter.sdk.outcomes   reason_of_status, reason_of_exception, status_of
    exporter.sdk.rate_limits    read(headers) -> (remaining, reset)
    exporter.sdk.trouble    note(kind, problem): log a problem of an integration's own, once a minute

`flush_now()` is for processes that end without `atexit`: Celery's children, RQ's workers. A fork needs no call.
Nothing of the server is loaded by this package, and psycopg only by the writer thread, at its first batch.
"""

from exporter.sdk.api import log_activity, log_api_usage, log_error, sample
from exporter.sdk.api_monitor import APIMonitor
from exporter.sdk.client import close, flush, flush_now, init, stats
from exporter.sdk.health import get_system_health_summary

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
