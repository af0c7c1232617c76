"""Draw service level objectives: what was promised, what was kept, and how fast each error budget burns."""

from grafana_foundation_sdk.builders import table

from grafana.boards import slo_burnt
from grafana.design import colors, links, panels, tables, targets, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import slo

VARIABLES = (
    variables.labels("app", "App", "app_slo:platform_slo_events:sum"),
    variables.labels("slo", "Objective", "platform_objective"),
)
EACH = "{{app}} {{slo}}"
DASHED = {"fill": "dash", "dash": [8, 8]}
# Used up is what separates good from bad; how much less is bad, each team says by its objective.
LEFT = ((None, colors.RED), (0, colors.GREEN))


def _tiles() -> Line:
    least = panels.number_tile(
        "Least budget left",
        "The smallest share left of all error budgets of 30 days. Below 0 an objective is missed.",
        "percentunit",
        targets.series(slo.LEAST_LEFT, "Left"),
        *LEFT,
    )
    overdrawn = panels.number_tile(
        "Objectives missed",
        "How many objectives were missed over the last 30 days: their error budget is overdrawn.",
        "short",
        targets.series(slo.OVERDRAWN, "Missed"),
        (None, colors.GREEN),
        (1, colors.RED),
    )
    fastest = panels.number_tile(
        "Fastest burn",
        "How fast the fastest budget burnt in the last hour. 1 is the pace that uses it up in 30 days.",
        "short",
        targets.series(slo.FASTEST, "Burn rate"),
    ).decimals(1)
    next_gone = panels.number_tile(
        "Next budget used up",
        "Until the first budget is used up at the pace of the last 6 hours, where that is too fast.",
        "s",
        targets.series(slo.NEXT_USED_UP, "Used up in"),
    ).no_value("Not in sight")
    burning = panels.number_tile(
        "Burn alerts",
        "Alerts on error budgets that fire.",
        "short",
        targets.now(slo.BURNING, "Firing"),
        (None, colors.GREEN),
        (1, colors.RED),
    ).data_links([links.data_link("Alerts", links.to("alerts", alertname="PlatformErrorBudgetBurn"))])
    return Line(4, [(least, 5), (overdrawn, 5), (fastest, 5), (next_gone, 5), (burning, 4)])


def _objectives() -> table.Panel:
    asked = {
        "Objective": slo.OBJECTIVE,
        "Attained": slo.ATTAINED,
        "Budget left": slo.REMAINING,
        "Used up in": slo.USED_UP_IN,
        "Events": slo.EVENTS,
        "Bad": slo.BAD,
        "Bad still allowed": slo.STILL_ALLOWED,
    }
    asked |= {f"Burn {pair.long}": slo.burn(pair.long) for pair in slo.pairs()}
    renamed = {f"Value #{chr(ord('A') + number)}": title for number, title in enumerate(asked)}
    panel = tables.table(
        "Objectives over 30 days",
        "What was promised and kept over the last 30 days, and how fast each error budget burns: 1 is the pace that "
        "uses it up in 30 days. Coloured where the alerts compare.",
        [targets.rows(expression) for expression in asked.values()],
        [
            tables.link("slo", "This alone", links.to("slo", app="${__data.fields.app}", slo="${__data.fields.slo}")),
            *(tables.column(name, unit="percentunit") for name in ("Objective", "Attained")),
            tables.gauge("Budget left", color=colors.GREEN),
            tables.column("Used up in", unit="s"),
            *(tables.bounds(f"Burn {one.long}", (None, "text"), (one.factor, _color(one))) for one in slo.pairs()),
        ],
        nothing="No objective has enough events yet",
    )
    panel.with_transformation(tables.merged())
    arranged = tables.arranged("app", "slo", *renamed, renamed=renamed, hidden=("Time",))
    return tables.sorted_by(panel.with_transformation(arranged).decimals(2), "Budget left", descending=False)


def _color(pair: slo.Pair) -> str:
    return colors.SEVERITIES[pair.severity]


def _courses() -> Line:
    left = panels.lines(
        "Budget left",
        "Share of each error budget of 30 days that is left. At 0 it is used up, below it the objective is missed.",
        "percentunit",
        [targets.series(slo.REMAINING, EACH)],
        lowest=None,
    )
    attained = panels.lines(
        "Attained",
        "Share of good events over the last 30 days, and dashed what was promised.",
        "percentunit",
        [targets.series(slo.ATTAINED, EACH), targets.series(slo.OBJECTIVE, f"{EACH} objective")],
        lowest=None,
    )
    promised = colors.values(custom__lineStyle=DASHED, custom__fillOpacity=0)
    return Line(9, [(left.max(1), 12), (attained.decimals(3).max(1).override_by_query("B", promised), 12)])


def _burn_rates() -> Section:
    charts = []
    for pair in slo.pairs():
        limit = f"{pair.severity} above {pair.factor:g}"
        chart = panels.lines(
            f"Burn over {pair.long} and {pair.short}",
            f"{pair.severity.capitalize()} where both windows are above {pair.factor:g}: the long one says that it "
            "matters, the short one (dotted) that it still goes on.",
            "short",
            [
                targets.series(slo.burn(pair.long), f"{EACH} {pair.long}"),
                targets.series(slo.burn(pair.short), f"{EACH} {pair.short}"),
                targets.series(f"vector({pair.factor:g})", limit),
            ],
        )
        shade = {"mode": "fixed", "fixedColor": _color(pair)}
        chart.override_by_query("B", colors.values(custom__lineStyle={"fill": "dot"}, custom__fillOpacity=0))
        chart.override_by_query("C", colors.values(color=shade, custom__lineStyle=DASHED, custom__fillOpacity=0))
        charts.append((chart, 6))
    return Section("Burn rates in the windows of the alerts", [Line(10, charts)])


BOARD = Board(
    "slo",
    "Platform objectives",
    "How much of each error budget is left, and how fast does it burn?",
    [_tiles(), Line(8, [(_objectives(), 24)]), _courses(), _burn_rates(), *slo_burnt.sections()],
    VARIABLES,
    buttons=[("http", "HTTP"), ("scraping", "Scraping"), ("errors", "Errors")],
)
