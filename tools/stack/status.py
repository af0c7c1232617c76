"""What a person sees of a running stack: which servers run, and how far the demo's events have come.

Events flow from tables to /metrics, to Prometheus, to an alert, to a notification.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import requests

from tools.stack.config_files import ALERTMANAGERS
from tools.stack.databases import DATABASES
from tools.stack.errors import StackError
from tools.stack.state import MINIO_BUILD, ORDER, StackState
from tools.stack.traffic import INCIDENT_API

ALERT = "PlatformApiSuccessLow"
COUNTED = "platform_exporter_events_total"
NOTIFICATIONS_SHOWN = 5
REPEATED_SECONDS = 3600
"""How often alertmanager/routes.yml repeats a critical alert."""


@dataclass(frozen=True)
class Checkpoint:
    """One stage of the way: its name, and a function that returns what has arrived there, None for nothing yet."""

    name: str
    look: Callable[[], str | None]

    def wait(self, deadline_seconds: float) -> str | None:
        """Look every half second until something has arrived; return None after the deadline."""
        deadline = time.monotonic() + deadline_seconds
        while True:
            try:
                seen = self.look()
            except (requests.RequestException, OSError, KeyError, ValueError):
                seen = None
            if seen or time.monotonic() > deadline:
                return seen
            time.sleep(0.5)


def run(folder: Path) -> int:
    """Print the status; return 0 where all that can run does, else 1."""
    if not (folder / "stack.json").exists():
        raise StackError(f"there is no stack in {folder}: `make up` starts one")
    state = StackState.open(folder)
    down = sum(_print_server(state, name) for name in ORDER)
    if state.running(MINIO_BUILD):
        print(f"  {'building':8} {'minio':13} in the background; the next `make up` after that uses it")
    if "minio" in state.missing and state.running("minio"):
        print(f"  {'missing':8} {'MinIO':13} {state.missing['minio']}; moto stands in for it")
    print()
    for checkpoint in (
        Checkpoint("counted on /metrics", lambda: counted(state)),
        Checkpoint("stored by Prometheus", lambda: stored(state)),
        Checkpoint("alerts firing", lambda: _firing_names(state)),
    ):
        print(f"  {checkpoint.name:22} {checkpoint.wait(0) or 'nothing'}")
    _print_notifications(state)
    if down:
        servers = "1 server does" if down == 1 else f"{down} servers do"
        print(f"\n{servers} not run: `make up` starts what is missing; logs are in {folder}.")
    return 1 if down else 0


def checkpoints(state: StackState) -> list[Checkpoint]:
    """Return what a person should see after a start, upstream first."""
    return [
        Checkpoint("counted on /metrics", lambda: counted(state)),
        Checkpoint("stored by Prometheus", lambda: stored(state)),
        Checkpoint("threshold breach firing", lambda: firing(state)),
        Checkpoint("notification received", lambda: _notified(state, since=traffic_began_at(state))),
    ]


def counted(state: StackState) -> str | None:
    """Return how many events of each demo database the exporter counted; None before it has counted both."""
    text = requests.get(f"{state.url('exporter')}/metrics", timeout=10).text
    samples = [line.rpartition(" ") for line in text.splitlines() if line.startswith(f"{COUNTED}{{")]
    return _of_both({
        source: sum(float(value) for series, _, value in samples if f'source="{source}"' in series)
        for source in DATABASES
    })  # fmt: skip


def stored(state: StackState) -> str | None:
    """Return the same sums as Prometheus has them."""
    answer = query(state, f"sum by (source) (max without (instance) ({COUNTED}))")
    return _of_both({sample["metric"]["source"]: float(sample["value"][1]) for sample in answer})


def firing(state: StackState) -> str | None:
    """Return the demo's breach as Prometheus describes it; None before it fires."""
    for alert in _get(f"{state.url('prometheus')}/api/v1/alerts")["data"]["alerts"]:
        labels = alert["labels"]
        if alert["state"] == "firing" and _is_breach(labels):
            return f"{labels['alertname']} ({labels['severity']}): {alert['annotations'].get('summary', '')}"
    return None


def traffic_began_at(state: StackState) -> float:
    """Return the Unix time at which the demo traffic that now runs began."""
    content = json.loads((state.folder / "traffic/round.json").read_text())
    return float(content["began_at"])


def query(state: StackState, promql: str) -> list[dict[str, Any]]:
    """Return the result of an instant query."""
    answer = _get(f"{state.url('prometheus')}/api/v1/query", query=promql)
    result: list[dict[str, Any]] = answer["data"]["result"]
    return result


def _notified(state: StackState, since: float) -> str | None:
    """Return who was notified of the breach; None before that.

    A notification from before `since` counts if it is the latest and less than an hour old: Alertmanager remembers it
    through a restart, and repeats it hourly.
    """
    for notification in _get(f"{state.url('receiver')}/api/v1/notifications")["notifications"]:  # the latest first
        breaches = [alert for alert in notification["alerts"] if _is_breach(alert["labels"])]
        if not breaches:
            continue
        received = datetime.fromisoformat(notification["received_at"])
        age_seconds = time.time() - received.timestamp()
        early = received.timestamp() < since
        if breaches[0]["status"] != "firing" or (early and age_seconds > REPEATED_SECONDS):
            return None
        when = f", {age_seconds / 60:.0f} min ago, before this start; repeated hourly" if early else ""
        return f"by the receiver `{notification['receiver']}`: {breaches[0]['labels']['alertname']}{when}"
    return None


def _is_breach(labels: dict[str, str]) -> bool:
    return (labels.get("alertname"), labels.get("app"), labels.get("api")) == (ALERT, "scitex", INCIDENT_API)


def _of_both(numbers: dict[str, float]) -> str | None:
    if any(not numbers.get(database) for database in DATABASES):
        return None
    return ", ".join(f"{database} {numbers[database]:,.0f} events" for database in DATABASES)


def _firing_names(state: StackState) -> str:
    alerts = query(state, 'count by (alertname, severity) (ALERTS{alertstate="firing", severity!="none"})')
    names = sorted(f"{alert['metric']['alertname']} ({alert['metric']['severity']})" for alert in alerts)
    return ", ".join(names) or "none"


def _print_server(state: StackState, name: str) -> bool:
    """Print a server's line; return whether it should run and does not."""
    process = state.running(name)
    if process is None and name in state.missing:
        print(f"  {'missing':8} {name:13} {state.missing[name]}")
        return False
    if process is None and name in ALERTMANAGERS[1:] and name not in state.ports:
        return False  # only a stack that was asked for two has the second
    where = state.address(name) if name in state.ports else ""
    pid = f"pid {process.pid}" if process else ""
    program = state.programs.get(name, "")
    print(f"  {'running' if process else 'DOWN':8} {name:13} {where:16} {pid:12} {program}".rstrip())
    return process is None


def _print_notifications(state: StackState) -> None:
    try:
        answer = requests.get(f"{state.url('receiver')}/api/v1/notifications", timeout=5).json()["notifications"]
    except (requests.RequestException, KeyError, ValueError):
        return
    if answer:
        print("\n  The latest notifications:")
    for notification in answer[:NOTIFICATIONS_SHOWN]:
        age = time.time() - datetime.fromisoformat(notification["received_at"]).timestamp()
        alert = notification["alerts"][0]
        summary = alert["annotations"].get("summary", alert["labels"].get("alertname", ""))
        more = f" (and {len(notification['alerts']) - 1} more)" if len(notification["alerts"]) > 1 else ""
        print(f"  {age / 60:5.1f} min ago  {alert['status']:9} {alert['labels'].get('severity', ''):9} {summary}{more}")


def _get(url: str, **parameters: str) -> Any:
    answer = requests.get(url, params=parameters, timeout=10)
    answer.raise_for_status()
    return answer.json()
