"""A whole stack as `make up` starts it, on free ports and in a folder of its own, and what a test asks it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from tools.stack import status
from tools.stack.checkout import CHECKOUT
from tools.stack.process import Process
from tools.stack.state import StackState

DOWN = "PlatformComponentDown"


class RunningStack:
    """One stack, controlled by its command line alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def state(self) -> StackState:
        """Return what it has written down of itself."""
        return StackState.open(self.folder)

    @property
    def notifications_file(self) -> Path:
        """Return where the receiver stores what Alertmanager sends."""
        return self.folder / "notifications.jsonl"

    def run(self, command: str, *options: str) -> str:
        """Run a command of `python -m tools.stack` and return its output; fails the test where it fails."""
        argv = [sys.executable, "-m", "tools.stack", command, "--state", str(self.folder), *options]
        run = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=900)
        assert run.returncode == 0, f"{' '.join(argv)}: {run.stdout[-3000:]}{run.stderr[-3000:]}"
        return run.stdout

    def up(self) -> str:
        """Start what does not run."""
        return self.run("up", "--free-ports", "--no-grafana", "--no-wait", "--build-minio", "--past", "1h")

    def exporter(self, command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of platform-exporter with the stack's configuration."""
        argv = [sys.executable, "-m", "exporter", command, "--config", str(self.folder / "platform-exporter.yml")]
        return subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=60)

    def process(self, name: str) -> Process:
        """Return a server's process; fails the test where it does not run."""
        process = self.state.running(name)
        assert process, f"{name} does not run"
        return process

    def pids(self) -> dict[str, int]:
        """Return the process ids by name."""
        return {file.stem: self.process(file.stem).pid or 0 for file in self.folder.glob("*.pid")}

    def sql(self, database: str, query: str) -> list[tuple[Any, ...]]:
        """Run a query as the user of the application whose database it is."""
        state = self.state
        dsn = f"postgresql://{database}:{state.secret(database)}@{state.address('postgres')}/{database}"
        with psycopg.connect(dsn) as connection:
            return connection.execute(query.encode()).fetchall()

    def prometheus(self, promql: str) -> list[dict[str, Any]]:
        """Return the result of an instant query."""
        return status.query(self.state, promql)

    def notified(self, alertname: str, status: str, since: float, **labels: str) -> float | None:
        """Return the Unix time at which the first such notification after `since` was stored; None before that."""
        for line in self._lines():
            received = datetime.fromisoformat(line["received_at"]).timestamp()
            for alert in line["alerts"]:
                expected = {"alertname": alertname, **labels}
                if received >= since and alert["status"] == status and expected.items() <= alert["labels"].items():
                    return received
        return None

    def _lines(self) -> Iterator[dict[str, Any]]:
        if self.notifications_file.exists():
            for line in self.notifications_file.read_text().splitlines():
                yield json.loads(line)
