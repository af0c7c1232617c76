"""The dashboard of external APIs: success, reasons of failures, quotas, costs, single calls."""

from grafana.design import colors, columns, links, panels, tables, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import apis

# SQL is asked for APIs as well: All is the list of them.
VARIABLES = (
    variables.labels("app", "App", "platform_api_calls_total"),
    variables.labels("api", "API", 'platform_api_calls_total{app=~"$app"}', listed=True),
)
GOOD = colors.bands("api_success_ratio")
EACH = "{{app}} {{api}}"
QUOTA = EACH + " {{quota}}"
MOST = f" Of the {apis.MOST} APIs with most in the chosen range."
TO_API = tables.link("api", "Only this API", links.to("apis", app="${__data.fields.app}", api="${__data.fields.api}"))


def _tiles() -> Line:
    judged = "The worst of the chosen APIs, as alerts judge it. Unknown below the minimum of events."
    states = panels.health_tile(
        "State",
        f"Shares of calls that succeed, are forbidden (403), exceed a rate limit (429); how long quotas last. {judged}",
        {
            "Success": apis.state("api_success_ratio"),
            "Bans": apis.state("api_forbidden_ratio"),
            "Rate limits": apis.state("api_rate_limited_ratio"),
            "Quotas": apis.state("api_quota_seconds"),
        },
        ("Alerts", links.to("alerts")),
    )
    rate = panels.number_tile("Calls", "Calls per second.", {"Calls": apis.CHOSEN_RATE}, "reqps")
    next_used_up = panels.number_tile(
        "Next quota used up",
        "Until the first one is used up, at the rate of the last 15 minutes. Empty where windows renew before that.",
        {"Used up in": apis.NEXT_QUOTA_GONE},
        "s",
    ).no_value(panels.NONE)
    cost = panels.number_tile(
        "Cost", "Of the calls in the range, in the account's currency.", {"Cost": apis.CHOSEN_COST}
    ).decimals(2)
    return Line(4, [states, rate, next_used_up, cost], (10, 4, 6, 4))


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
    return Line(9, [timeline, ratio])


def _golden() -> Line:
    rate = panels.lines("Call rate", "Calls per second." + MOST, {EACH: apis.RATE}, "reqps")
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
    return Line(12, [rate, failures, durations])


def _reasons() -> Section:
    shares = panels.doughnut(
        "Reasons", "Failed calls in the chosen range.", {"{{reason}}": apis.REASONS}, named=colors.REASONS
    )
    bans = panels.judged(
        "Forbidden (403)",
        "Share of calls over 5 minutes that were forbidden or blocked." + MOST,
        {EACH: apis.FORBIDDEN},
        "api_forbidden_ratio",
        by_api=True,
    )
    limits = panels.judged(
        "Rate limited (429)",
        "Share of calls over 5 minutes that exceeded a rate limit." + MOST,
        {EACH: apis.RATE_LIMITED},
        "api_rate_limited_ratio",
        by_api=True,
    )
    timeouts = panels.lines("Timeouts", "Share of calls that timed out." + MOST, {EACH: apis.TIMEOUTS}, "percentunit")
    return Section("Reasons of failures", [Line(10, [shares, bans]), Line(10, [limits, timeouts])])


def _quotas() -> Section:
    quotas = (
        tables.measured(
            "Quotas now",
            "What is left, as each provider last reported, and when it is used up at the rate of the last 15 minutes, "
            "which is shown per hour. Empty where the window renews before that, or where the provider does not report "
            "it. Without a name it is of calls.",
            {
                "State": apis.QUOTA_STATE,
                "Limit": apis.QUOTA_LIMIT,
                "Left": apis.QUOTA_LEFT,
                "Per hour": apis.QUOTA_USE,
                "Lasts for": apis.QUOTA_SECONDS,
                "Window ends at": apis.QUOTA_RENEWED_AT,
            },
            [
                *("app", TO_API, "quota", tables.states("State", colors.HEALTH), tables.column("Lasts for", unit="s")),
                tables.column("Window ends at", None, 160, columns.CLOCK),
            ],
        )
        .min_width(80)
        .no_value("No reported quota found")
    )
    left = panels.lines(
        "Left of each quota", "Share of the limit of each provider's window.", {QUOTA: apis.QUOTA_SHARE}, "percentunit"
    ).max(1)
    lasts = panels.lines(
        "Time until a quota is used up",
        "Predicted; lower is worse. No line where the window renews before that.",
        {QUOTA: apis.QUOTA_SECONDS},
        "s",
        indicator="api_quota_seconds",
        by_api=True,
    )
    return Section("Remaining quotas", [Line(7, [tables.sorted_by(quotas, "State")]), Line(9, [left, lasts])])


def _usage() -> Section:
    providers = (
        tables.measured(
            "All APIs",
            "Calls, share of successful ones, mean, p95 of the worst 5 minutes, and cost in the account's currency.",
            {
                "Calls": f"round({apis.RANGE_CALLS})",
                "Success": apis.RANGE_SUCCESS,
                "Mean": apis.RANGE_MEAN,
                "Worst p95": apis.RANGE_WORST_P95,
                "Cost": apis.COST,
                "Cost of 24 h": apis.COST_PER_DAY,
            },
            [
                *("app", TO_API, tables.gauge("Success", *GOOD)),
                *(tables.column(name, unit="s") for name in ("Mean", "Worst p95")),
            ],
        )
        .min_width(80)
        .decimals(2)
    )
    cost = panels.lines(
        "Cost per hour", "In the hour before, in the account's currency." + MOST, {EACH: apis.COST_PER_HOUR}
    )
    shares = panels.doughnut("Calls by app", "Calls in the chosen range.", {"{{app}}": apis.APP_SHARES})
    return Section(
        "Usage and cost", [Line(8, [tables.sorted_by(providers, "Calls")]), Line(10, [cost, shares], (17, 7))]
    )


def _budgets() -> Section:
    table = tables.measured(
        "Budgets of this month",
        "By calendar month, UTC. The forecast adds the pace of the last 7 days to what is spent. Without an app it is "
        "of all apps, without an API for all.",
        {
            "State": apis.BUDGET_STATE,
            "Budget": apis.BUDGET,
            "Spent": apis.BUDGET_SPENT,
            "At the end": apis.BUDGET_FORECAST,
            "Share": apis.BUDGET_RATIO,
        },
        ["app", "api", tables.states("State", colors.HEALTH), tables.column("Share", unit="percentunit")],
    ).min_width(80).decimals(2).no_value("No budget found")  # fmt: skip
    spent = panels.lines(
        "Spent of each budget",
        "Since the month began, and what will be at its end (dashed).",
        {f"{EACH}": apis.BUDGET_RATIO, f"{EACH} at the end": apis.BUDGET_FORECAST_RATIO},
        "percentunit",
        indicator="api_budget_ratio",
        dashed="at the end",
    )
    return Section("Budgets", [Line(6, [tables.sorted_by(table, "Share")]), Line(9, [spent])])


def _models() -> Section:
    used = tables.measured(
        "Models",
        "Calls, tokens, the share of the input that came from a cache, and the cost in the account's currency. Calls "
        "without price or number of tokens are not in the cost.",
        {
            "Calls": apis.MODEL_CALLS,
            "Input": apis.MODEL_INPUT,
            "Output": apis.MODEL_OUTPUT,
            "From cache": apis.MODEL_CACHED,
            "Cost": apis.MODEL_COST,
            "Unpriced": apis.MODEL_UNPRICED,
        },
        ["app", TO_API, tables.column("model", width=130), tables.column("From cache", unit="percentunit")],
    ).min_width(80).decimals(2).no_value("No calls to models found")  # fmt: skip
    kinds = panels.lines("Tokens by kind", "Per second, over 30 minutes. Cache and reasoning are parts of the others.",
                         apis.TOKEN_KINDS)  # fmt: skip
    models = panels.lines(
        "Tokens by model", "Input and output per second, over 30 minutes." + MOST, {"{{model}}": apis.MODEL_TOKENS}
    )
    first = panels.lines(
        "Time to first token",
        "Of streamed answers: 50 %, 95 % and 99 % begin within this time.",
        apis.FIRST_TOKEN,
        "s",
        named=colors.PERCENTILES,
    )
    errors = panels.bars(
        "Errors of models", "Per second, by the provider's word for them.", {"{{error_type}}": apis.MODEL_ERRORS},
        "reqps",
    )  # fmt: skip
    lines = [Line(8, [tables.sorted_by(used, "Cost")]), Line(9, [kinds, models]), Line(9, [first, errors])]
    return Section("Language models", lines)


def _responses() -> Section:
    codes = panels.bars(
        "Responses by status", "Per second; none where no response came.", {"{{code}}": apis.CODES}, "reqps",
        named=colors.CODES,
    )  # fmt: skip
    repeated = panels.lines(
        "Repeated calls", "Share of the calls of 30 minutes that repeated a failed one.", {EACH: apis.REPEATED},
        "percentunit",
    ).max(1)  # fmt: skip
    size = panels.lines("Received", "Bytes per second, over 30 minutes.", {EACH: apis.BYTES}, "binBps")
    return Section("Responses", [Line(8, [codes]), Line(9, [repeated, size])], collapsed=True)


def _latency() -> Section:
    heatmap = panels.heatmap("Distribution of durations", "How many calls per second took how long.", "s", apis.BUCKETS)
    p95 = panels.lines(
        "p95 by API", "95 % of calls take at most this time, over 5 minutes." + MOST, {EACH: apis.P95}, "s"
    )
    mean = panels.judged(
        "Mean by API",
        "Over 5 minutes, and the most that is usual at this hour of the week (dashed).",
        {EACH: apis.MEAN_5M, f"{EACH} most usual": apis.MOST_USUAL_MEAN},
        "api_latency_seconds",
        "s",
        by_api=True,
        dashed="usual",
    )
    calls = panels.lines(
        "Calls compared with the usual",
        "Calls of 15 minutes, and the least and the most that are usual at this hour of the week (dashed).",
        {EACH: apis.CALLS_NOW} | apis.BAND,
        dashed="usual",
    )
    slowest = panels.ranking("Slowest APIs", "Mean time in the range.", {EACH: apis.SLOWEST}, "s").decimals(2)
    return Section(
        "Latency and what is usual",
        [Line(9, [mean, calls]), Line(9, [heatmap, p95, slowest], (9, 9, 6))],
        collapsed=True,
    )


def _calls() -> Section:
    bounded = " At most the last 24 hours of the range."
    endpoints = tables.table(
        "Endpoints",
        "From the stored calls: number, share of failures, average and longest time." + bounded,
        apis.ENDPOINTS,
        [
            *(
                "app",
                TO_API,
                tables.column("api", width=110),
                "endpoint",
                tables.column("method", width=68),
                tables.column("calls", width=75),
                tables.column("failed", width=110),
                tables.gauge("failed", *colors.bands("api_success_ratio", complement=True)),
            ),
            *(tables.column(one, width=80) for one in ("average", "maximum")),
            tables.column("last_called", width=135),
        ],
    ).min_width(80)
    failed = tables.table(
        "Newest failed calls",
        "The last 50 that failed." + bounded,
        apis.FAILED_ONES,
        [
            tables.column("at", None, 150, columns.CLOCK),
            *(tables.column("app", width=105), TO_API, tables.column("api", width=100), "endpoint"),
            *(tables.column("method", width=68), tables.column("status", width=62)),
            tables.words("reason", colors.REASONS, 100),
            *(tables.column("duration_seconds", width=80), tables.column("release", width=100)),
        ],
    ).min_width(80)
    return Section("Endpoints and single calls", [Line(11, [endpoints]), Line(11, [failed])], collapsed=True)


BOARD = Board(
    "apis",
    "Do the APIs that we depend on respond, how fast, and how much of their quota is left?",
    [
        _tiles(),
        _success(),
        _golden(),
        _reasons(),
        _quotas(),
        _usage(),
        _budgets(),
        _models(),
        _responses(),
        _latency(),
        _calls(),
    ],
    VARIABLES,
)
