"""One stack for drills: started as `make up` starts it, connected to the drill's receivers, and watched."""

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import requests

from tools.drills import configuration
from tools.drills.applications import Application, DrillTraffic
from tools.drills.evaluation import Evidence, Subject
from tools.drills.faults import DrillError, Faults
from tools.drills.messages import ChannelMessage
from tools.drills.recorder import AlertRecorder, Receivers
from tools.stack import config_files
from tools.stack.checkout import CHECKOUT
from tools.stack.errors import StackError
from tools.stack.process import poll_until
from tools.stack.servers.minio import Flavour, Minio
from tools.stack.state import StackState

START_DEADLINE_SECONDS = 900


class Testbed:
    """A whole stack on free ports in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        applications: Sequence[Application],
        *,
        thresholds: dict[str, Any] | None = None,
        two_alertmanagers: bool = False,
    ) -> None:
        self.folder = folder
        self.applications = {one.name: one for one in applications}
        self._flags = ["--two-alertmanagers"] if two_alertmanagers else []
        self.thresholds = thresholds or {}
        self._traffic: DrillTraffic | None = None
        self._recorder: AlertRecorder | None = None
        self.warm_since = 0.0

    def start(self) -> None:
        """Start all of it. Raises DrillError with the stack's own words."""
        self._stack("up", "--free-ports", "--build-minio", "--no-grafana", "--no-traffic", *self._flags)
        self.state = StackState.open(self.folder)
        self.faults = Faults(self.state)
        self.receivers = Receivers()
        self._connect()
        self._recorder = AlertRecorder(self.state, self.receivers)
        self._traffic = DrillTraffic(self.state, self.applications)
        self._traffic.start()
        self.warm_since = time.monotonic()

    def close(self) -> None:
        """End all of it and remove its folder."""
        for one in (self._traffic, self._recorder):
            if one:
                one.close()
        if self.folder.exists():
            if hasattr(self, "faults"):
                self.faults.restore()
            self._stack("clean")
        if hasattr(self, "receivers"):
            self.receivers.close()

    @property
    def recorder(self) -> AlertRecorder:
        """Return what is seen. Raises DrillError before the start."""
        if self._recorder is None:
            raise DrillError("the testbed was not started")
        return self._recorder

    @property
    def messages(self) -> list[ChannelMessage]:
        return self.recorder.messages

    def add(self, application: Application) -> None:
        """Add an application to the traffic."""
        self.applications[application.name] = application

    def wait_until_warm(self, seconds: float) -> None:
        """Wait until traffic has run for so long."""
        time.sleep(max(0.0, self.warm_since + seconds - time.monotonic()))

    def wait_for_resolved(self, channel: str, deadline_seconds: float = 120) -> None:
        """Wait until the newest message to a channel says that all is over; after the deadline continue."""
        with contextlib.suppress(StackError):
            poll_until(
                lambda: [one.firing for one in self.messages if one.channel == channel][-1:] == [False],
                deadline_seconds,
                interval_seconds=0.2,
            )

    def evidence(self, subject: Subject, began_at: float, ended_at: float | None) -> Evidence:
        """Return what is known of a drill so far."""
        recorder = self.recorder
        # First: what is seen in a later look counts as still firing.
        last_look_at = recorder.last_look_at
        firings = [one for one in recorder.firings if one.last_at >= began_at and subject.has_labels(one.labels)]
        messages = [one for one in recorder.messages if one.at >= began_at and subject.has_message(one)]
        pending = [labels for labels in recorder.pending if subject.has_labels(labels)]
        return Evidence(began_at, firings, messages, last_look_at, ended_at, pending)

    def store(self) -> Minio:
        """Return the stack's S3 store, to take its drives away."""
        flavour: Flavour = "moto" if "minio" in self.state.missing else "minio"
        return Minio(self.folder, port=self.state.ports["minio"], flavour=flavour)

    def _connect(self) -> None:
        """Connect the stack to the drill's receivers, and remove what its servers remember from before.

        The demo's data have open alerts, which would notify: they are closed first, as by a person.
        """
        ours = [name for name in ("prometheus", *config_files.ALERTMANAGERS) if self.state.running(name)]
        for name in ours:
            self.faults.kill(name)
            for left in (self.folder / name).iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        configuration.close_alerts(self.state)
        configuration.notify_receivers(self.state, self.receivers)
        configuration.show_shipped_links(self.state)
        if self.thresholds:
            configuration.set_thresholds(self.state, self.thresholds)
        poll_until(
            lambda: configuration.open_alerts(self.state) == 0,
            60,
            interval_seconds=0.5,
            what="the demo's alerts to close",
        )
        for name in ours:
            self.faults.restart(name)
        for name in ours:
            ready = partial(_answers, f"{self.state.url(name)}/-/ready")
            poll_until(ready, 60, interval_seconds=0.2, what=f"{name} to be ready")

    def _stack(self, command: str, *flags: str) -> None:
        argv = [sys.executable, "-m", "tools.stack", command, "--state", str(self.folder), *flags]
        run = subprocess.run(
            argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=START_DEADLINE_SECONDS, check=False
        )
        if run.returncode:
            raise DrillError(f"`python -m tools.stack {command}` failed: {run.stdout[-1500:]}{run.stderr[-1500:]}")


def _answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=5).status_code == 200
    except requests.RequestException:
        return False
