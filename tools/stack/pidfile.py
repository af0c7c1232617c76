"""Know a process by more than its number, which the kernel gives to others later.

A process is its pid, the clock tick at which it started, and the boot it belongs to (proc_pid_stat(5), field 22).
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Identity:
    """One process, for all time."""

    pid: int
    start_ticks: int
    boot_id: str

    @property
    def exists(self) -> bool:
        """Return whether this very process is still there and not a zombie that only waits to be reaped."""
        stat = _stat(self.pid)
        return stat is not None and stat.state not in "ZX" and identity_of(self.pid) == self


@dataclass(frozen=True)
class _Stat:
    state: str
    parent: int
    start_ticks: int


def identity_of(pid: int) -> Identity | None:
    """Return the process that has this pid now; None where there is none."""
    stat = _stat(pid)
    return Identity(pid, stat.start_ticks, _boot_id()) if stat else None


def descendants(pid: int) -> list[Identity]:
    """Return children, their children and so on, parents before their children; whatever their process groups are."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (stat := _stat(int(entry))):
            children.setdefault(stat.parent, []).append(int(entry))
    found, queue = [], list(children.get(pid, ()))
    while queue:
        child = queue.pop(0)
        if identity := identity_of(child):
            found.append(identity)
        queue.extend(children.get(child, ()))
    return found


@dataclass(frozen=True)
class PidRecord:
    """What a pid file holds: a process, its name, and the signal that asks it to end in good order."""

    name: str
    identity: Identity
    stop_signal: int

    def write(self, path: Path) -> None:
        """Write the file in one step, so that a reader never sees half of it."""
        new = path.with_name(path.name + ".new")
        new.write_text(json.dumps({"name": self.name, "stop_signal": self.stop_signal, **asdict(self.identity)}))
        new.replace(path)

    @classmethod
    def read(cls, path: Path) -> "PidRecord | None":
        """Return the record; None where there is no file or it has another form."""
        try:
            content = json.loads(path.read_text())
            identity = Identity(int(content["pid"]), int(content["start_ticks"]), str(content["boot_id"]))
            return cls(str(content["name"]), identity, int(content["stop_signal"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field is the program's name in parentheses and may itself hold spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    return _Stat(fields[0], int(fields[1]), int(fields[19]))


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
