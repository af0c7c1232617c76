"""Real servers for tests."""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from tools.stack.pidfile import PidRecord, identity_of
from tools.stack.process import PATIENCE_SECONDS, Process, poll_until
from tools.stack.programs.catalogue import NEWEST_SUITE, SearchPath
from tools.stack.programs.search import Binary, find
from tools.stack.servers import Server
from tools.testing.databases import Database, fresh_database
from tools.testing.tcp_proxy import TcpProxy

__all__ = [
    "PATIENCE_SECONDS",
    "Database",
    "PrometheusBinaries",
    "ServerFactory",
    "TcpProxy",
    "end_abandoned_sessions",
    "fresh_database",
    "mark_session",
    "poll_until",
    "servers_root",
]

AnyServer = TypeVar("AnyServer", bound=Server)

# What `stable` and `newest` mean to the fixture prometheus_binaries: the machine's own, and the newest suite's.
PROMETHEUS_SUITES: dict[str, str | None] = {"stable": None, "newest": NEWEST_SUITE}


# Neither overrides nor what is installed on the machine.
WHEELS_ONLY = SearchPath(environ={}, path=(), usual_folders=False)

SESSION_PREFIX = "platform-tests-"

_MEMORY = Path("/dev/shm")
_MEMORY_BYTES = 4 << 30


def servers_root() -> Path:
    """Return where the servers' folders are made: in memory, where there is plenty, otherwise on disk.

    Each test gets a database of its own. Copying the template's 900 files takes 0.2 s of CPU on ext4 and 0.03 s in
    memory (PostgreSQL 15, file_copy).
    """
    roomy = os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _MEMORY_BYTES
    return _MEMORY if roomy else Path(tempfile.gettempdir())


def mark_session(folder: Path) -> None:
    """Write down whose servers run below this folder."""
    if me := identity_of(os.getpid()):
        PidRecord("pytest", me, signal.SIGTERM).write(folder / "owner")


def end_abandoned_sessions(root: Path) -> None:
    """End the servers of test runs that were killed, and so had no time to end them themselves."""
    for folder in root.glob(f"{SESSION_PREFIX}*"):
        # Each worker does this as it starts: what has gone meanwhile, another one ended.
        with contextlib.suppress(FileNotFoundError):
            owner = PidRecord.read(folder / "owner")
            if owner and not owner.identity.exists and folder.stat().st_uid == os.getuid():
                for pid_file in folder.glob("**/*.pid"):
                    if process := Process.recorded(pid_file):
                        process.kill()
                shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class PrometheusBinaries:
    """Prometheus and Alertmanager of one time, with their tools; generation is `stable` or `newest`."""

    generation: str
    prometheus: Binary
    promtool: Binary
    alertmanager: Binary
    amtool: Binary

    @classmethod
    def of(cls, generation: str) -> Self:
        """Find or obtain the four programs."""
        suite = PROMETHEUS_SUITES[generation]
        names = ("prometheus", "promtool", "alertmanager", "amtool")
        return cls(generation, *(find(name, suite=suite) for name in names))


class ServerFactory:
    """Start servers that one test may break; all are destroyed with the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._count = 0

    def start(self, kind: Callable[..., AnyServer], *arguments: Any, **options: Any) -> AnyServer:
        """Return a new server of this class, started, in a folder of its own."""
        server = self.make(kind, *arguments, **options)
        server.start()
        return server

    def make(self, kind: Callable[..., AnyServer], *arguments: Any, **options: Any) -> AnyServer:
        """Return a new server of this class that the test starts itself."""
        self._count += 1
        server = kind(self._folder / str(self._count), *arguments, **options)
        self._stack.callback(server.destroy)
        return server

    def adopt(self, server: AnyServer) -> AnyServer:
        """Destroy this server, too, at the end; for those that others made, such as standbys."""
        self._stack.callback(server.destroy)
        return server

    def close(self) -> None:
        """Destroy all, the latest first."""
        self._stack.close()
