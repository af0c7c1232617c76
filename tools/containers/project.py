"""A copy of this checkout as a Compose project, and what people do with one: start it, ask it, kill its containers."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.containers.engine import Engine, run
from tools.stack.checkout import CHECKOUT
from tools.stack.errors import StackError

DEADLINE_SECONDS = 300
NAME = "platform"
LABEL = "com.docker.compose"
PROFILES = ("--profile", "demo", "--profile", "exporters")


@dataclass(frozen=True)
class Project:
    """The project in a folder. Variables of `.env` are those of the file that `settings` writes."""

    engine: Engine
    folder: Path

    @classmethod
    def copied(cls, engine: Engine, folder: Path) -> "Project":
        """Return the project of a fresh copy of what git knows of this checkout, with secrets made."""
        shutil.rmtree(folder, ignore_errors=True)
        argv = ["git", "-C", str(CHECKOUT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in filter(None, run(argv).split("\0")):
            source, target = CHECKOUT / name, folder / name
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
                # The users in the containers are others.
                target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
        run([folder / "deploy/docker/make-secrets.sh"])
        return cls(engine, folder)

    def settings(self, lines: Mapping[str, str]) -> None:
        """Write `.env`."""
        (self.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))

    def compose(self, *argv: str, text: str | None = None, timeout: float = 1800) -> str:
        """Run Compose; return what it prints. Raises StackError."""
        command = [str(self.engine.compose), *argv]
        return run(command, self.engine.environment, folder=self.folder, text=text, timeout=timeout)

    def sh(self, command: str) -> str:
        """Run a line of a document as it stands, where `docker compose` is our Compose. Raises StackError."""
        line = command.replace("docker compose", str(self.engine.compose))
        return run(["bash", "-euo", "pipefail", "-c", line], self.engine.environment, folder=self.folder)

    def execute(self, service: str, *argv: str, text: str | None = None) -> str:
        """Run a program in a service's container. Raises StackError."""
        return self.compose("exec", "-T", service, *argv, text=text, timeout=120)

    def containers(self) -> dict[str, Any]:
        """Return what the engine knows of every container, by service."""
        # Of the engine: Compose shows those of the profiles that were named alone.
        ids = self.engine.run("ps", "--all", "--quiet", "--filter", f"label={LABEL}.project={NAME}").split()
        found = json.loads(self.engine.run("inspect", *ids)) if ids else []
        return {one["Config"]["Labels"][f"{LABEL}.service"]: one for one in found}

    def staying(self) -> dict[str, Any]:
        """Return the containers of services that do not end."""
        found = self.containers()
        return {name: one for name, one in found.items() if one["HostConfig"]["RestartPolicy"]["Name"] != "no"}

    def wait_healthy(self, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        """Wait until everything that stays is healthy. Raises StackError with the logs of what is not."""

        def ill() -> list[str]:
            return [
                name
                for name, one in self.staying().items()
                if not one["State"]["Running"] or one["State"].get("Health", {}).get("Status") != "healthy"
            ]

        try:
            until(lambda: not ill(), deadline_seconds, "health")
        except StackError as error:
            logs = "\n".join(self.compose("logs", "--tail", "8", name) for name in ill())
            raise StackError(f"not healthy after {deadline_seconds:g} s: {', '.join(ill())}\n{logs}") from error

    def kill(self, service: str) -> float:
        """Kill a service's container with SIGKILL from outside, as a crash; return the seconds until it is healthy."""
        before = self.containers()[service]
        os.kill(before["State"]["Pid"], signal.SIGKILL)
        began = time.monotonic()

        def back() -> bool:
            state = self.containers()[service]["State"]
            healthy = state.get("Health", {}).get("Status") == "healthy"
            return bool(healthy and state["StartedAt"] != before["State"]["StartedAt"])

        until(back, DEADLINE_SECONDS, f"{service} back after kill -9")
        return time.monotonic() - began

    def metrics(self) -> str:
        """Return what the exporter shows."""
        return self.execute("exporter", "python", "-c", ASK, "http://127.0.0.1:9847/metrics")

    def prometheus(self, path: str) -> Any:
        """Return the data of an answer of Prometheus's API."""
        return json.loads(self.execute("prometheus", "wget", "-q", "-O", "-", f"http://127.0.0.1:9090{path}"))["data"]

    def notifications(self) -> str:
        """Return all that was received of Alertmanager."""
        folder = "/var/lib/platform-exporter/notifications"
        return self.execute("notifications", "python", "-c", READ, f"{folder}/notifications.jsonl")

    @contextmanager
    def watched(self, program: str) -> Iterator[Callable[[], str]]:
        """Run a Python program in the exporter meanwhile; yield what ends it and returns what it printed."""
        argv = [str(self.engine.compose), "exec", "-T", "exporter", "python", "-u", "-c", program]
        with subprocess.Popen(
            argv,
            cwd=self.folder,
            env=dict(self.engine.environment),
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
        ) as process:
            yield lambda: process.communicate("end\n", timeout=120)[0]


ASK = "import sys, urllib.request as r; sys.stdout.write(r.urlopen(sys.argv[1], timeout=10).read().decode())"
READ = "import sys, pathlib; p = pathlib.Path(sys.argv[1]); sys.stdout.write(p.read_text() if p.exists() else '')"


def until(condition: Callable[[], object], deadline_seconds: float, what: str) -> None:
    """Poll until something is true. Raises StackError; a failed question is asked again."""
    deadline = time.monotonic() + deadline_seconds
    failure = ""
    while time.monotonic() < deadline:
        try:
            if condition():
                return
            failure = ""
        except StackError as error:
            failure = f" ({error})"
        time.sleep(1)
    raise StackError(f"no {what} within {deadline_seconds:g} s{failure}")
