"""Draw what error budgets are spent on: routes, scrapers, releases and single requests."""

from grafana.design import colors, links, panels, tables, targets
from grafana.design.layout import Line, Section
from grafana.queries import slo

EACH = "{{app}} {{slo}}"
BURNS = {"availability": colors.RED, "latency": colors.YELLOW, "both": colors.ORANGE}
ROUTE = links.to("http", app="${__field.labels.app}", route="${__field.labels.route}")
SCRAPER = links.to("scraping", app="${__field.labels.app}", scraper="${__field.labels.scraper}")


def sections() -> list[Section]:
    """Return the sections on what burns the budgets."""
    return [
        Section("What burns them", [_first(), _courses()]),
        Section("Releases and requests that burn them", [_rows()], collapsed=True),
    ]


def _first() -> Line:
    failing = panels.ranking(
        "Availability: failing routes",
        "Routes with the most 5xx answers in the chosen range.",
        "short",
        targets.now(slo.FAILING_ROUTES, "{{app}} {{route}}"),
    ).data_links([links.data_link("The route", ROUTE)])
    slow = panels.ranking(
        "Latency: slow routes",
        "Routes with the most requests that took longer than 0.5 s, in the chosen range.",
        "short",
        targets.now(slo.SLOW_ROUTES, "{{app}} {{route}}"),
    ).data_links([links.data_link("The route", ROUTE)])
    scrapers = panels.ranking(
        "Scraping: failing scrapers",
        "Scrapers with the most failed runs in the chosen range, by reason.",
        "short",
        targets.now(slo.FAILING_SCRAPERS, "{{app}} {{scraper}} {{reason}}"),
    ).data_links([links.data_link("The scraper", SCRAPER)])
    return Line(9, [(ranking.decimals(0), 8) for ranking in (failing, slow, scrapers)])


def _courses() -> Line:
    bad = panels.lines(
        "Bad events", "Events of 5 minutes that burn a budget.", "short", [targets.series(slo.BAD_NOW, EACH)]
    )
    events = panels.lines(
        "Events", "All events of 5 minutes that an objective is about.", "short", [targets.series(slo.EVENTS_NOW, EACH)]
    )
    return Line(8, [(bad, 12), (events, 12)])


def _rows() -> Line:
    bounded = " From the rows, of the last 24 hours of the range at most."
    releases = tables.table(
        "By release",
        "Shares of each release's requests that failed (5xx) and that took longer than 0.5 s." + bounded,
        [targets.sql(slo.BURNT_BY_RELEASE)],
        [
            tables.gauge("failed", color=colors.RED),
            tables.gauge("slow", color=colors.YELLOW),
            *(tables.column(name, unit="dateTimeFromNow", width=130) for name in ("first", "last")),
        ],
        nothing="No request was served",
    )
    requests = tables.table(
        "Newest requests that burn a budget",
        "Requests that failed or took longer than 0.5 s, and which budget that burns." + bounded,
        [targets.sql(slo.BURNT_BY_REQUESTS)],
        [
            tables.column("at", unit="dateTimeAsIsoNoDateIfToday", title="At", width=150),
            tables.link(
                "route",
                "Errors of this endpoint",
                links.to("errors", app="${__data.fields.app}", endpoint="${__data.fields.route}"),
            ),
            tables.column("seconds", unit="s", title="Time", width=90),
            tables.words("burns", BURNS),
        ],
        nothing="No request burnt a budget",
    )
    return Line(12, [(releases, 10), (requests, 14)])
