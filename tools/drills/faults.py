"""Faults of a stack's servers: freeze, stop, kill, and start again as before."""

import contextlib
import os
import signal
from pathlib import Path

from tools.stack.pidfile import PidRecord
from tools.stack.process import Command, Process
from tools.stack.state import StackState


class DrillError(Exception):
    """Raised when a drill could not run: a server did not start, or a name is unknown."""


class Faults:
    """Freezes, stops, kills and restarts the servers of one stack, by their names in its state."""

    def __init__(self, state: StackState) -> None:
        self._state = state
        self._ended: dict[str, tuple[Command, signal.Signals]] = {}
        # Children of this process, which it has to wait for.
        self._restarted: dict[str, Process] = {}

    def freeze(self, name: str) -> None:
        """Make it hang (SIGSTOP): connections stay open, none is answered."""
        self._running(name).freeze()

    def thaw(self, name: str) -> None:
        self._running(name).thaw()

    def stop(self, name: str) -> None:
        """End it in good order."""
        self._remembered(name).stop(30)

    def kill(self, name: str) -> None:
        """End it at once, without a chance to tidy up."""
        self._remembered(name).kill()

    def restart(self, name: str) -> None:
        """Start what was stopped or killed, just as it was started before."""
        command, stop_signal = self._ended.pop(name)
        process = Process(name, self._state.folder, stop_signal=stop_signal)
        process.start(command)
        self._restarted[name] = process

    def restore(self) -> None:
        """Bring back all that an interrupted drill has left frozen or ended."""
        for name in list(self._ended):
            self.restart(name)
        for name in self._state.ports:
            with contextlib.suppress(DrillError):
                self.thaw(name)

    def _running(self, name: str) -> Process:
        process = self._restarted.get(name) or self._state.running(name)
        if process is None or not process.alive:
            raise DrillError(f"{name} does not run")
        return process

    def _remembered(self, name: str) -> Process:
        process, record = self._running(name), PidRecord.read(self._state.pid_file(name))
        if record is not None:
            self._ended[name] = (command_of(record.identity.pid), signal.Signals(record.stop_signal))
        return process


def command_of(pid: int) -> Command:
    """Return what a running process was started with, as /proc has it."""
    proc = Path(f"/proc/{pid}")
    argv = (proc / "cmdline").read_bytes().decode().split("\0")[:-1]
    pairs = (pair.partition("=") for pair in (proc / "environ").read_bytes().decode().split("\0") if pair)
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines() if ":" in line)
    user, group = int(status["Uid"].split()[0]), int(status["Gid"].split()[0])
    environment = {name: value for name, _, value in pairs}
    folder, program = (proc / "cwd").readlink(), (proc / "exe").readlink()
    # The Python of a virtual environment is a link: what it leads to would not find what is installed there.
    linked = folder / argv[0]
    argv[0] = str(linked if linked != program and linked.resolve() == program else _program(program))
    return Command(argv, environment, folder, *_if_other(user, group))


def _program(running: Path) -> Path:
    """Return what was started: the script before a program that programs/debian.py changed."""
    script = running.parent.parent / "bin" / running.name
    return script if running.parent.name == "libexec" and script.exists() else running


def _if_other(user: int, group: int) -> tuple[int | None, int | None]:
    """Return user and group, None where they are ours: only root may set them."""
    return (None, None) if user == os.geteuid() else (user, group)
