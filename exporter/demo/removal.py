"""Remove everything of the played platform from the event store."""

import psycopg

from exporter.demo.platform import APPS
from platform_sdk.events import EVENTS

_BY_APP = (*(kind.name for kind in EVENTS), "scraping_job", "sdk_ledger", "release", "actor")

_ISSUES = "SELECT 'error_issue/' || id FROM monitoring.error_issue WHERE app = ANY(%(apps)s)"


def remove(connection: psycopg.Connection) -> int:
    """Remove rows, issues, books and counters of the demo's apps; return how many events there were.

    Waits for polls under way and keeps others out, so that nothing is counted that is being removed. Raises
    psycopg.Error where this user may not.
    """
    apps = {"apps": list(APPS)}
    events = 0
    with connection.transaction():
        connection.execute("SELECT FROM monitoring.cursor FOR UPDATE")
        connection.execute(f"DELETE FROM monitoring.audit WHERE object IN ({_ISSUES})", apps)
        for table in _BY_APP:
            done = connection.execute(f"DELETE FROM monitoring.{table} WHERE app = ANY(%(apps)s)".encode(), apps)
            events += done.rowcount if table in {kind.name for kind in EVENTS} else 0
        connection.execute("DELETE FROM monitoring.error_issue WHERE app = ANY(%(apps)s)", apps)
        for table in ("rollup", "alert_notification"):
            connection.execute(f"DELETE FROM monitoring.{table} WHERE labels->>'app' = ANY(%(apps)s)".encode(), apps)
    return events
