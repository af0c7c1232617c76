"""Believable rows of an event store, many or few, for the SQL of dashboards."""

from typing import Any

import psycopg

from exporter.database import schema
from platform_sdk import events

Connection = psycopg.Connection[tuple[Any, ...]]

ISSUES = 300
JITTER_ROWS = 1000
"""By how many rows one may stand behind others of its time."""

# Shares of all rows by kind, and the columns made of `i` (a number of its own per row) beside `at` and `app`.
KINDS: dict[str, tuple[float, dict[str, str]]] = {
    "http_request": (0.70, {
        "release": "(ARRAY['1.4.0', '1.5.0'])[1 + i % 2]",
        "route": "coalesce((ARRAY['/', '/search', '/items/{id}'])[1 + i / 8 % 6], '/items/{id}/' || i % 40)",
        "method": "(ARRAY['GET', 'GET', 'POST'])[1 + i % 3]",
        "status": "(ARRAY[200, 200, 200, 200, 302, 404, 429, 500])[1 + i % 8]",
        "duration_seconds": "0.05 + random() * random()", "response_bytes": "(random() * 50000)::bigint",
        "user_id": "'user' || i % 2000", "role": "(ARRAY['reader', 'editor', 'admin'])[1 + i % 3]",
        "session_id": "'session' || i % 5000", "ip": "('203.0.113.' || i % 250)::inet",
        "user_agent": "'Mozilla/5.0 (X11; Linux x86_64) Firefox/' || 100 + i % 30",
        "consumer": "CASE WHEN i % 4 = 0 THEN 'partner-' || i % 9 END", "weight": "CASE WHEN i % 8 = 1 THEN 10 END",
    }),
    "api_call": (0.08, {
        "api": "(ARRAY['arxiv', 'crossref', 'openai'])[1 + i % 3]", "endpoint": "'/v1/works'", "method": "'GET'",
        "status": "(ARRAY[200, 200, 200, 429, 403])[1 + i % 5]",
        "outcome": "CASE WHEN i % 5 < 3 THEN 'success' ELSE 'failure' END",
        "reason": "(ARRAY[NULL, NULL, NULL, 'rate_limited', 'forbidden'])[1 + i % 5]",
        "duration_seconds": "random()", "cost": "0.002", "rate_limit_remaining": "5000 - i % 5000",
        "model": "CASE WHEN i % 3 = 2 THEN 'gpt-4o' END", "input_tokens": "CASE WHEN i % 3 = 2 THEN i % 4000 END",
    }),
    "scraping_run": (0.02, {
        "job_id": "'job' || i", "scraper": "(ARRAY['papers', 'authors', 'venues'])[1 + i % 3]",
        "site": "(ARRAY['example.org', 'example.net'])[1 + i % 2]",
        "outcome": "CASE WHEN i % 7 = 0 THEN 'failure' ELSE 'success' END",
        "reason": "CASE WHEN i % 7 = 0 THEN (ARRAY['timeout', 'forbidden', 'blocked', 'parse'])[1 + i / 7 % 4] END",
        "duration_seconds": "random() * 300",
        "items_processed": "i % 500", "items_failed": "i % 5",
    }),
    "user_activity": (0.10, {
        "activity": "(ARRAY['login', 'logout', 'search', 'export', 'view'])[1 + i % 5]",
        "user_id": "'user' || i % 2000",
        "role": "(ARRAY['reader', 'editor', 'admin'])[1 + i % 3]", "session_id": "'session' || i % 5000",
        "module": "(ARRAY['library', 'writer', 'search'])[1 + i % 3]", "feature": "'feature' || i % 12",
        "success": "i % 20 > 0", "duration_seconds": "random()", "ip": "('203.0.113.' || i % 250)::inet",
        "user_agent": "'Mozilla/5.0 (X11; Linux x86_64) Firefox/' || 100 + i % 30",
    }),
    "error": (0.02, {
        "severity": "(ARRAY['low', 'medium', 'high', 'critical'])[1 + i % 4]",
        "error_type": "(ARRAY['ValueError', 'TimeoutError', 'KeyError'])[1 + i % 3]",
        "message": "'could not read item ' || i % 300", "fingerprint": f"'fingerprint' || i % {ISSUES}",
        "stack_trace": "repeat('  File \"shop/items.py\", line 12, in read' || chr(10), 20)",
        "endpoint": "'/items/{id}/' || i % 40", "user_id": "'user' || i % 2000", "release": "'1.5.0'",
        "ip": "('203.0.113.' || i % 250)::inet",
    }),
    "sample": (0.08, {
        "name": "(ARRAY['cache_hits', 'index_size'])[1 + i % 2]", "kind": "(ARRAY['counter', 'gauge'])[1 + i % 2]",
        "value": "random()", "unit": "'short'",
    }),
}  # fmt: skip
APPS = "(ARRAY['shop', 'library'])[1 + i % 2]"
STATE = (
    f"""INSERT INTO monitoring.error_issue (app, fingerprint, status, severity, error_type, message, endpoint,
        first_seen, last_seen, events, regressions, first_release, last_release)
    SELECT {APPS}, 'fingerprint' || i, (ARRAY['open', 'open', 'resolved', 'ignored'])[1 + i % 4],
        (ARRAY['low', 'medium', 'high', 'critical'])[1 + i % 4], 'ValueError', 'could not read item ' || i,
        '/items/{{id}}/' || i % 40, now() - interval '9 days', now() - i * interval '1 minute', 10 + i, i % 3,
        '1.4.0', '1.5.0'
    FROM generate_series(0, {ISSUES - 1}) i""",
    f"""INSERT INTO monitoring.scraping_job (app, job_id, scraper, site, status, progress, total_items, completed_items,
        created_at, started_at, heartbeat_at, progressed_at)
    SELECT {APPS}, 'job' || i, (ARRAY['papers', 'authors'])[1 + i % 2], 'example.org',
        (ARRAY['running', 'pending', 'completed', 'failed'])[1 + i % 4], i % 100, 200, 2 * (i % 100),
        now() - interval '1 hour', now() - interval '50 minutes', now() - (i % 9) * interval '1 minute',
        now() - (i % 17) * interval '1 minute'
    FROM generate_series(0, 199) i""",
    f"""INSERT INTO monitoring.sdk_ledger (app, process, produced, stored, spooled, dropped, started_at, updated_at)
    SELECT {APPS}, 'host-' || i, 10000 + i, 9990 + i - i % 3, 8,
        CASE WHEN i % 3 > 0 THEN jsonb_build_object('queue_full', i % 3) ELSE '{{}}' END,
        now() - interval '2 hours', now() - i * interval '9 s'
    FROM generate_series(0, 49) i""",
    """INSERT INTO monitoring.alert_notification (group_key, fingerprint, status, starts_at, received_at, ends_at,
        receiver, labels, annotations)
    SELECT 'group', 'alert' || i / 2 % 40, CASE WHEN i % 2 = 0 THEN 'firing' ELSE 'resolved' END,
        now() - (i / 2) * interval '7 minutes', now() - (i / 2) * interval '7 minutes' + i % 2 * interval '5 minutes',
        CASE WHEN i % 2 = 1 THEN now() - (i / 2) * interval '7 minutes' + interval '5 minutes' END,
        'high', jsonb_build_object('alertname', 'PlatformHttpErrorsHigh', 'severity', 'high', 'app', 'shop'),
        jsonb_build_object('summary', 'shop fails')
    FROM generate_series(0, 999) i""",
    """INSERT INTO monitoring.manual_alert (id, alertname, severity, app, annotations, created_by, created_at,
        resolved_by, resolved_at)
    SELECT 'manual' || i, 'PlatformManualAlert', (ARRAY['low', 'medium', 'high', 'critical'])[1 + i % 4], 'shop',
        '{"summary": "the disk is loud"}', 'ann', now() - i * interval '1 hour', CASE WHEN i > 2 THEN 'bob' END,
        CASE WHEN i > 2 THEN now() - i * interval '50 minutes' END
    FROM generate_series(0, 19) i""",
    f"""INSERT INTO monitoring.audit (at, actor, action, object, details)
    SELECT now() - i * interval '10 minutes', (ARRAY['admin', 'exporter'])[1 + i / 2 % 2],
        (ARRAY['error.resolve', 'error.regression'])[1 + i / 2 % 2],
        'error_issue/' || left(md5({APPS} || E'\\n' || 'fingerprint' || i), 16),
        jsonb_build_object('app', {APPS}, 'fingerprint', 'fingerprint' || i,
            'from', (ARRAY['open', 'resolved'])[1 + i / 2 % 2], 'to', (ARRAY['resolved', 'open'])[1 + i / 2 % 2],
            'release', '1.5.0', 'via', 'grafana')
    FROM generate_series(0, {ISSUES - 1}) i""",
)  # fmt: skip


def load(connection: Connection, rows: int, *, hours: float | None = None) -> None:
    """Create the schema and insert so many rows, spread evenly over their kinds' retention, or over the last hours.

    10 million rows take some minutes.
    """
    schema.apply(connection)
    for kind, (share, columns) in KINDS.items():
        days = events.KINDS[kind].retention_days - 1
        span = f"{hours} hours" if hours else f"{days} days"
        for day in range(days + 1 if hours is None else 2):
            connection.execute(f"SELECT monitoring.ensure_partition('{kind}', (now() - interval '{day} days')::date)")
        names, values = ", ".join(columns), ", ".join(columns.values())
        count = max(1, round(rows * share))
        # Rows come in about the order of their times, as from applications: indexes by blocks of a table rely on it.
        age = f"(1 - (i - 1 + {JITTER_ROWS} * random()) / ({count} + {JITTER_ROWS})) * interval '{span}'"
        connection.execute(
            f"INSERT INTO monitoring.{kind} (at, app, {names}) "
            f"SELECT now() - {age}, {APPS}, {values} FROM generate_series(1, {count}) i"
        )
    for statement in STATE:
        connection.execute(statement)
