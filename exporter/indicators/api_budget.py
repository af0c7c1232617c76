"""Budgets of external APIs: what of a month's is spent, and what will be at its end."""

from exporter.indicators.declaration import Band, Group, Indicator, Record, RuleFile, Scope
from exporter.indicators.promql import increase

BUDGET = Scope("budget", ("app", "api"), ("api", "app"))
"""Of an app, an API, both, or neither: what a budget is not about is an empty label."""

AMOUNT, COST = "budget:platform_budget:max", "app_api:platform_api_cost"
OF_WHAT = (
    "{{ with $labels.app }} of {{ . }}{{ end }}{{ with $labels.api }} for {{ . }}{{ end }}"
    "{{ if not (or $labels.app $labels.api) }} of all apps for all APIs{{ end }}"
)
FEW = "it is about money, however few calls it takes"
_LEFT = "scalar(days_in_month() * 86400 - (day_of_month() - 1) * 86400 - hour() * 3600 - minute() * 60)"


def _of_budgets(series: str) -> str:
    """Return PromQL of a sum by app and api, added up to what each budget is about."""
    sums = (series, *(f"sum by ({by}) ({series})" for by in ("app", "api")), f"sum({series})")
    return "\nor on (app, api)\n".join(f"{one} and on (app, api) {AMOUNT}" for one in sums)


SPENT = Indicator(
    name="api_budget_ratio",
    alert="PlatformBudgetSpent",
    title="Budgets",
    meaning="Share of a month's budget for external APIs that is spent.",
    scope=BUDGET,
    value="budget:platform_api_cost:ratio",
    members=AMOUNT,
    bands={"low": Band(0.5, "5m", "5m"), "medium": Band(0.8, "5m", "5m"), "high": Band(1.0, "5m", "5m")},
    summary="{{ $value | humanizePercentage }} of the budget" + OF_WHAT + " is spent",
    text="{{ $value | humanizePercentage }} of this month's budget" + OF_WHAT + " is spent",
    subject="apis",
    few=FEW,
)
FORECAST = Indicator(
    name="api_budget_forecast_ratio",
    alert="PlatformBudgetForecast",
    title="Budget forecast",
    meaning="What external APIs will have cost at the month's end, at the pace of the last 7 days, as a share of the budget.",
    scope=BUDGET,
    value="budget:platform_api_cost:forecast_ratio",
    members=AMOUNT,
    bands={"medium": Band(1.0, "1h", "1h")},
    summary="The budget" + OF_WHAT + " will not last until the month's end",
    text="At the pace of the last 7 days {{ $value | humanizePercentage }} of this month's budget"
    + OF_WHAT
    + " will be spent at its end",
    subject="apis",
    few=FEW,
)

FILE = RuleFile(
    "api_budget",
    "Budgets of external APIs by calendar month (UTC), from what calls cost in each month as it is counted: no restart and no gap "
    "of Prometheus changes that. The forecast adds to it the pace of the last 7 days, weekends among them; while there are fewer "
    "days, it is too low.",
    (
        Group(
            "platform_api_budget",
            "1m",
            (
                Record(AMOUNT, "max by (app, api) (platform_budget)"),
                Record(
                    f"{COST}:month",
                    "sum by (app, api) (\n"
                    "  max without (instance, pod, node) (platform_api_cost_month_total)\n"
                    '  and on (month) count_values("month", year() * 100 + month())\n'
                    ")\n"
                    "or sum by (app, api) (max without (instance, pod, node) (platform_api_cost_total)) * 0",
                    comment="The label `month` is a year and a month, 202611; in a new month nothing is spent yet.",
                ),
                Record(
                    f"{COST}_all:sum",
                    "sum by (app, api) (max without (instance, pod, node, month) (sum without (month) (platform_api_cost_month_total)))",
                ),
                increase(f"{COST}_all", "7d", "5m"),
                Record("budget:platform_api_cost:month", _of_budgets(f"{COST}:month")),
                Record("budget:platform_api_cost:increase7d", _of_budgets(f"{COST}_all:increase7d")),
                Record(SPENT.value, f"budget:platform_api_cost:month / on (app, api) {AMOUNT}"),
                Record(
                    "budget:platform_api_cost:forecast",
                    "budget:platform_api_cost:month\n"
                    f"+ on (app, api) budget:platform_api_cost:increase7d / 604800 * {_LEFT}",
                ),
                Record(
                    FORECAST.value,
                    f"budget:platform_api_cost:forecast / on (app, api) {AMOUNT}\n"
                    f"unless on (app, api) {SPENT.value} >= 1",
                    comment="None where the budget is spent already: PlatformBudgetSpent says so.",
                ),
                SPENT,
                FORECAST,
                Record(
                    "app_indicator:platform_health:state",
                    'max by (app, indicator) (budget:platform_health:state{app!=""})',
                ),
            ),
        ),
    ),
)
