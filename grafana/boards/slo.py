"""The dashboard of service level objectives: targets, results, burn rates, and what uses up each error budget."""

from exporter.indicators.slo import PAIRS
from grafana.design import colors, columns, links, panels, tables, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import slo

VARIABLES = (
    variables.labels("app", "App", "app_slo:platform_slo_events:sum"),
    variables.labels("slo", "Objective", "platform_objective"),
)
# Those of a table; the others have charts.
PAGING = PAIRS[:2]
EACH = "{{app}} {{slo}}"
NONE_IS_GOOD = ((None, colors.GREEN), (1, colors.RED))
BURNS = {"availability": colors.RED, "latency": colors.YELLOW, "both": colors.ORANGE}


def _tiles() -> Line:
    least = panels.number_tile(
        "Lowest budget",
        "The smallest remaining share of all error budgets of 30 days. A used-up budget is a missed objective.",
        {"Remaining": slo.LEAST_LEFT},
        "percentunit",
        bounds=colors.LEFT,
    ).mappings(colors.USED_UP)
    missed = panels.number_tile(
        "Missed",
        "Over 30 days: the error budget is used up.",
        {"Missed": slo.OVERDRAWN},
        bounds=NONE_IS_GOOD,
    )
    fastest = panels.number_tile(
        "Fastest burn",
        "The highest rate of the last hour. 1 uses up the budget in 30 days.",
        {"Burn rate": slo.FASTEST},
    ).decimals(1)
    next_used_up = panels.number_tile(
        "Next budget used up",
        "Time until the first budget is used up at the burn rate of the last 6 hours, where that is above 1.",
        {"Used up in": slo.NEXT_USED_UP},
        "s",
    ).no_value(panels.NONE)
    burning = panels.number_tile(
        "Burning",
        "Firing alerts on error budgets.",
        {"Firing": slo.BURNING},
        bounds=NONE_IS_GOOD,
        link=("Alerts", links.to("alerts", alertname="PlatformErrorBudgetBurn")),
    )
    return Line(4, [least, missed, fastest, next_used_up, burning], (5, 4, 5, 6, 4))


def _objectives() -> Line:
    asked = {
        "Objective": slo.OBJECTIVE,
        "Attained": slo.ATTAINED,
        "Budget left": slo.REMAINING,
        "Used up in": slo.USED_UP_IN,
        "Still allowed": slo.STILL_ALLOWED,
    }
    only = links.to("slo", app="${__data.fields.app}", slo="${__data.fields.slo}")
    burns = {f"Burn {pair.long}": slo.burn(pair.long) for pair in PAGING}
    table = tables.measured(
        "Objectives over 30 days",
        "Target, result and burn rates: 1 uses up the budget in exactly 30 days. Colours are those of alerts.",
        asked | burns,
        [
            "app",
            tables.link("slo", "Only this", only),
            tables.column("slo", width=130),
            *(tables.column(name, None, 90, "percentunit") for name in ("Objective", "Attained")),
            *(_remaining(), ("Still allowed", {"decimals": 0}), tables.column("Used up in", unit="s")),
            *(
                tables.bounds(f"Burn {pair.long}", (None, "text"), (pair.factor, colors.SEVERITIES[pair.severity]))
                for pair in PAGING
            ),
        ],
    ).min_width(80)
    table.no_value("No objective with enough events found").decimals(2)
    return Line(8, [tables.sorted_by(table, "Budget left", descending=False)])


def _remaining() -> tables.Column:
    name, found = tables.gauge("Budget left", *colors.LEFT)
    return name, found | {"mappings": colors.USED_UP, "custom.width": 120}


def _courses() -> Line:
    left = panels.lines(
        "Remaining budget",
        "Remaining share of each error budget of 30 days. At 0 it is used up: the objective is missed.",
        {EACH: slo.REMAINING},
        "percentunit",
    ).max(1)
    attained = panels.lines(
        "Attained",
        "Share of good events over the last 30 days, and the objective (dashed).",
        {EACH: slo.ATTAINED, f"{EACH} objective": slo.OBJECTIVE},
        "percentunit",
        dashed="objective",
        lowest=None,
    )
    return Line(9, [left, attained.max(1).decimals(3)])


def _burn_rates() -> Section:
    charts = []
    for pair in PAIRS:
        shade = {"mode": "fixed", "fixedColor": colors.SEVERITIES[pair.severity]}
        chart = panels.lines(
            f"Burn over {pair.long} and {pair.short}",
            f"{pair.severity.capitalize()} where both are above {pair.factor:g}; the short one is dotted.",
            {
                EACH: slo.burn(pair.long),
                f"{EACH} {pair.short}": slo.burn(pair.short),
                f"{pair.severity} above {pair.factor:g}": f"vector({pair.factor:g})",
            },
        )
        chart.override_by_query("B", colors.values(**colors.DASHED | {"custom__lineStyle": {"fill": "dot"}}))
        chart.override_by_query("C", colors.values(color=shade, **colors.DASHED))
        charts.append(chart)
    return Section(
        "Burn rates in the windows of the alerts", [Line(8, charts[:2]), Line(8, charts[2:4]), Line(8, charts[4:])]
    )


def _causes() -> Section:
    to_route = ("The route", links.to("http", app="${__field.labels.app}", route="${__field.labels.route}"))
    to_scraper = ("The scraper", links.to("scraping", app="${__field.labels.app}", scraper="${__field.labels.scraper}"))
    route, reason = "{{app}} {{route}}", "{{app}} {{scraper}} {{reason}}"
    rankings = [
        panels.ranking(title, text + " in the chosen range.", {legend: query}, link=link)
        for title, text, legend, query, link in (
            ("Availability: failing routes", "Most 5xx responses", route, slo.FAILING_ROUTES, to_route),
            ("Latency: slow routes", "Most requests over 0.5 s", route, slo.SLOW_ROUTES, to_route),
            ("Scraping: failing scrapers", "Most failed runs", reason, slo.FAILING_SCRAPERS, to_scraper),
        )
    ]
    bad = panels.lines("Bad events", "Events of 5 minutes that use up a budget.", {EACH: slo.BAD_NOW})
    events = panels.lines("Events", "All events of 5 minutes that have an objective.", {EACH: slo.EVENTS_NOW})
    return Section("What uses up the budgets", [Line(9, rankings), Line(8, [bad, events])])


def _requests() -> Section:
    bounded = " At most the last 24 hours of the range."
    releases = tables.table(
        "By release",
        "Share of each release's requests that failed (5xx), and that took longer than 0.5 s." + bounded,
        slo.BURNT_BY_RELEASE,
        [
            *(
                "app",
                "release",
                "requests",
                tables.gauge("failed", *colors.bands("http_error_ratio")),
                tables.gauge("slow", *colors.bands("http_slow_ratio")),
            ),
            *(tables.column(name, width=140, unit=columns.AGO) for name in ("first", "last")),
        ],
    )
    to_errors = links.to("errors", app="${__data.fields.app}", endpoint="${__data.fields.route}")
    requests = tables.table(
        "Newest requests that use up a budget",
        "Requests that failed or took longer than 0.5 s, and the budget that they use up." + bounded,
        slo.BURNT_BY_REQUESTS,
        [
            *(
                tables.column("at", None, 150, columns.CLOCK),
                tables.column("app", width=105),
                tables.link("route", "Errors of this endpoint", to_errors),
            ),
            *("method", "status"),
            *(
                tables.column("seconds", "Duration", 85, "s"),
                tables.column("release", width=105),
                tables.words("burns", BURNS),
            ),
            tables.column("burns", "Budget"),
        ],
    )
    return Section("Releases and requests that use up the budgets", [Line(8, [releases]), Line(12, [requests])], True)


BOARD = Board(
    "slo",
    "How much of each error budget remains, and how fast is it used up?",
    [_tiles(), _objectives(), _courses(), _burn_rates(), _causes(), _requests()],
    VARIABLES,
)
