"""Draw the dashboard that people open first."""

from grafana.boards import alert_panels
from grafana.design import links, panels, targets, variables
from grafana.design.layout import Board, Line
from grafana.queries import health, shared

FEW = " Unknown below the minimum of events."
INDICATORS = (
    ("Response time", "http_latency_seconds", "http",
     "Mean response time per app over 5 minutes; the worst app counts." + FEW),
    ("HTTP errors", "http_error_ratio", "http",
     "Share of 5xx answers per app over 5 minutes; the worst app counts." + FEW),
    ("API success", "api_success_ratio", "apis",
     "Share of successful calls per API over 5 minutes; the worst counts." + FEW),
    ("Scraping", "scraping_failure_ratio", "scraping",
     "Share of failed runs per scraper over 5 minutes; the worst counts." + FEW),
)  # fmt: skip


def _tiles() -> Line:
    overall = panels.health_tile(
        "Platform",
        "The worst of all indicators and components. Unknown where nothing has enough traffic to be judged.",
        targets.now(health.OVERALL, "Platform"),
    )
    worst = panels.health_tile(
        "Components",
        "PostgreSQL, Redis and MinIO as probed; the worst counts.",
        targets.now(health.WORST_COMPONENT, "Components"),
        links.data_link("Components", links.to("components")),
    )
    tiles = [
        panels.health_tile(
            title, text, targets.now(health.indicator(name), title), links.data_link(title, links.keeping(board, "app"))
        )
        for title, name, board, text in INDICATORS
    ]
    return Line(4, [(one, 4) for one in (overall, *tiles, worst)])


def _components() -> Line:
    text = "Down is critical, degraded is a warning, grey was not probed. A gap means that the exporter was not there."
    states = panels.health_timeline(
        "Components over 24 hours", text, [targets.series(health.COMPONENTS, "{{component}} {{name}}")]
    ).time_from("24h")
    return Line(7, [(states, 24)])


BOARD = Board(
    "overview",
    "Platform overview",
    "Is the platform healthy, and if not, where?",
    [
        _tiles(),
        Line(8, [(alert_panels.by_severity(), 6), (alert_panels.firing(), 18)]),
        _components(),
    ],
    (variables.labels("app", "App", shared.APPS),),
)
