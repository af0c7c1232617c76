"""A Docker engine of its own, with a data folder and a socket of its own, and Compose to speak to it."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.stack.errors import StackError
from tools.stack.process import Command, Process
from tools.stack.programs import debian

COMPOSE_SUITE = "trixie"
"""Debian's first release with Compose 2; it needs no newer C library than Debian 12's."""

START_SECONDS = 60
STOP_SECONDS = 120


@dataclass(frozen=True)
class Engine:
    """A running engine: how to reach it, and Compose's program."""

    environment: Mapping[str, str]
    compose: Path
    docker: str

    def run(self, *argv: str, text: str | None = None, timeout: float = 1800) -> str:
        """Run the docker client; return what it prints. Raises StackError."""
        return run([self.docker, *argv], self.environment, text=text, timeout=timeout)

    def inspect(self, container: str) -> Any:
        """Return all that the engine knows of a container. Raises StackError where there is none."""
        [found] = json.loads(self.run("inspect", container))
        return found


def run(
    argv: Sequence[str | Path],
    environment: Mapping[str, str] | None = None,
    *,
    folder: Path | None = None,
    text: str | None = None,
    timeout: float = 1800,
) -> str:
    """Run a program to its end; return what it prints. Raises StackError with the end of what it said."""
    try:
        done = subprocess.run(
            list(map(str, argv)),
            env=environment,
            cwd=folder,
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StackError(f"{' '.join(map(str, argv))[:200]}: {error}") from error
    if done.returncode:
        said = (done.stdout + done.stderr).strip()[-3000:]
        raise StackError(f"{' '.join(map(str, argv))[:200]} ended with status {done.returncode}:\n{said}")
    return done.stdout


@contextmanager
def engine(folder: Path, tools: Path) -> Iterator[Engine]:
    """Start an engine whose images and containers are kept in a folder; stop it at the end. Raises StackError."""
    if os.geteuid() != 0:
        raise StackError("a Docker engine needs root: run `make test-compose` as root, on a machine you can do without")
    dockerd, docker = shutil.which("dockerd"), shutil.which("docker", path="/usr/bin:/usr/local/bin")
    if dockerd is None or docker is None:
        raise StackError("dockerd not found: apt-get install docker.io (it need not run as a service)")
    compose, _ = debian.program("docker-compose", "docker-compose", COMPOSE_SUITE, tools)
    folder.mkdir(parents=True, exist_ok=True)
    socket = folder / "docker.sock"
    environment = {
        **os.environ,
        "DOCKER_HOST": f"unix://{socket}",
        "DOCKER_CONFIG": str(folder / "client"),
        "DOCKER_BUILDKIT": "0",
    }
    started = Engine(environment, compose, docker)
    argv = [dockerd, "--data-root", folder / "data", "--exec-root", folder / "exec", "--host", f"unix://{socket}"]
    process = Process("dockerd", folder)
    process.start(Command([*map(str, argv), "--pidfile", str(folder / "docker.pid")]))
    try:
        process.wait_until(lambda: _answers(started), START_SECONDS, "engine")
        yield started
    finally:
        process.stop(STOP_SECONDS)


def _answers(started: Engine) -> bool:
    try:
        return bool(started.run("version", "--format", "{{.Server.Version}}", timeout=20))
    except StackError:
        return False
