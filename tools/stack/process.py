"""Run one server as a child process, stop, kill or freeze it, and wait for a state by polling."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tools.stack.errors import StackError
from tools.stack.pidfile import Identity, PidRecord, descendants, identity_of

T = TypeVar("T")

PATIENCE_SECONDS = 120.0
"""How long to wait for a state that comes at once where the machine is not busy; only what fails waits so long."""


@dataclass(frozen=True)
class Command:
    """What to run, and as whom; user and group are numbers, None meaning our own."""

    argv: Sequence[str]
    environment: Mapping[str, str] | None = None
    folder: Path | None = None
    user: int | None = None
    group: int | None = None


class Process:
    """One child process and all that descends from it.

    It signals only processes that it started, or that a pid file of ours names: known by pid, start and boot,
    so that a pid which the kernel has given to another process since is left alone.
    """

    def __init__(self, name: str, state_dir: Path, *, stop_signal: signal.Signals = signal.SIGTERM) -> None:
        self.name = name
        self.log = state_dir / f"{name}.log"
        self.pid_file = state_dir / f"{name}.pid"
        self._stop_signal = int(stop_signal)
        self._popen: subprocess.Popen[bytes] | None = None
        self._identity: Identity | None = None
        self._log_start = 0

    @classmethod
    def recorded(cls, pid_file: Path) -> "Process | None":
        """Return the process that an earlier program recorded there; None where it no longer runs."""
        record = PidRecord.read(pid_file)
        if record is None or not record.identity.exists:
            return None
        process = cls(record.name, pid_file.parent)
        process.pid_file = pid_file
        process._stop_signal = record.stop_signal
        process._identity = record.identity
        return process

    @property
    def pid(self) -> int | None:
        """Return the process id; None when nothing was started."""
        return self._identity.pid if self._identity else None

    @property
    def alive(self) -> bool:
        """Return whether it runs; a frozen process does, a zombie does not."""
        if self._popen is not None:
            return self._popen.poll() is None
        return self._identity is not None and self._identity.exists

    @property
    def exit_status(self) -> int | None:
        """Return what our child ended with, negative for a signal; None while it runs, or if it is not our child."""
        return self._popen.poll() if self._popen else None

    def start(self, command: Command) -> None:
        """Start it in a session of its own, its output appended to the log, its pid file written.

        Raises StackError where it runs already, here or by the pid file, or cannot be executed.
        """
        if self.alive or Process.recorded(self.pid_file):
            raise StackError(f"{self.name} runs already (pid file {self.pid_file}): stop it first")
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            try:
                self._popen = subprocess.Popen(
                    list(command.argv),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=command.folder,
                    env=command.environment,
                    user=command.user,
                    group=command.group,
                    extra_groups=None if command.user is None else [],
                    # A session, not just a group: Ctrl-C in the terminal or its closing must not reach the servers.
                    start_new_session=True,
                )
            except OSError as error:
                raise StackError(f"{self.name}: cannot run {command.argv[0]}: {error}") from error
        self._identity = identity_of(self._popen.pid)
        if self._identity is not None:
            PidRecord(self.name, self._identity, self._stop_signal).write(self.pid_file)

    def stop(self, deadline_seconds: float = 60) -> None:
        """Ask it to end, after thawing it; kill it and what it started when the deadline has passed.

        Where its stop signal is SIGKILL, it is killed at once, with all that it started.
        """
        if self._stop_signal == signal.SIGKILL:
            self.kill()
        elif self.alive:
            self.thaw()
            tree = self._tree()
            _signal(tree[:1], self._stop_signal)
            with contextlib.suppress(StackError):
                poll_until(lambda: not self.alive, deadline_seconds)
            self._end(tree)
        self._forget()

    def kill(self) -> None:
        """End it and all its descendants at once, as a power cut or the kernel's OOM killer would."""
        if self.alive:
            # Frozen first: a supervisor that sees one child die must get no time to start another.
            self.freeze()
            self._end(self._tree())
        self._forget()

    def freeze(self) -> None:
        """Stop the clock of the whole tree (SIGSTOP): connections stay open, none is answered.

        By walking parents, not by process group: every PostgreSQL backend is the leader of a group of its own.
        """
        frozen: set[Identity] = set()
        while new := [member for member in self._tree() if member not in frozen]:
            _signal(new, signal.SIGSTOP)
            frozen.update(new)

    def thaw(self) -> None:
        """Let the whole tree run again, children before their parents so that a parent never misses them."""
        _signal(self._tree()[::-1], signal.SIGCONT)

    def wait_until(self, predicate: Callable[[], object], deadline_seconds: float, what: str = "an answer") -> None:
        """Poll until the predicate is true.

        Raises StackError, with the end of the log, when the process ends before that or the deadline passes.
        """
        deadline = time.monotonic() + deadline_seconds
        while True:
            answered = predicate()
            # Asked second: the answer may have come from a stranger on the port that made ours give up.
            if not self.alive:
                raise StackError(f"{self.name} ended with status {self.exit_status}.{self._log_quote()}")
            if answered:
                return
            if time.monotonic() > deadline:
                raise StackError(f"{self.name}: no {what} within {deadline_seconds:g} s.{self._log_quote()}")
            time.sleep(0.02)

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines written since the latest start."""
        try:
            content = self.log.read_bytes()[self._log_start :]
        except OSError:
            return ""
        return "\n".join(content.decode(errors="replace").splitlines()[-lines:])

    def _log_quote(self) -> str:
        tail = self.log_tail()
        return f" Last lines of {self.log}:\n{tail}" if tail else f" Its log {self.log} is empty."

    def _tree(self) -> list[Identity]:
        if self._identity is None or not self._identity.exists:
            return []
        return [self._identity, *descendants(self._identity.pid)]

    def _end(self, tree: list[Identity]) -> None:
        _signal(tree, signal.SIGKILL)
        if self._popen is not None:
            self._popen.wait(PATIENCE_SECONDS)
        poll_until(lambda: not any(member.exists for member in tree), what=f"the end of {self.name}")

    def _forget(self) -> None:
        self._popen = self._identity = None
        self.pid_file.unlink(missing_ok=True)


def _signal(members: Sequence[Identity], number: int) -> None:
    for member in members:
        if member.exists:
            with contextlib.suppress(ProcessLookupError):
                os.kill(member.pid, number)


def recorded_processes(state_dir: Path) -> list[Process]:
    """Return the processes which the pid files of a state folder name and which still run; stale files are removed."""
    processes = []
    for pid_file in sorted(state_dir.glob("*.pid")):
        if process := Process.recorded(pid_file):
            processes.append(process)
        elif PidRecord.read(pid_file):
            pid_file.unlink(missing_ok=True)
    return processes


def clean_environment(*prefixes: str, **extra: str) -> dict[str, str]:
    """Return our environment without the variables that would change a server's behaviour, and with some more."""
    return {**{key: value for key, value in os.environ.items() if not key.startswith(prefixes)}, **extra}


def poll_until(
    predicate: Callable[[], T],
    deadline_seconds: float = PATIENCE_SECONDS,
    *,
    interval_seconds: float = 0.02,
    what: str = "",
) -> T:
    """Return the predicate's first true value.

    The predicate is asked at least once, and once more after the deadline, so that a slow machine gets no false alarm.

    Raises StackError when the deadline has passed; an exception of the predicate goes through.
    """
    deadline = time.monotonic() + deadline_seconds
    while True:
        late = time.monotonic() >= deadline
        value = predicate()
        if value:
            return value
        if late:
            name = what or getattr(predicate, "__name__", "the state")
            raise StackError(f"waited {deadline_seconds:g} s in vain for {name}; last answer: {value!r}")
        time.sleep(interval_seconds)
