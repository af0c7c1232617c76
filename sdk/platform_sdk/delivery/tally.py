"""How many events a process has produced, in memory that outlives it: what is known after a kill.

    /dev/shm/platform-sdk-UID/<what they share>/<process>     a page: counts, then JSON that says whose they are

The application's threads write it with each event, through a mapping. Memory only, never a disk: a write to a mapped
file may have to wait for one. Where there is none (outside Linux), nothing is known after a kill. A process removes its
page when its ledger has been written. One that is left behind, and can be locked, is of a dead process.
"""

import fcntl
import hashlib
import json
import mmap
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from platform_sdk.delivery.spool import check_private
from platform_sdk.options import Options

MEMORY = Path("/dev/shm")  # noqa: S108 - what is made in it is private
MOST_PAGES = 1000

BY_THREADS, BY_WRITER, SEEN_DEAD = 0, 1, 2
"""The numbers in a page: produced, as counted with each event and as seen by the writer; since when it is dead."""
_NUMBERS = 8
_SIZE = 4096

_kept: list[object] = []
"""Mappings that must not be closed: their descriptors are closed already, and their numbers may be another file's."""


class Tally:
    """This process's page. `counts` are its numbers."""

    def __init__(self, path: Path, whose: dict[str, object]) -> None:
        """Make it. Raises OSError."""
        self._path = path
        unfinished = path.with_suffix(".part")
        descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            text = json.dumps(whose).encode()
            # Written rather than made longer: a mapping of what there is no memory for would kill the process.
            os.write(descriptor, (bytes(8 * _NUMBERS) + text).ljust(_SIZE, b"\n"))
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._map = mmap.mmap(descriptor, _SIZE)
            unfinished.rename(path)
        except BaseException:
            os.close(descriptor)
            unfinished.unlink(missing_ok=True)
            raise
        self._descriptor = descriptor
        self._file = _identity(descriptor)
        self.counts = memoryview(self._map).cast("Q")

    def remove(self) -> None:
        """Remove it: the ledger says all that it says."""
        _remove(self._path)
        self.leave()

    def leave(self) -> None:
        """Use it no longer. What daemonizes a process may have closed all descriptors, and then these are not ours."""
        ours = False
        with suppress(OSError):
            ours = _identity(self._descriptor) == self._file
        if ours:
            os.close(self._descriptor)  # the mapping goes with the last thread that counts in it
        else:
            _kept.append(self._map)


@dataclass(frozen=True, slots=True)
class DeadTally:
    """The page of a dead process, locked by this one."""

    app: str
    process: str
    spool: str
    produced: int
    started_at: float
    path: Path
    descriptor: int

    def remove(self) -> None:
        """Remove it: its ledger says all that it says."""
        _remove(self.path)

    def dead_seconds(self) -> float:
        """Return for how long it has been known that the process is dead; from now on it is."""
        place = 8 * SEEN_DEAD
        since = int.from_bytes(os.pread(self.descriptor, 8, place), sys.byteorder)
        if since == 0:
            os.pwrite(self.descriptor, int(time.time()).to_bytes(8, sys.byteorder), place)
        return max(time.time() - since, 0.0) if since else 0.0


def begin(options: Options, name: str, process: str, started_at: float) -> Tally | None:
    """Return a page for this process, None where there is no memory to be had. Never raises."""
    if not MEMORY.is_dir():
        return None
    whose = {"app": options.app, "process": process, "spool": name, "started_at": started_at, **_life(os.getpid())}
    folder = _folder(options)
    for _ in range(3):  # another process may just remove the folder, as it was empty
        with suppress(OSError):
            folder.parent.mkdir(mode=0o700, exist_ok=True)
            check_private(folder.parent)
            folder.mkdir(mode=0o700, exist_ok=True)
            return Tally(folder / name, whose) if len(os.listdir(folder)) < MOST_PAGES else None
    return None


def of_dead_processes(options: Options, mine: str) -> Iterator[DeadTally]:
    """Yield the pages of dead processes that wrote to the same database, each locked until the next is asked for."""
    folder = _folder(options)
    with suppress(FileNotFoundError):
        for path in sorted(folder.iterdir()):
            if path.name != mine and path.suffix != ".part":
                with suppress(OSError, ValueError, KeyError, TypeError):
                    yield from _if_dead(path)


def _if_dead(path: Path) -> Iterator[DeadTally]:
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        page = os.pread(descriptor, _SIZE, 0)
        counts, whose = memoryview(page)[: 8 * _NUMBERS].cast("Q"), json.loads(page[8 * _NUMBERS :])
        # A process that lost its lock, as it closed all descriptors, is seen to live all the same.
        if whose["life"] is None or whose["life"] != _life(int(whose["pid"]))["life"]:
            produced = max(counts[BY_THREADS], counts[BY_WRITER])
            yield DeadTally(
                str(whose["app"]), str(whose["process"]), str(whose["spool"]), produced, float(whose["started_at"]),
                path, descriptor,
            )  # fmt: skip
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    with suppress(OSError):  # others are in it
        path.parent.rmdir()


def _folder(options: Options) -> Path:
    shared = "\0".join((options.dsn, options.app, options.spool_folder))
    digest = hashlib.sha256(shared.encode("utf-8", "replace")).hexdigest()[:16]
    return MEMORY / f"platform-sdk-{os.getuid()}" / digest


def _life(process: int) -> dict[str, object]:
    """Return the process id, and what no other process ever has: namespace and start; None for one that is gone."""
    life = None
    with suppress(OSError, IndexError):
        started = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1].split()
        if started[0] != "Z":
            life = f"{os.readlink('/proc/self/ns/pid')} {started[19]}"
    return {"pid": process, "life": life}


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
