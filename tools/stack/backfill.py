"""Give Prometheus the week of the demo from before it was started: `make backfill-demo`."""

import json
import signal
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import requests

from tools.stack import config_files
from tools.stack.checkout import CHECKOUT
from tools.stack.errors import StackError
from tools.stack.pidfile import PidRecord, identity_of
from tools.stack.programs.search import find
from tools.stack.servers.exporter import checkout_command
from tools.stack.state import StackState

DAYS = 7
AN_HOUR_SECONDS = 3600
STEP_SECONDS = 120
"""Enough for a chart of days, and half the time of a sample a minute."""


def run(folder: Path) -> int:
    """Make blocks of what the exporter counted, up to where Prometheus begins; return the command's exit status.

    Where Prometheus has a week or more, there is nothing to do. Raises StackError.
    """
    state = StackState.open(folder)
    for name in ("exporter", "prometheus"):
        if not state.running(name):
            raise StackError(f"{name} does not run in {folder}: `make up` starts it")
    data = folder.absolute() / "prometheus/tsdb"
    begins = oldest(state, data)
    if begins < time.time() - DAYS * 86_400 + AN_HOUR_SECONDS:
        print(f"Prometheus has a past already: since {datetime.fromtimestamp(begins, UTC):%Y-%m-%d %H:%M} UTC.")
        return 0
    programs = {name: str(find(name).path) for name in ("prometheus", "promtool")}
    until = datetime.fromtimestamp(min(begins, time.time()), UTC)
    command = checkout_command([
        "-m", "exporter", "backfill", "--config", str(state.folder / config_files.EXPORTER_FILE),
        "--output", str(data), "--since", f"{DAYS}d", "--until", f"{until:%Y-%m-%dT%H:%M:%S}",
        "--step", str(STEP_SECONDS), "--rules", str(CHECKOUT / "prometheus/rules"),
        "--promtool", programs["promtool"], "--prometheus", programs["prometheus"],
    ])  # fmt: skip
    began = time.monotonic()
    record = folder / "backfill.pid"
    with subprocess.Popen(list(command.argv), env=command.environment, cwd=command.folder) as process:
        # So that `make down` ends it too.
        if found := identity_of(process.pid):
            PidRecord("backfill", found, signal.SIGTERM).write(record)
        try:
            status = process.wait()
        finally:
            record.unlink(missing_ok=True)
    if status == 0:
        print(f"Done after {time.monotonic() - began:.0f} s; Prometheus shows it within two minutes.")
    return status


def oldest(state: StackState, data: Path) -> float:
    """Return when the oldest sample is from that Prometheus holds, in Unix seconds, in memory or in blocks."""
    head = requests.get(f"{state.url('prometheus')}/api/v1/status/tsdb", timeout=10).json()["data"]["headStats"]
    times = [head["minTime"], *(json.loads(meta.read_text())["minTime"] for meta in data.glob("*/meta.json"))]
    return float(min(times)) / 1000
