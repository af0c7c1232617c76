"""Show what runs, what it has counted and what it told."""

import time
from datetime import datetime
from pathlib import Path

import requests

from tools.stack import witness
from tools.stack.errors import StackError
from tools.stack.settings_files import ALERTMANAGERS
from tools.stack.state import ORDER, State

NOTIFICATIONS_SHOWN = 5


def run(folder: Path) -> int:
    """Print it; return 0 where all that can run does, else 1."""
    if not (folder / "stack.json").exists():
        raise StackError(f"there is no stack in {folder}: `make up` starts one")
    state = State.open(folder)
    down = 0
    for name in ORDER:
        process = state.running(name)
        if name in state.missing and process is None:
            print(f"  {'missing':8} {name:13} {state.missing[name]}")
            continue
        if name in ALERTMANAGERS[1:] and process is None and name not in state.ports:
            continue  # only who asked for two has them
        down += process is None
        where = state.address(name) if name in state.ports else ""
        pid = f"pid {process.pid}" if process else ""
        program = state.programs.get(name, "")
        print(f"  {'running' if process else 'DOWN':8} {name:13} {where:16} {pid:12} {program}".rstrip())
    if "minio" in state.missing and state.running("minio"):
        print(f"  {'missing':8} {'MinIO':13} {state.missing['minio']}; moto stands in for it")
    print()
    for sight in (
        witness.Sight("counted on /metrics", lambda: witness.counted(state)),
        witness.Sight("stored by Prometheus", lambda: witness.stored(state)),
        witness.Sight("alerts firing", lambda: _firing(state)),
    ):
        print(f"  {sight.what:22} {witness.wait_for(sight, 0) or 'nothing'}")
    _print_notifications(state)
    if down:
        print(f"\n{down} of them do not run: `make up` starts what is missing; logs are in {folder}.")
    return 1 if down else 0


def _firing(state: State) -> str:
    alerts = witness.query(state, 'count by (alertname, severity) (ALERTS{alertstate="firing", severity!="none"})')
    names = sorted(f"{alert['metric']['alertname']} ({alert['metric']['severity']})" for alert in alerts)
    return ", ".join(names) or "none"


def _print_notifications(state: State) -> None:
    try:
        answer = requests.get(f"{state.url('receiver')}/api/v1/notifications", timeout=5).json()["notifications"]
    except (requests.RequestException, KeyError, ValueError):
        return
    if answer:
        print("\n  The last notifications:")
    for notification in answer[:NOTIFICATIONS_SHOWN]:
        age = time.time() - datetime.fromisoformat(notification["received_at"]).timestamp()
        alert = notification["alerts"][0]
        summary = alert["annotations"].get("summary", alert["labels"].get("alertname", ""))
        more = f" (and {len(notification['alerts']) - 1} more)" if len(notification["alerts"]) > 1 else ""
        print(f"  {age / 60:5.1f} min ago  {alert['status']:9} {alert['labels'].get('severity', ''):9} {summary}{more}")
