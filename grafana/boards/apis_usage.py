"""Draw what outside APIs are used for: quotas, costs, shares, each API's figures and single calls."""

from grafana_foundation_sdk.builders import table

from grafana.design import colors, links, panels, tables, targets
from grafana.design.layout import Line, Section
from grafana.queries import apis, shared

EACH = "{{app}} {{api}}"
ALONE = links.to("apis", app="${__data.fields.app}", api="${__data.fields.api}")


def sections() -> list[Section]:
    """Return the sections on quotas and on usage."""
    return [
        Section("Quotas and when they run out", [Line(7, [(_quotas(), 24)]), _quota_courses()]),
        Section("Usage and cost", [Line(8, [(_providers(), 24)]), _shares()]),
    ]


def rows() -> Section:
    """Return the section that reads the rows themselves."""
    return Section("Endpoints and single calls", [Line(11, [(_endpoints(), 24)]), Line(11, [(_failed(), 24)])], True)


def _quotas() -> table.Panel:
    columns = {
        "Value #A": "State", "Value #B": "Calls left", "Value #C": "Used per hour", "Value #D": "Lasts for",
        "Value #E": "Used up at", "Value #F": "Window ends at",
    }  # fmt: skip
    asked = [
        apis.QUOTA_STATE, apis.QUOTA_LEFT, apis.QUOTA_USE, apis.QUOTA_SECONDS, apis.QUOTA_GONE_AT,
        apis.QUOTA_RENEWED_AT,
    ]  # fmt: skip
    panel = tables.table(
        "Quotas now",
        "What is left, as each provider last told, and when it is used up at the pace of the last quarter of an hour. "
        "Empty where the window is renewed before, or where the provider does not tell.",
        [targets.rows(apis.each(expression)) for expression in asked],
        [
            tables.link("api", "This API alone", ALONE),
            tables.states("State", colors.HEALTH),
            tables.column("Lasts for", unit="s"),
            tables.column("Used up at", unit="dateTimeAsIsoNoDateIfToday"),
            tables.column("Window ends at", unit="dateTimeAsIsoNoDateIfToday"),
        ],
        nothing="No provider tells of a quota",
    )
    panel.with_transformation(tables.merged())
    panel.with_transformation(tables.arranged("app", "api", *columns, renamed=columns, hidden=("Time",)))
    return tables.sorted_by(panel, "State")


def _quota_courses() -> Line:
    left = panels.lines(
        "Calls left", "Calls left in each provider's window.", "short", [targets.series(apis.QUOTA_LEFT, EACH)]
    )
    lasts = panels.lines(
        "Until a quota is used up",
        "Predicted time; lower is worse. No line where the window is renewed before.",
        "s",
        [
            targets.series(apis.QUOTA_SECONDS, EACH),
            targets.threshold_lines(shared.api_threshold("api_quota_seconds")),
        ],
    )
    return Line(9, [(left, 12), (lasts, 12)])


def _providers() -> table.Panel:
    columns = {
        "Value #A": "Calls", "Value #B": "Success", "Value #C": "Mean", "Value #D": "Worst p95", "Value #E": "Cost",
        "Value #F": "Cost of the last day",
    }  # fmt: skip
    asked = [
        apis.RANGE_CALLS, apis.RANGE_SUCCESS, apis.RANGE_MEAN, apis.RANGE_WORST_P95, apis.COST, apis.COST_PER_DAY,
    ]  # fmt: skip
    panel = tables.table(
        "All APIs",
        "Per app and API in the chosen range: calls, the share that succeeded, the mean, the p95 of the worst 5 "
        "minutes, and what it cost in the account's currency.",
        [targets.rows(apis.each(expression)) for expression in asked],
        [
            tables.link("api", "This API alone", ALONE),
            tables.gauge("Success", color="green"),
            tables.column("Mean", unit="s"),
            tables.column("Worst p95", unit="s"),
        ],
    )
    panel.with_transformation(tables.merged())
    arranged = tables.arranged("app", "api", *columns, renamed=columns, hidden=("Time",))
    return tables.sorted_by(panel.with_transformation(arranged).decimals(2), "Calls")


def _shares() -> Line:
    shares = [
        panels.doughnut(title, text, "short", targets.now(expression, legend))
        for title, text, expression, legend in (
            ("Calls by API", "Calls in the chosen range.", apis.CALL_SHARES, "{{api}}"),
            ("Calls by app", "Who called, in the chosen range.", apis.APP_SHARES, "{{app}}"),
            ("Cost by API", "What calls in the chosen range cost.", apis.COST_SHARES, "{{api}}"),
        )
    ]
    cost = panels.lines(
        "Cost per hour",
        "What the calls of the hour before cost, in the account's currency.",
        "short",
        [targets.series(apis.COST_PER_HOUR, EACH)],
        stacked=True,
    )
    return Line(9, [*((share, 5) for share in shares), (cost, 9)])


def _endpoints() -> table.Panel:
    return tables.table(
        "Endpoints",
        "From the rows themselves, of the last 24 hours of the range at most: calls, the share that failed, repeated "
        "tries, average, shortest and longest time, cost.",
        [targets.sql(apis.ENDPOINTS)],
        [
            tables.link("api", "This API alone", ALONE),
            tables.gauge("failed", color="red"),
            *(tables.column(name, unit="s", width=110) for name in ("average", "minimum", "maximum")),
            tables.column("last_called", unit="dateTimeFromNow", title="Last called", width=150),
        ],
        nothing="Nothing was called",
    )


def _failed() -> table.Panel:
    return tables.table(
        "Newest failed calls",
        "The fifty that failed last, of the last 24 hours of the range at most.",
        [targets.sql(apis.FAILED_ONES)],
        [
            tables.column("at", unit="dateTimeAsIsoNoDateIfToday", title="At", width=150),
            tables.link("api", "This API alone", ALONE),
            tables.words("reason", dict(colors.REASONS)),
            tables.column("duration_seconds", unit="s", title="Time", width=90),
        ],
        nothing="No call failed",
    )
