"""The matrix of apps and subjects: a column per subject, whose cells are a state and what there is to say of it.

A cell of Grafana's tables has the colour of its own value only. So each column is a label, written by PromQL: the
state (-1 unknown, 0 healthy, 1 warning, 2 critical), a space, and the text. Where something is wrong, that is the worst
indicator with its value, or the alert; else the figure that people look at first. The panel shows the text alone, in
the colour of the state.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from exporter.indicators import ALERTS, INDICATORS
from exporter.indicators.declaration import Alert, Indicator

# From which value on (the first: all) figures are multiplied by what, rounded to what, and followed by what.
Format = Sequence[tuple[float | None, str, float, str]]

COUNT: Format = ((None, "", 1, ""),)
SHARE: Format = ((None, "100 * ", 0.1, " %"),)
TIMES: Format = ((None, "", 0.1, "x"),)
PER_SECOND: Format = ((None, "60 * ", 0.1, "/min"), (1, "", 0.1, "/s"))
PER_MINUTE: Format = ((None, "", 0.1, "/min"),)
AGE: Format = ((None, "", 1, " s"), (120, "1 / 60 * ", 1, " min"), (7200, "1 / 3600 * ", 1, " h"))
DURATION: Format = ((None, "1000 * ", 1, " ms"), (1, "", 0.1, " s"), *AGE[1:])

# The label `indicator` of the figure that is shown while nothing is wrong.
FIRST = "first"
STATES = 'app_indicator:platform_health:state{app=~"$app"%s}'
_FIRING = 'ALERTS{alertstate="firing", app=~"$app", alertname=~"%s", severity%s}'
_LEFT = 'min by (app) (app_slo:platform_slo_error_budget:remaining30d{app=~"$app"})'


@dataclass(frozen=True)
class Figure:
    """A value per app, how it is written, and words behind it."""

    value: str
    format: Format
    words: str = ""


@dataclass(frozen=True)
class Column:
    """A subject: its name, its heading, and the dashboard that its cells open.

    figures: what is shown while nothing is wrong, the first that an app has; by default the first indicator's value.
    state: PromQL per app, whose label `indicator` is FIRST, where there are no indicators.
    implied: words of titles that the heading says already.
    verbs: what the figure of an indicator is the share of, where its title is implied.
    """

    name: str
    heading: str
    board: str
    figures: tuple[Figure, ...] = ()
    state: str = ""
    implied: str = ""
    verbs: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Return the label of its cells."""
        return f"{self.name}_cell"

    @property
    def indicators(self) -> list[Indicator]:
        """Return the indicators that are declared for it."""
        return [one for one in INDICATORS.values() if _belongs(one, one.scope.labels, self.name)]

    @property
    def alerts(self) -> list[Alert]:
        """Return the alerts without thresholds that are declared for it."""
        return [one for one in ALERTS.values() if _belongs(one, one.labels, self.name)]

    def query(self) -> str:
        """Return PromQL of a series per app, whose cell is a label."""
        kept = "app, indicator, alertname" if self.alerts else "app, indicator"
        worst = f'count_values by ({kept}) ("state", topk by (app) (1, {_states(self)}))'
        first = FIRST if self.figures else self.indicators[0].name
        worst = f'label_replace({worst}, "indicator", "{first}", "state", "0|-1")'
        figures = "\nor ".join((*_of_indicators(self.indicators, self.verbs), *_first_of(self.figures)))
        cells = f"{worst}\n* on (app, indicator) group_left (figure) (\n{figures}\n)\nor on (app) {worst}"
        for label, name, title in _titles(self):
            cells = f'label_replace({cells}, "title", "{title}", "{label}", "{name}")'
        return f'group by (app, {self.label}) (label_join({cells}, "{self.label}", " ", "state", "title", "figure"))'


COLUMNS = (
    Column(
        *("traffic", "Traffic", "http"),
        figures=(
            Figure('app:platform_http_requests:rate5m{app=~"$app"}', PER_SECOND),
            Figure('app:platform_events_idle:seconds{app=~"$app"}', AGE, " ago"),
        ),
        implied="apps sdk",
    ),
    Column("latency", "Response time", "http", implied="response time"),
    Column(
        *("errors", "Errors", "errors"),
        figures=(
            Figure('app:platform_http_request_errors:ratio5m{app=~"$app"}', SHARE),
            Figure('60 * sum by (app) (app_severity:platform_errors:rate5m{app=~"$app"})', PER_MINUTE),
        ),
        implied="http error errors high",
    ),
    Column("apis", "External APIs", "apis", implied="api success", verbs={"api_success_ratio": "succeed"}),
    Column(
        "scraping",
        "Scraping",
        "scraping",
        implied="scraper scraping failures",
        verbs={"scraping_failure_ratio": "fail"},
    ),
    Column(
        *("jobs", "Jobs", "scraping"),
        figures=(
            Figure(
                'sum by (app) (max by (app, scraper) (platform_scraping_jobs{app=~"$app", status="running"}))',
                COUNT,
                " running",
            ),
        ),
        implied="jobs job",
    ),
    Column(
        *("users", "Users", "users"),
        figures=(Figure('app_window:platform_active_users:max{app=~"$app", window="5m"}', COUNT, " active"),),
    ),
    Column(
        *("slo", "Error budget", "slo"),
        figures=(Figure(f"clamp_min({_LEFT}, 0)", SHARE, " left"),),
        state=f'label_replace({_LEFT} <= bool 0, "indicator", "{FIRST}", "", "")',
        implied="error",
    ),
)
"""From left to right. What belongs to each is declared with indicators and alerts, as their `column` or `subject`."""

# The columns of subjects that have none of their own.
USUAL = {"http": "errors", "overview": "traffic", "monitoring": "traffic"}


def worst() -> str:
    """Return PromQL of how much is wrong with each app: a critical state counts more than all warnings together."""
    found = [STATES % "", _firing([one.name for column in COLUMNS for one in column.alerts])]
    found += [column.state for column in COLUMNS if column.state]
    return f"sum by (app) (clamp_min({' or '.join(found)}, 0) ^ 7)"


def _belongs(rule: Indicator | Alert, labels: Sequence[str], column: str) -> bool:
    return "app" in labels and (rule.column or USUAL.get(rule.subject, rule.subject)) == column


def _states(column: Column) -> str:
    """Return the states of a column's indicators, and of the alerts that have none."""
    found = column.state or STATES % ', indicator=~"{}"'.format("|".join(one.name for one in column.indicators))
    return f"{found}\n  or {_firing([one.name for one in column.alerts])}" if column.alerts else found


def _firing(alerts: Sequence[str]) -> str:
    grave, mild = (_FIRING % ("|".join(alerts), severities) for severities in ('="critical"', '=~"high|medium"'))
    return f"max by (app, alertname) (2 * {grave} or {mild})"


def _of_indicators(indicators: Sequence[Indicator], verbs: Mapping[str, str]) -> Iterator[str]:
    """Yield the values of indicators as text, with the labels app, indicator and figure; by format and verb."""
    formats: dict[tuple[Format, str], list[Indicator]] = {}
    for one in indicators:
        formats.setdefault((_format(one), verbs.get(one.name, "")), []).append(one)
    for (format_, verb), alike in formats.items():
        values = "\nor ".join(f'label_replace({_value(one)}, "indicator", "{one.name}", "", "")' for one in alike)
        yield _written(values, format_, "app, indicator", f" {verb}" if verb else "")


def _first_of(figures: Sequence[Figure]) -> Iterator[str]:
    """Yield the first of the figures that an app has, as text, with the same labels."""
    if figures:
        found = "\nor on (app)\n".join(f"({_written(one.value, one.format, 'app', one.words)})" for one in figures)
        yield f'label_replace({found}, "indicator", "{FIRST}", "", "")'


def _value(indicator: Indicator) -> str:
    """Return the value of an app, the worst of all its APIs or scrapers."""
    return f'{"min" if indicator.lower_is_worse else "max"} by (app) ({indicator.value}{{app=~"$app"}})'


def _format(indicator: Indicator) -> Format:
    if indicator.times:
        return TIMES
    return {"humanizePercentage": SHARE, "humanizeDuration": DURATION, "humanize": COUNT}[indicator.shown]


def _written(values: str, format_: Format, labels: str, words: str = "") -> str:
    """Return PromQL of a series per value, which is 1 and has the value as text in the label `figure`."""
    ends = [str(low) for low, *_ in format_[1:]]
    found = []
    for (low, times, step, unit), end in zip(format_, [*ends, ""], strict=True):
        within = f"(({values}){f' >= {low}' if low is not None else ''}{end and f' < {end}'})"
        text = f'count_values by ({labels}) ("figure", round({times}{within}, {step}))'
        # A figure and its unit stay on one line.
        shown = "${1}" + unit.replace(" ", "\u00a0") + words
        found.append(f'label_replace({text}, "figure", "{shown}", "figure", "(.*)")')
    return "\nor ".join(found)


def _titles(column: Column) -> Iterator[tuple[str, str, str]]:
    """Yield label, its value and the words for what is wrong; none where the figure alone says it."""
    titles = [("indicator", one.name, one.title) for one in column.indicators]
    names = [one.name for one in column.alerts]
    titles += [("alertname", name, re.sub("([A-Z])", r" \1", name.removeprefix("Platform"))) for name in names]
    for label, name, title in titles:
        words = [word for word in title.split() if word.lower() not in column.implied.split()]
        if words:
            yield label, name, " ".join(words).lower().capitalize()
