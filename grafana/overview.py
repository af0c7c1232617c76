"""Draw the dashboard that people open first."""

from grafana import queries
from grafana.alert_panels import alert_annotation, firing_alerts, firing_by_severity
from grafana.design import (
    PROMETHEUS,
    UP_DOWN,
    Json,
    dashboard,
    laid_out,
    lines,
    panel,
    row,
    target,
    threshold_lines,
    tile,
    timeline,
)


def overview() -> Json:
    """Return the dashboard platform-overview."""
    heading = [(one, 24) for one in map(row, ("Health", "HTTP", "Outgoing APIs", "Scraping", "Monitoring itself"))]
    rows = [
        (1, heading[0:1]),
        (4, _tiles()),
        (8, [(firing_by_severity(), 6), (firing_alerts(), 18)]),
        (7, [(_components(), 14), (_probes(), 10)]),
        (1, heading[1:2]),
        (9, [(one, 8) for one in _http()]),
        (1, heading[2:3]),
        (9, [(one, 8) for one in _api()]),
        (1, heading[3:4]),
        (9, [(one, 8) for one in _scraping()]),
        (8, [(one, 12) for one in _work()]),
        (1, heading[4:5]),
        (8, [(one, 8) for one in _sources()]),
        (8, [(one, 8) for one in _losses()]),
    ]
    return dashboard(
        "platform-overview",
        "Platform overview",
        "Is the platform healthy, and if not, where?",
        laid_out(rows),
        templating={"list": [_app_variable()]},
        annotations={"list": [alert_annotation()]},
    )


def _app_variable() -> Json:
    return {
        "type": "query",
        "name": "app",
        "label": "App",
        "datasource": PROMETHEUS,
        "definition": queries.APPS,
        "query": {"qryType": 5, "query": queries.APPS, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "refresh": 2,
        "sort": 1,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "options": [],
        "regex": "",
        "hide": 0,
        "skipUrlSync": False,
    }


def _tiles() -> list[tuple[Json, int]]:
    overall = tile(
        "Platform",
        "The worst of all indicators and components. Unknown where nothing has enough traffic to be judged.",
        queries.OVERALL_HEALTH,
    )
    named = [
        ("Response time", "http_latency_seconds", "Mean response time per app over 5 minutes; the worst app counts."),
        ("HTTP errors", "http_error_ratio", "Share of 5xx answers per app over 5 minutes; the worst app counts."),
        ("API success", "api_success_ratio", "Share of successful calls per API over 5 minutes; the worst counts."),
        ("Scraping", "scraping_failure_ratio", "Share of failed runs per scraper over 5 minutes; the worst counts."),
    ]
    few = " Unknown below the minimum of events."
    indicators = [(tile(title, text + few, queries.indicator_health(name)), 4) for title, name, text in named]
    components = tile("Components", "PostgreSQL, Redis and MinIO as probed; the worst counts.", queries.WORST_COMPONENT)
    return [(overall, 4), *indicators, (components, 4)]


def _components() -> Json:
    text = "Down is critical, degraded is a warning, grey was not probed. A gap means that the exporter was not there."
    return timeline("Components", text, queries.COMPONENT_HEALTH, "{{component}} {{name}}")


def _probes() -> Json:
    text = "How long the exporter's probe of each component took."
    return lines("Probe duration", text, "s", [target(queries.PROBE_SECONDS, "{{component}} {{name}}")])


def _http() -> list[Json]:
    return [
        lines("Request rate", "Requests served per second and app.", "reqps", [target(queries.HTTP_RATE, "{{app}}")]),
        lines(
            "Error ratio",
            "Share of 5xx answers over 5 minutes. No line below the minimum of events.",
            "percentunit",
            [target(queries.HTTP_ERROR_RATIO, "{{app}}"), threshold_lines(queries.threshold("http_error_ratio"))],
        ),
        lines(
            "Response time",
            "Mean over 5 minutes, which the alerts judge, and the 95th percentile.",
            "s",
            [
                target(queries.HTTP_MEAN, "{{app}} mean"),
                target(queries.HTTP_P95, "{{app}} p95"),
                threshold_lines(queries.threshold("http_latency_seconds")),
            ],
        ),
    ]


def _api() -> list[Json]:
    return [
        lines(
            "Success ratio by API",
            "Share of successful calls over 5 minutes; lower is worse. No line below the minimum of events.",
            "percentunit",
            [target(queries.API_SUCCESS, "{{app}} {{api}}"), threshold_lines(queries.threshold("api_success_ratio"))],
            maximum=1,
        ),
        lines("Calls by API", "Calls per second.", "reqps", [target(queries.API_RATE, "{{app}} {{api}}")]),
        lines(
            "Failures by reason",
            "Failed calls per second, by API and reason.",
            "reqps",
            [target(queries.API_FAILURES, "{{app}} {{api}} {{reason}}")],
            stacked=True,
        ),
    ]


def _scraping() -> list[Json]:
    return [
        lines(
            "Runs by scraper",
            "Finished runs per minute.",
            "cpm",
            [target(queries.SCRAPING_RUNS, "{{app}} {{scraper}}")],
        ),
        lines(
            "Failure ratio by scraper",
            "Share of failed runs over 5 minutes. No line below the minimum of events.",
            "percentunit",
            [
                target(queries.SCRAPING_FAILURES, "{{app}} {{scraper}}"),
                threshold_lines(queries.threshold("scraping_failure_ratio")),
            ],
            maximum=1,
        ),
        lines(
            "Items by scraper",
            "Items processed per minute.",
            "cpm",
            [target(queries.SCRAPING_ITEMS, "{{app}} {{scraper}}")],
        ),
    ]


def _work() -> list[Json]:
    return [
        lines(
            "Live jobs",
            "Scraping jobs by status.",
            "short",
            [target(queries.SCRAPING_JOBS, "{{app}} {{scraper}} {{status}}")],
            stacked=True,
        ),
        lines(
            "Queue length", "Entries waiting in each queue.", "short", [target(queries.QUEUES, "{{name}} {{queue}}")]
        ),
    ]


def _sources() -> list[Json]:
    up = panel(
        "stat",
        "Sources",
        "Whether the last poll of each source succeeded.",
        "short",
        [target(queries.SOURCE_UP, "{{source}}", instant=True)],
        no_value="Unknown",
        defaults={"mappings": UP_DOWN, "color": {"mode": "thresholds"}},
        options={
            "colorMode": "background",
            "graphMode": "none",
            "textMode": "value_and_name",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        },
    )
    lag = lines(
        "Source lag",
        "How long ago each source was last read completely.",
        "s",
        [target(queries.SOURCE_LAG, "{{source}}"), threshold_lines(queries.threshold("source_lag_seconds"))],
    )
    events = lines(
        "Events read", "Events counted per second and source.", "cps", [target(queries.EVENTS, "{{source}}")]
    )
    return [up, lag, events]


def _losses() -> list[Json]:
    return [
        lines(
            "Label sets folded",
            "Events counted under `_other_` in the last hour, because a metric had reached its limit of series.",
            "short",
            [target(queries.FOLDED, "{{source}} {{metric}}")],
        ),
        lines(
            "Rows rejected",
            "Malformed rows left out in the last hour, by reason.",
            "short",
            [target(queries.REJECTED, "{{source}} {{reason}}")],
        ),
        lines(
            "Scrape duration",
            "How long Prometheus took to scrape each replica of the exporter; it gives up at 4 s.",
            "s",
            [target(queries.SCRAPE_SECONDS, "{{instance}}")],
        ),
    ]
