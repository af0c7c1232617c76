"""Our rules evaluated over the past, in the order of their dependencies, and their results stored."""

import re
from collections.abc import Iterator
from typing import Any

from tests.grafana.remote_write import Samples, write
from tests.prometheus.names import rules
from tools.stack.servers import Prometheus

Rule = dict[str, Any]
NAME = re.compile(r"[a-zA-Z_][\w:]*")
UNITS_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def evaluate(server: Prometheus, start: float, end: float, step_seconds: int) -> None:
    """Evaluate every rule at each step from start to end, and write what it records, ALERTS and ALERTS_FOR_STATE."""
    for rule in in_order(rules()):
        parameters: dict[str, Any] = {"query": rule["expr"], "start": start, "end": end, "step": step_seconds}
        result = server.get("/api/v1/query_range", **parameters)["data"]["result"]
        write(server.url, [made for series in result for made in _made(rule, series, step_seconds)])


def in_order(found: list[Rule]) -> list[Rule]:
    """Return the recording rules, each after all that it reads, then the alerts."""
    recorded = {rule["record"] for rule in found if "record" in rule}
    waiting = [rule for rule in found if "record" in rule]
    ordered: list[Rule] = []
    while waiting:
        missing = {rule["record"] for rule in waiting}
        ready = [rule for rule in waiting if not _reads(rule, recorded) & missing - {rule["record"]}]
        # Of rules that read each other the first in the file reads what the others recorded before: here nothing.
        ready = ready or waiting[:1]
        ordered += ready
        waiting = [rule for rule in waiting if rule not in ready]
    return ordered + [rule for rule in found if "alert" in rule]


def _reads(rule: Rule, recorded: set[str]) -> set[str]:
    return set(NAME.findall(re.sub(r'"[^"]*"', '""', rule["expr"]))) & recorded


def _made(rule: Rule, series: Any, step_seconds: int) -> Iterator[tuple[dict[str, str], Samples]]:
    labels = {name: value for name, value in series["metric"].items() if name != "__name__"}
    labels |= {name: _filled(value, labels) for name, value in rule.get("labels", {}).items()}
    samples = [(round(float(time) * 1000), float(value)) for time, value in series["values"]]
    if "record" in rule:
        yield {"__name__": rule["record"], **labels}, samples
        return
    labels["alertname"] = rule["alert"]
    active_since = None
    states: dict[str, list[tuple[int, float]]] = {"pending": [], "firing": []}
    since: list[tuple[int, float]] = []
    before = None
    for milliseconds, _ in samples:
        if before is None or milliseconds - before > step_seconds * 1000:
            active_since = milliseconds
        before = milliseconds
        assert active_since is not None
        firing = milliseconds - active_since >= _seconds(rule.get("for", "0s")) * 1000
        states["firing" if firing else "pending"].append((milliseconds, 1.0))
        since.append((milliseconds, active_since / 1000))
    if since:
        yield {"__name__": "ALERTS_FOR_STATE", **labels}, since
    for state, found in states.items():
        if found:
            yield {"__name__": "ALERTS", "alertstate": state, **labels}, found


def _filled(text: str, labels: dict[str, str]) -> str:
    """Return a label of a rule with `{{ $labels.NAME }}` filled in, the only template that labels may have here."""
    return re.sub(r"\{\{ *\$labels\.(\w+) *\}\}", lambda match: labels.get(match.group(1), ""), str(text))


def _seconds(text: str) -> float:
    return sum(int(number) * UNITS_SECONDS[unit] for number, unit in re.findall(r"(\d+)([smhd])", text))
