"""The dashboard of external APIs: success, reasons of failures, quotas, costs, single calls."""

from grafana.design import colors, columns, links, panels, tables, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import apis

# SQL is asked for APIs as well: All is the list of them.
VARIABLES = (
    variables.labels("app", "App", "platform_api_calls_total"),
    variables.labels("api", "API", 'platform_api_calls_total{app=~"$app"}', listed=True),
)
EACH = "{{app}} {{api}}"
TO_API = tables.link("api", "Only this API", links.to("apis", app="${__data.fields.app}", api="${__data.fields.api}"))


def _tiles() -> Line:
    judged = "The worst of the chosen APIs, as alerts judge it. Unknown below the minimum of events."
    states = [
        panels.health_tile(title, f"{text} {judged}", apis.state(indicator), ("Alerts", links.to("alerts")))
        for title, text, indicator in (
            ("Success", "Share of calls that succeed.", "api_success_ratio"),
            ("Bans", "Share of calls that are forbidden (403).", "api_forbidden_ratio"),
            ("Rate limits", "Share of calls that exceed a rate limit (429).", "api_rate_limited_ratio"),
            ("Quotas", "How long the rest of the quota lasts.", "api_quota_seconds"),
        )
    ]
    rate = panels.trend_tile("Calls", "Calls per second.", {"Calls": apis.CHOSEN_RATE}, "reqps")
    next_used_up = panels.trend_tile(
        "Next quota used up",
        "Until the first one is used up, at the rate of the last 15 minutes. Empty where windows renew before that.",
        {"Used up in": apis.NEXT_QUOTA_GONE},
        "s",
    ).no_value("None in sight")
    cost = panels.number_tile(
        "Cost", "Of the calls in the range, in the account's currency.", {"Cost": apis.CHOSEN_COST}
    ).decimals(2)
    return Line(4, [*states, rate, next_used_up, cost], (3, 3, 3, 3, 4, 4, 4))


def _success() -> Line:
    timeline = panels.health_timeline(
        "State of each API", "The worst of its indicators. Grey means too few calls to judge.", {EACH: apis.STATE}
    )
    ratio = panels.judged(
        "Success ratio",
        "Share of calls over 5 minutes that succeeded; lower is worse.",
        {EACH: apis.SUCCESS},
        "api_success_ratio",
        by_api=True,
    ).max(1)
    return Line(9, [timeline, ratio], (10, 14))


def _golden() -> Line:
    rate = panels.lines("Call rate", "Calls per second.", {EACH: apis.RATE}, "reqps", stacked=True)
    failures = panels.bars(
        "Failures by reason",
        "Failed calls per second. Rate limited is 429, forbidden 403; blocked is a page that says so.",
        {"{{reason}}": apis.FAILURES},
        "reqps",
        named=colors.REASONS,
    )
    durations = panels.lines(
        "Duration",
        "The time that 50 %, 95 % and 99 % of calls to the chosen APIs take at most, and the mean.",
        apis.QUANTILES | {"mean": apis.MEAN},
        "s",
        named=colors.PERCENTILES,
    )
    return Line(9, [rate, failures, durations])


def _reasons() -> Section:
    shares = panels.doughnut(
        "Reasons", "Failed calls in the chosen range.", {"{{reason}}": apis.REASONS}, named=colors.REASONS
    )
    bans = panels.judged(
        "Forbidden (403)",
        "Share of calls over 5 minutes that were forbidden or blocked.",
        {EACH: apis.FORBIDDEN},
        "api_forbidden_ratio",
        by_api=True,
    )
    limits = panels.judged(
        "Rate limited (429)",
        "Share of calls over 5 minutes that exceeded a rate limit.",
        {EACH: apis.RATE_LIMITED},
        "api_rate_limited_ratio",
        by_api=True,
    )
    timeouts = panels.lines("Timeouts", "Share of calls that timed out.", {EACH: apis.TIMEOUTS}, "percentunit")
    return Section("Reasons of failures", [Line(9, [shares, bans, limits, timeouts])])


def _quotas() -> Section:
    quotas = tables.measured(
        "Quotas now",
        "What is left, as each provider last reported, and when it is used up at the rate of the last 15 minutes. "
        "Empty where the window renews before that, or where the provider does not report it.",
        {
            "State": apis.each(apis.QUOTA_STATE),
            "Calls left": apis.each(apis.QUOTA_LEFT),
            "Used per hour": apis.each(apis.QUOTA_USE),
            "Lasts for": apis.each(apis.QUOTA_SECONDS),
            "Used up at": apis.each(apis.QUOTA_GONE_AT),
            "Window ends at": apis.each(apis.QUOTA_RENEWED_AT),
        },
        [
            *("app", TO_API, tables.states("State", colors.HEALTH), tables.column("Lasts for", unit="s")),
            *(tables.column(name, unit=columns.CLOCK) for name in ("Used up at", "Window ends at")),
        ],
    ).no_value("No provider reports a quota")
    left = panels.lines("Calls left", "Calls left in each provider's window.", {EACH: apis.QUOTA_LEFT})
    lasts = panels.lines(
        "Time until a quota is used up",
        "Predicted; lower is worse. No line where the window renews before that.",
        {EACH: apis.QUOTA_SECONDS},
        "s",
        indicator="api_quota_seconds",
        by_api=True,
    )
    return Section("Remaining quotas", [Line(7, [tables.sorted_by(quotas, "State")]), Line(9, [left, lasts])])


def _usage() -> Section:
    providers = tables.measured(
        "All APIs",
        "Calls, share of successful ones, mean, p95 of the worst 5 minutes, and cost in the account's currency.",
        {
            "Calls": apis.each(apis.RANGE_CALLS),
            "Success": apis.each(apis.RANGE_SUCCESS),
            "Mean": apis.each(apis.RANGE_MEAN),
            "Worst p95": apis.each(apis.RANGE_WORST_P95),
            "Cost": apis.each(apis.COST),
            "Cost of the last day": apis.each(apis.COST_PER_DAY),
        },
        [
            *("app", TO_API, tables.gauge("Success", "green")),
            *(tables.column(name, unit="s") for name in ("Mean", "Worst p95")),
        ],
    ).decimals(2)
    shares = [
        panels.doughnut(title, text, {legend: query})
        for title, text, legend, query in (
            ("Calls by API", "Calls in the chosen range.", "{{api}}", apis.CALL_SHARES),
            ("Calls by app", "Calls in the chosen range.", "{{app}}", apis.APP_SHARES),
            ("Cost by API", "Cost of the calls in the chosen range.", "{{api}}", apis.COST_SHARES),
        )
    ]
    cost = panels.lines(
        "Cost per hour", "In the hour before, in the account's currency.", {EACH: apis.COST_PER_HOUR}, stacked=True
    )
    lines = [Line(8, [tables.sorted_by(providers, "Calls")]), Line(9, [*shares, cost], (5, 5, 5, 9))]
    return Section("Usage and cost", lines)


def _latency() -> Section:
    heatmap = panels.heatmap("Distribution of durations", "How many calls per second took how long.", "s", apis.BUCKETS)
    p95 = panels.lines("p95 by API", "95 % of calls take at most this time, over 5 minutes.", {EACH: apis.P95}, "s")
    slowest = panels.ranking("Slowest APIs", "Mean time in the range.", {EACH: apis.SLOWEST}, "s").decimals(2)
    return Section("Latency", [Line(9, [heatmap, p95, slowest], (9, 9, 6))], collapsed=True)


def _calls() -> Section:
    bounded = " At most the last 24 hours of the range."
    endpoints = tables.table(
        "Endpoints",
        "From the stored calls: number, share of failures, retries, average, shortest and longest time, cost."
        + bounded,
        apis.ENDPOINTS,
        [
            *("app", TO_API, "endpoint", "method", "calls", tables.gauge("failed", "red"), "retries"),
            *("average", "minimum", "maximum", "cost", "last_called"),
        ],
    ).no_value("No calls")
    failed = tables.table(
        "Newest failed calls",
        "The last 50 that failed." + bounded,
        apis.FAILED_ONES,
        [
            tables.column("at", unit=columns.CLOCK),
            *("app", TO_API, "endpoint", "method", "status", tables.words("reason", colors.REASONS), "attempt"),
            *("duration_seconds", "release"),
        ],
    ).no_value("No call failed")
    return Section("Endpoints and single calls", [Line(11, [endpoints]), Line(11, [failed])], collapsed=True)


BOARD = Board(
    "apis",
    "Platform external APIs",
    "Do the APIs that we depend on respond, how fast, and how much of their quota is left?",
    [_tiles(), _success(), _golden(), _reasons(), _quotas(), _usage(), _latency(), _calls()],
    VARIABLES,
    buttons=["scraping", "alerts", "errors"],
)
