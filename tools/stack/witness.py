"""Look whether events flow the whole way: from tables to /metrics, to Prometheus, to an alert, to a notification."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import requests

from tools.stack.demo import DATABASES
from tools.stack.feeder import INCIDENT_API
from tools.stack.state import State

ALERT = "PlatformApiSuccessLow"
COUNTED = "platform_exporter_events_total"


@dataclass(frozen=True)
class Sight:
    """Hold one thing to see: in a few words, and how to look; the look returns what is seen, None for not yet."""

    what: str
    look: Callable[[], str | None]


def sights(state: State) -> Iterator[Sight]:
    """Yield what a person should see after a start, upstream first."""
    yield Sight("counted on /metrics", lambda: counted(state))
    yield Sight("stored by Prometheus", lambda: stored(state))
    yield Sight("threshold breach firing", lambda: firing(state))
    yield Sight("notification received", lambda: notified(state, since=began_at(state)))


def counted(state: State) -> str | None:
    """Return how many events of each database the exporter counted; None before both are."""
    text = requests.get(f"{state.url('exporter')}/metrics", timeout=10).text
    samples = [line.rpartition(" ") for line in text.splitlines() if line.startswith(f"{COUNTED}{{")]
    return _both({database: _sum(samples, database) for database in DATABASES})


def stored(state: State) -> str | None:
    """Return the same sums as Prometheus has them."""
    answer = query(state, f"sum by (source) (max without (instance) ({COUNTED}))")
    return _both({sample["metric"]["source"]: float(sample["value"][1]) for sample in answer})


def firing(state: State) -> str | None:
    """Return the demo's breach as Prometheus words it; None before it fires."""
    data = _get(f"{state.url('prometheus')}/api/v1/alerts")["data"]["alerts"]
    found = [alert for alert in data if alert["state"] == "firing" and is_breach(alert["labels"])]
    return _describe(found[0]) if found else None


def notified(state: State, since: float) -> str | None:
    """Return the notification of the demo's breach that the receiver got after a Unix time; None before it has."""
    for notification in _get(f"{state.url('receiver')}/api/v1/notifications")["notifications"]:
        if datetime.fromisoformat(notification["received_at"]).timestamp() < since:
            continue
        for alert in notification["alerts"]:
            if alert["status"] == "firing" and is_breach(alert["labels"]):
                return f"by the receiver `{notification['receiver']}`: {alert['labels']['alertname']}"
    return None


def is_breach(labels: dict[str, str]) -> bool:
    """Tell whether these are the labels of the alert that the demo's incident is to raise."""
    return (labels.get("alertname"), labels.get("app"), labels.get("api")) == (ALERT, "scitex", INCIDENT_API)


def began_at(state: State) -> float:
    """Return the Unix time at which the feeder that now runs began."""
    content = json.loads((state.folder / "feeder/round.json").read_text())
    return float(content["began_at"])


def query(state: State, promql: str) -> list[dict[str, Any]]:
    """Return the result of an instant query."""
    answer = _get(f"{state.url('prometheus')}/api/v1/query", query=promql)
    result: list[dict[str, Any]] = answer["data"]["result"]
    return result


def wait_for(sight: Sight, deadline_seconds: float) -> str | None:
    """Look every half second until there is something to see; None after the deadline."""
    deadline = time.monotonic() + deadline_seconds
    while True:
        try:
            seen = sight.look()
        except (requests.RequestException, OSError, KeyError, ValueError):
            seen = None
        if seen or time.monotonic() > deadline:
            return seen
        time.sleep(0.5)


def _sum(samples: list[tuple[str, str, str]], source: str) -> float:
    return sum(float(value) for series, _, value in samples if f'source="{source}"' in series)


def _both(numbers: dict[str, float]) -> str | None:
    if any(not numbers.get(database) for database in DATABASES):
        return None
    return ", ".join(f"{database} {numbers[database]:,.0f} events" for database in DATABASES)


def _describe(alert: dict[str, Any]) -> str:
    labels, summary = alert["labels"], alert["annotations"].get("summary", "")
    return f"{labels['alertname']} ({labels['severity']}): {summary}"


def _get(url: str, **parameters: str) -> Any:
    answer = requests.get(url, params=parameters, timeout=10)
    answer.raise_for_status()
    return answer.json()
