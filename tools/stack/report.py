"""What `make up` prints: steps, how far the demo's events have come, and where everything answers."""

import time
from pathlib import Path

from tools.stack import config_files, databases
from tools.stack.state import StackState
from tools.stack.status import checkpoints

# Worst case of the demo's breach: some 20 s for 20 events, `for` 30 s, and the way to the receiver 30 s.
BREACH_DEADLINE_SECONDS = 180

TITLES = {"minio": "MinIO", "grafana": "Grafana"}


def line(title: str, text: str) -> None:
    """Print a line with a title."""
    print(f"  {title:24} {text}".rstrip() + "\n", end="", flush=True)  # in one piece: threads print lines too


def show(state: StackState, deadline_seconds: float) -> bool:
    """Print how far the demo's events have come; return False where something does not arrive in time."""
    print("\nThe demo's events, all the way:", flush=True)
    began, well = time.monotonic(), True
    for checkpoint in checkpoints(state):
        seen = checkpoint.wait(max(0.0, deadline_seconds - (time.monotonic() - began)))
        if seen:
            after = f"   (after {time.monotonic() - began:.0f} s)" if deadline_seconds else ""
            line(checkpoint.name, f"{seen}{after}")
        elif deadline_seconds:
            well = False
            advice = f"see `make status` and the logs in {state.folder}"
            line(checkpoint.name, f"NOT within {deadline_seconds:.0f} s: {advice}")
        else:
            line(checkpoint.name, "not now: the demo's incident lasts 10 minutes of each hour")
    return well


def print_addresses(state: StackState) -> None:
    """Print where everything answers, and what is missing."""
    folder = short(state.folder)
    print()
    line("Metrics", f"{state.url('exporter')}/metrics")
    line("Prometheus", state.url("prometheus"))
    line("Alertmanager", "   ".join(state.url(one) for one in config_files.ALERTMANAGERS if one in state.ports))
    line("Notifications", f"{state.url('receiver')}   and {folder}/notifications.jsonl")
    if "grafana" not in state.missing:
        line("Grafana", f"{state.url('grafana')}   user admin, password in {folder}/grafana.password")
    names = ", ".join(("platform", *databases.DATABASES))
    line("Demo data", "all of it: demo-shop and demo-harvest are simulated, two databases are loaded (docs/demo.md)")
    line("PostgreSQL", f"{state.address('postgres')}   {names}; passwords in {folder}/secrets")
    line("Redis", state.address("redis"))
    line("S3 store", state.address("minio"))
    if state.missing:
        print("\nMissing:")
        for name, reason in state.missing.items():
            line(TITLES[name], f"{reason}{'; moto stands in for it' if name == 'minio' else ''}")
    config = f"{folder}/{config_files.EXPORTER_FILE}"
    where = "" if folder == ".stack" else f" STATE={folder}"
    print(f"\nNext:\n  make status{where}\n  .venv/bin/platform-exporter doctor --config {config}\n  make down{where}")


def short(path: Path) -> str:
    """Return a path as seen from the current folder."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
