"""What may explain an alert, as sentences of its notification: the worst part, the newest release, the newest error.

Each is a template of Prometheus that says nothing where there is nothing to say.
https://prometheus.io/docs/prometheus/latest/configuration/template_reference/
"""

from exporter.indicators.promql import replicas


def clue(query: str, labels: tuple[str, ...], sentence: str) -> str:
    """Return a sentence on the first result of a query, whose `%q` are these labels of the alert."""
    values = "".join(f" $labels.{label}" for label in labels)
    return f"\n{{{{- with query (printf `{query}`{values}) }}}} {sentence}{{{{ end }}}}"


RELEASE = clue(
    "time() - topk(1, max by (release) (platform_release_first_seen_timestamp_seconds{app=%q})) < 3600",
    ("app",),
    'Release {{ . | first | label "release" }} was first seen {{ . | first | value | humanizeDuration }} before.',
)
NEW_ERROR = clue(
    'topk(1, max by (error_type) (platform_error_issue_changed_timestamp_seconds{app=%q,change="created"}) > time() - 1800)',
    ("app",),
    'A new kind of error is {{ . | first | label "error_type" }}.',
)
FAILING_ROUTE = clue(
    "topk(1, app_route:platform_http_request_errors:increase5m{app=%q} > 0)",
    ("app",),
    'Most often fails {{ . | first | label "route" }}.',
)
SLOWEST_ROUTE = clue(
    "topk(1, increase(app_route:platform_http_request_duration_seconds:sum{app=%q}[5m]) "
    "/ (increase(app_route:platform_http_request_durations:sum{app=%q}[5m]) > 0))",
    ("app", "app"),
    'The slowest route is {{ . | first | label "route" }}: {{ . | first | value | humanizeDuration }} on average.',
)


def reason(
    failures: str, labels: tuple[str, ...], by: str = "reason", said: str = "Most frequent reason:", where: str = ""
) -> str:
    """Return a sentence on the most frequent reason of failures in 5 minutes; `where` are further matchers."""
    given = ",".join((*(f"{label}=%q" for label in labels), *([where] if where else ())))
    query = f"topk(1, sum by ({by}) ({replicas(f'increase({failures}{{{given}}}[5m])')}) > 0)"
    return clue(query, labels, f'{said} {{{{ . | first | label "{by}" }}}}.')
