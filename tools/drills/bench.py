"""One stack to play drills on: started as `make up` starts it, turned to the drill's receivers, and watched."""

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

from tools.drills import configuration, demo
from tools.drills.applications import Application
from tools.drills.errors import DrillError
from tools.drills.machine import Machine
from tools.drills.notices import Notice
from tools.drills.receivers import Receivers
from tools.drills.recording import Recording
from tools.drills.traffic import Traffic
from tools.drills.verdict import Evidence, Subject
from tools.stack import config_files
from tools.stack.checkout import CHECKOUT
from tools.stack.errors import StackError
from tools.stack.process import poll_until
from tools.stack.servers.minio import Flavour, Minio
from tools.stack.state import StackState

START_DEADLINE_SECONDS = 900


class Bench:
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
        self._traffic: Traffic | None = None
        self._recording: Recording | None = None
        self.warm_since = 0.0

    def start(self) -> None:
        """Start all of it. Raises DrillError with the stack's own words."""
        self._stack("up", "--free-ports", "--build-minio", "--no-grafana", "--no-traffic", *self._flags)
        self.state = StackState.open(self.folder)
        self.machine = Machine(self.state)
        self.receivers = Receivers()
        self._begin_anew()
        self._recording = Recording(self.state, self.receivers)
        self._traffic = Traffic(self.state, self.applications)
        self._traffic.start()
        self.warm_since = time.monotonic()

    def close(self) -> None:
        """End all of it and remove its folder."""
        for one in (self._traffic, self._recording):
            if one:
                one.close()
        if self.folder.exists():
            if hasattr(self, "machine"):
                self.machine.mend()
            self._stack("clean")
        if hasattr(self, "receivers"):
            self.receivers.close()

    @property
    def recording(self) -> Recording:
        """Return what is seen. Raises DrillError before the start."""
        if self._recording is None:
            raise DrillError("the bench was not started")
        return self._recording

    @property
    def notices(self) -> list[Notice]:
        """Return all that came."""
        return self.recording.notices

    def add(self, application: Application) -> None:
        """Let one more application live."""
        self.applications[application.name] = application

    def wait_until_warm(self, seconds: float) -> None:
        """Wait until traffic has run for so long."""
        time.sleep(max(0.0, self.warm_since + seconds - time.monotonic()))

    def wait_for_resolved(self, channel: str, deadline_seconds: float = 120) -> None:
        """Wait until the newest message to a channel says that all is over; after the deadline go on."""
        with contextlib.suppress(StackError):
            poll_until(
                lambda: [one.firing for one in self.notices if one.channel == channel][-1:] == [False],
                deadline_seconds,
                interval_seconds=0.2,
            )

    def evidence(self, subject: Subject, began_at: float, ended_at: float | None) -> Evidence:
        """Return what is known of a drill by now."""
        recording = self.recording
        # First: what was seen in a look after this one counts as firing still.
        looked_at = recording.looked_at
        firings = [one for one in recording.firings if one.last_at >= began_at and subject.has_labels(one.labels)]
        notices = [one for one in recording.notices if one.at >= began_at and subject.has_notice(one)]
        pending = [labels for labels in recording.pending if subject.has_labels(labels)]
        return Evidence(began_at, firings, notices, looked_at, ended_at, pending)

    def store(self) -> Minio:
        """Return the stack's S3 store, to take its drives away."""
        flavour: Flavour = "moto" if "minio" in self.state.missing else "minio"
        return Minio(self.folder, port=self.state.ports["minio"], flavour=flavour)

    def _begin_anew(self) -> None:
        """Turn the stack to the drill's receivers, and let nobody remember what was before.

        The demo's data have open alerts, which would be told: they are closed first, as by a person.
        """
        ours = [name for name in ("prometheus", *config_files.ALERTMANAGERS) if self.state.running(name)]
        for name in ours:
            self.machine.kill(name)
            for left in (self.folder / name).iterdir():
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        demo.close_alerts(self.state)
        configuration.tell_receivers(self.state, self.receivers)
        configuration.show_shipped_links(self.state)
        if self.thresholds:
            configuration.set_thresholds(self.state, self.thresholds)
        poll_until(
            lambda: demo.open_alerts(self.state) == 0, 60, interval_seconds=0.5, what="the demo's alerts to close"
        )
        for name in ours:
            self.machine.revive(name)
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
