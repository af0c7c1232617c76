"""Files of Prometheus's rules, as text, made of the declarations of indicators."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping

from exporter.indicators import FILES
from exporter.indicators.declaration import APP, Alert, Group, Indicator, Record, RuleFile
from exporter.indicators.promql import effective, firing, in_force, state

VARIABLES = {
    "overview": ("app",),
    "http": ("app",),
    "apis": ("app", "api"),
    "scraping": ("app", "scraper"),
    "errors": ("app",),
    "users": ("app",),
    "slo": ("app",),
    "components": ("component", "name"),
    "monitoring": (),
}
"""The dashboards that alerts open, and those of their variables that an alert's labels set."""

WORDS = {"medium": "warning"}
"""What a notification calls the band of a severity, where it is not the severity itself."""

WIDTH = 128

_APPS = (
    "app:platform_http_requests:sum|app:platform_http_request_durations:sum|app_api:platform_api_calls:sum|"
    "app_scraper:platform_scraping_runs:sum|app_scraper:platform_scraping_requests:sum|app_scraper:platform_scraping_items_examined:sum|app_task:platform_background_tasks:sum|app:platform_sdk_events:sum|platform_errors_total|platform_user_activity_total"
)
THRESHOLDS = RuleFile(
    "thresholds",
    "The minimum of events in force per app, from the exporter's platform_threshold series and nowhere else. The thresholds of "
    "indicators are beside them, in the same way: an override for what an alert is about counts before one for its app, and "
    "that before the default.\n\n"
    "If a threshold is missing, no series is recorded: everything that reads it is then unknown, neither green nor an alert. "
    "`max` over everything else counts replicas of the exporter once.",
    (Group("platform_thresholds", "15s", (in_force("minimum_events", APP, f'{{__name__=~"{_APPS}"}}'),)),),
)


def texts() -> dict[str, str]:
    """Return the text of every generated file by its name, without its suffix."""
    return {file.name: _text(file) for file in (THRESHOLDS, *FILES)}


def _text(file: RuleFile) -> str:
    source = "rules" if file is THRESHOLDS else file.name
    lines = [f"# Generated from exporter/indicators/{source}.py by `make generate`.", "#"]
    for paragraph in file.head.split("\n\n"):
        lines += [*_comment(paragraph, ""), "#"]
    lines[-1] = "groups:"
    for group in file.groups:
        lines += [f"  - name: {group.name}", f"    interval: {group.interval}", "    rules:", *_rules(group)]
    return "\n".join(lines) + "\n"


def _rules(group: Group) -> Iterator[str]:
    for rule in group.rules:
        match rule:
            case Record():
                yield from _record(rule)
            case Alert():
                yield from _alert(rule)
            case Indicator():
                yield from _indicator(rule)


def _record(rule: Record) -> Iterator[str]:
    yield from _comment(rule.comment, "      ")
    yield f"      - record: {rule.name}"
    if rule.labels:
        yield f"        labels: {_flow(rule.labels)}"
    yield from _expression(rule.expr)


def _indicator(indicator: Indicator) -> Iterator[str]:
    yield ""
    for record in effective(indicator):
        yield from _record(record)
    yield from _comment(indicator.comment, "      ")
    if found := state(indicator):
        yield from _record(found)
    anchor = indicator.alert.removeprefix("Platform")
    for number, (severity, band) in enumerate(indicator.bands.items()):
        yield f"      - alert: {indicator.alert}"
        yield from _expression(firing(indicator, severity))
        yield f"        for: {band.hold}"
        yield f"        keep_firing_for: {band.keep_firing}"
        yield f"        labels: {_flow({'severity': severity, 'indicator': indicator.name, **indicator.about})}"
        if number:
            yield f"        annotations: *{anchor}"
        else:
            thresholds = "".join(_threshold(indicator, one) for one in indicator.bands)
            yield f"        annotations: &{anchor}"
            labels = (*indicator.scope.labels, *indicator.about)
            yield from _annotations(
                indicator, f"{indicator.text}{thresholds}.{''.join(indicator.clues)}", indicator.alert, labels
            )


def _threshold(indicator: Indicator, severity: str) -> str:
    """Return what a description says of a band; where that is switched off, its template is empty."""
    first = severity == next(iter(indicator.bands))
    beyond = "below" if indicator.lower_is_worse else "above"
    if indicator.inclusive and first:
        beyond = "at or below" if indicator.lower_is_worse else "from"
    scope = indicator.scope
    band = f'indicator="{indicator.name}",severity="{severity}"'
    if scope.overrides:
        given = "".join(f",{label}=%q" for label in scope.labels)
        values = " ".join(f"$labels.{label}" for label in scope.labels)
        query = f"(printf `{scope.level}:platform_threshold:effective{{{band}{given}}}` {values})"
    else:
        query = f"`max(platform_threshold{{{band}}})`"
    words = f"{';' if first else ','} {WORDS.get(severity, severity)} {beyond}"
    return f"\n{{{{- with query {query} }}}}{words} {{{{ . | first | value | {indicator.shown} }}}}{indicator.times}{{{{ end }}}}"


def _alert(rule: Alert) -> Iterator[str]:
    yield ""
    yield from _comment(rule.comment, "      ")
    yield f"      - alert: {rule.name}"
    yield from _expression(rule.expr)
    yield f"        for: {rule.hold}"
    yield f"        keep_firing_for: {rule.keep_firing}"
    yield f"        labels: {_flow({'severity': rule.severity, **rule.about})}"
    yield "        annotations:"
    yield from _annotations(rule, rule.text, rule.name, (*rule.labels, *rule.about))


def _annotations(rule: Indicator | Alert, description: str, alert: str, labels: Iterable[str]) -> Iterator[str]:
    set_by = {*labels}
    values = {name: rule.about.get(name, f"{{{{ $labels.{name} | urlquery }}}}") for name in VARIABLES[rule.subject]}
    query = "&".join(f"var-{name}={value}" for name, value in values.items() if name in set_by)
    page = rule.page if isinstance(rule, Alert) else ""
    url = (
        f"{{{{ $externalLabels.grafana_url }}}}{page}"
        if page
        else f"{{{{ $externalLabels.grafana_url }}}}/d/platform-{rule.subject}/{rule.subject}{'?' * bool(query)}{query}"
    )
    yield f"          summary: {_quoted(rule.summary)}"
    yield "          description: >-"
    yield from (f"            {line}" for line in description.split("\n"))
    yield f"          runbook_url: {_quoted(f'{{{{ $externalLabels.runbook_url }}}}?var-alert={alert}#{alert.lower()}')}"
    yield f"          dashboard_url: {_quoted(url)}"


def _expression(expr: str) -> Iterator[str]:
    lines = expr.split("\n")
    if len(lines) == 1:
        yield f"        expr: {expr}" if expr[0] not in "{[" else f"        expr: {_quoted(expr)}"
    else:
        yield "        expr: |"
        yield from (f"          {line}" for line in lines)


def _comment(text: str, indent: str) -> list[str]:
    return [f"{indent}# {line}" for line in textwrap.wrap(text, WIDTH - len(indent) - 2)]


def _flow(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in labels.items()) + "}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
