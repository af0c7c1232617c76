"""Draw calls to outside APIs: success, reasons, quotas, costs."""

from grafana.boards import apis_usage
from grafana.design import colors, links, panels, targets, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import apis, shared

# SQL is asked for APIs as well: All is the list of them.
VARIABLES = (
    variables.labels("app", "App", "platform_api_calls_total"),
    variables.labels("api", "API", 'platform_api_calls_total{app=~"$app"}', listed=True),
)
EACH = "{{app}} {{api}}"
FEW = " No line below the minimum of events."


def _tiles() -> Line:
    judged = "The worst of the chosen APIs, as the alerts judge it. Unknown below the minimum of events."
    link = links.data_link("Alerts", links.to("alerts"))
    states = [
        panels.health_tile(title, f"{text} {judged}", targets.now(apis.state(indicator)), link)
        for title, text, indicator in (
            ("Success", "Share of calls that succeed.", "api_success_ratio"),
            ("Bans", "Share of calls that are forbidden (403).", "api_forbidden_ratio"),
            ("Rate limits", "Share of calls that exceed a rate limit (429).", "api_rate_limited_ratio"),
            ("Quotas", "How long what is left of the quota lasts.", "api_quota_seconds"),
        )
    ]
    rate = panels.number_tile("Calls", "Calls per second.", "reqps", targets.series(apis.CHOSEN_RATE, "Calls"))
    next_gone = panels.number_tile(
        "Next quota used up",
        "Until the first quota is used up, at the pace of the last quarter of an hour. Nothing where each window is "
        "renewed before.",
        "s",
        targets.series(apis.NEXT_QUOTA_GONE, "Used up in"),
    ).no_value("Not in sight")
    cost = panels.number_tile(
        "Cost",
        "What calls in the chosen range cost, in the account's currency.",
        "short",
        targets.now(apis.CHOSEN_COST, "Cost"),
    ).decimals(2)
    return Line(4, [*((tile, 3) for tile in states), *((tile, 4) for tile in (rate, next_gone, cost))])


def _success() -> Line:
    timeline = panels.health_timeline(
        "State of each API",
        "The worst of success, bans, rate limits and quota. Grey is too few calls to be judged.",
        [targets.series(apis.STATE, EACH)],
    )
    ratio = panels.lines(
        "Success ratio",
        "Share of successful calls over 5 minutes; lower is worse." + FEW,
        "percentunit",
        [targets.series(apis.SUCCESS, EACH), targets.threshold_lines(shared.api_threshold("api_success_ratio"))],
    )
    return Line(9, [(timeline, 10), (ratio.max(1), 14)])


def _golden() -> Line:
    rate = panels.lines("Call rate", "Calls per second.", "reqps", [targets.series(apis.RATE, EACH)], stacked=True)
    failures = panels.bars(
        "Failures by reason",
        "Failed calls per second. Rate limited is 429, forbidden 403, blocked a page that only says so.",
        "reqps",
        [targets.series(apis.FAILURES, "{{reason}}")],
        named=colors.REASONS,
    )
    durations = panels.lines(
        "Duration",
        "How long half, 95 % and 99 % of the chosen APIs' calls take at most, and the mean.",
        "s",
        [
            *(targets.series(expression, name) for name, expression in apis.QUANTILES.items()),
            targets.series(apis.MEAN, "mean"),
        ],
        named=colors.PERCENTILES,
    )
    return Line(9, [(rate, 8), (failures, 8), (durations, 8)])


def _reasons() -> Section:
    shares = panels.doughnut(
        "Reasons",
        "Failed calls in the chosen range, by why.",
        "short",
        targets.now(apis.REASONS, "{{reason}}"),
        named=colors.REASONS,
    )
    bans = panels.lines(
        "Forbidden (403)",
        "Share of calls that were forbidden or blocked over 5 minutes." + FEW,
        "percentunit",
        [
            targets.series(apis.FORBIDDEN, EACH),
            targets.threshold_lines(shared.api_threshold("api_forbidden_ratio", lower_is_worse=False)),
        ],
    )
    limits = panels.lines(
        "Rate limited (429)",
        "Share of calls that exceeded a rate limit over 5 minutes." + FEW,
        "percentunit",
        [
            targets.series(apis.RATE_LIMITED, EACH),
            targets.threshold_lines(shared.api_threshold("api_rate_limited_ratio", lower_is_worse=False)),
        ],
    )
    timeouts = panels.lines(
        "Timed out", "Share of calls that timed out.", "percentunit", [targets.series(apis.TIMEOUTS, EACH)]
    )
    return Section("Why calls fail", [Line(9, [(panel, 6) for panel in (shares, bans, limits, timeouts)])])


def _latency() -> Section:
    heatmap = panels.heatmap(
        "Durations", "How many calls per second took how long.", "s", targets.buckets(apis.BUCKETS)
    )
    p95 = panels.lines(
        "p95 per API", "How long 95 % of calls take at most, over 5 minutes.", "s", [targets.series(apis.P95, EACH)]
    )
    slowest = panels.ranking("Slowest APIs", "Mean time in the range.", "s", targets.now(apis.SLOWEST, EACH))
    return Section("Latency", [Line(9, [(heatmap, 9), (p95, 9), (slowest.decimals(2), 6)])], collapsed=True)


BOARD = Board(
    "apis",
    "Platform outgoing APIs",
    "Do the APIs we depend on answer, how fast, and how much of their quota is left?",
    [_tiles(), _success(), _golden(), _reasons(), *apis_usage.sections(), _latency(), apis_usage.rows()],
    VARIABLES,
    buttons=[("scraping", "Scraping"), ("alerts", "Alerts"), ("errors", "Errors")],
)
