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

import psycopg
import requests

from tools.drills import configuration
from tools.drills.applications import Application, DrillTraffic
from tools.drills.evaluation import Evidence, Subject
from tools.drills.faults import DrillError, Faults
from tools.drills.messages import ChannelMessage
from tools.drills.recorder import AlertRecorder, Receivers
from tools.stack import config_files
from tools.stack.checkout import CHECKOUT
from tools.stack.config_files import BUCKET
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
        self._prometheus_yml = ""
        self._connections: list[psycopg.Connection[Any]] = []
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
        self.give_connections_back()
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

    def redis_password(self, text: str | None) -> None:
        """Have the exporter sign in to Redis with another password; None is the right one."""
        name = "secrets/redis.password"
        if text is not None:
            name = "secrets/redis.wrong"
            self.state.write(name, text, mode=0o600)
        configuration.redis_password_file(self.state, name)

    def append_to_prometheus(self, text: str) -> None:
        """Have Prometheus read its configuration with a text at its end; it may refuse that."""
        path = "config/prometheus/prometheus.yml"
        self._prometheus_yml = self._prometheus_yml or (self.folder / path).read_text()
        self.state.write(path, self._prometheus_yml + text)
        requests.post(f"{self.state.url('prometheus')}/-/reload", timeout=30)

    def store(self) -> Minio:
        """Return the stack's S3 store, to take its drives away."""
        flavour: Flavour = "moto" if "minio" in self.state.missing else "minio"
        return Minio(self.folder, port=self.state.ports["minio"], flavour=flavour)

    def delete_bucket(self) -> None:
        """Delete the bucket that the exporter probes, with all that is in it."""
        client = self.store().client()
        for one in client.list_objects(bucket_name=BUCKET, recursive=True):
            client.remove_object(bucket_name=BUCKET, object_name=str(one.object_name))
        client.remove_bucket(bucket_name=BUCKET)

    def make_bucket(self) -> None:
        self.store().client().make_bucket(bucket_name=BUCKET)

    def use_connections(self, share: float, seconds: float) -> None:
        """Open connections to PostgreSQL evenly within a time, until so large a share of them is used."""
        dsn = f"postgresql://writer:{self.state.secret('writer')}@{self.state.address('postgres')}/platform"
        with psycopg.connect(dsn) as connection:
            [(limit, used)] = connection.execute(
                "select current_setting('max_connections')::int, count(*) from pg_stat_activity "
                "where backend_type = 'client backend'"
            ).fetchall()
        wanted = int(share * limit) - used
        began = time.monotonic()
        for number in range(wanted):
            time.sleep(max(0.0, began + seconds * number / wanted - time.monotonic()))
            self._connections.append(psycopg.connect(dsn))

    def give_connections_back(self) -> None:
        while self._connections:
            self._connections.pop().close()

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
        needs = {name: list(application.needs) for name, application in self.applications.items()}
        configuration.configure_exporter(self.state, thresholds=self.thresholds, dependencies=needs)
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
