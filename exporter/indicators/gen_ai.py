"""Calls to language models: the share of which nobody knows the price."""

from exporter.indicators.declaration import Band, Group, Indicator, Record, RuleFile, Scope
from exporter.indicators.promql import MINIMUM, health_of_apps, increase, part, replicas, total

APP_API_MODEL = Scope("app_api_model", ("app", "api", "model"), ("api", "app"))
CALLS, UNPRICED = "platform_gen_ai_calls", "platform_gen_ai_unpriced_calls"
_CALLS, _UNPRICED = (f"app_api_model:{name}" for name in (CALLS, UNPRICED))

_BUDGETS = (
    ("app, api", ""), ("app", '{api=""}'), ("api", '{app=""}'), ("", '{app="", api=""}'),
)  # fmt: skip
"""What budgets may be about, and those of each kind."""
_BUDGETED = "\n  or\n  ".join(f"{_CALLS}:sum and on ({by}) platform_budget{of}" for by, of in _BUDGETS)

UNPRICED_RATIO = Indicator(
    name="gen_ai_unpriced_ratio",
    alert="PlatformModelUnpriced",
    title="Unpriced models",
    meaning="Share of the calls of an hour to a language model that have no price, where other calls of the app have one or a budget is about them.",
    scope=APP_API_MODEL,
    value=f"{_UNPRICED}:ratio1h",
    members=f"{_CALLS}:sum",
    bands={"low": Band(0.1, "15m", "1h")},
    summary="{{ $value | humanizePercentage }} of the calls of {{ $labels.app }} to {{ $labels.model }} have no price",
    text="{{ $value | humanizePercentage }} of the calls of {{ $labels.app }} to the model {{ $labels.model }} of {{ $labels.api }} had no price "
    "over an hour, so what they cost is in no figure and no budget",
    subject="apis",
)

FILE = RuleFile(
    "gen_ai",
    "Calls to language models: the share of which nobody knows the price. An application that has no "
    "price at all, and no budget, does not ask for costs: that is not a fault.",
    (
        Group(
            "platform_gen_ai_prices",
            "1m",
            (
                total(APP_API_MODEL, CALLS, f"{CALLS}_total"),
                part(APP_API_MODEL, UNPRICED, f"{UNPRICED}_total", CALLS),
                increase(_CALLS, "1h", "5m"),
                increase(_UNPRICED, "1h", "5m"),
                Record(
                    f"{_UNPRICED}:ratio1h",
                    f"""\
{_UNPRICED}:increase1h / {_CALLS}:increase1h
and on (app, api, model)
{_CALLS}:increase1h >= on (app) group_left () {MINIMUM}
and on (app, api, model)
(
  {_CALLS}:sum and on (app) sum by (app) ({replicas("platform_gen_ai_cost_total")}) > 0
  or
  {_BUDGETED}
)""",
                ),
                UNPRICED_RATIO,
                health_of_apps(APP_API_MODEL),
            ),
        ),
    ),
)
