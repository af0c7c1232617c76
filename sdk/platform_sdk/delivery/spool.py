"""Batches on disk while the database is down: a folder for each process, locked as long as it lives.

    SPOOL_FOLDER/<destination>/<process>/lock, store.json, ledger.json, NUMBER-EVENTS-ID.batch
    SPOOL_FOLDER/<destination>/corrupt/     the last few files that could not be read

A folder that can be locked belonged to a dead process; who holds the lock stores what is in it. The lock is POSIX's
(lockf): a forked child does not hold it, and the kernel releases it whatever kills the process.
"""

import fcntl
import hashlib
import json
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from platform_sdk.delivery import spool_file
from platform_sdk.delivery.batch import Batch
from platform_sdk.delivery.ledger import Ledger
from platform_sdk.delivery.spool_file import SpoolFile
from platform_sdk.delivery.store import load_driver
from platform_sdk.diagnostics import note
from platform_sdk.options import Options

KEPT_CORRUPT = 10
MOST_FOLDERS = 1000
COMMON_SHARE = 0.9
"""The share of `spool_bytes` that anything may fill; the rest is for errors and jobs."""
_MEASURE_EVERY_SECONDS = 10.0


class SpoolFullError(Exception):
    """Raised when a batch finds no room within spool_bytes."""


class BatchSpool:
    """This process's folder, made when first needed. Methods raise OSError."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._number = 0
        self._lock: int | None = None
        self._others = (0, -_MEASURE_EVERY_SECONDS)
        self.name = f"{os.getpid()}-{time.time_ns():x}"
        self._destination: Path | None = None
        self.folder: Path | None = None

    @property
    def enabled(self) -> bool:
        return bool(self._options.spool_folder)

    def claim(self) -> None:
        """Make this process's folder now, to see whether that can be done."""
        self._own()

    def write(self, batch: Batch, mine: int) -> SpoolFile:
        """Write a batch; `mine` is how many bytes this process has there already. Raises SpoolFullError, OSError."""
        room = self._options.spool_bytes * (1.0 if batch.urgent else COMMON_SHARE)
        if mine + self._bytes_of_others() + batch.size > room:
            raise SpoolFullError(f"{self._options.spool_folder} is full: raise spool_bytes={self._options.spool_bytes}")
        self._number += 1
        return spool_file.write(batch, self._own(), self._number)

    def save(self, ledger: Ledger) -> None:
        """Write the process's ledger, for the process that finds this folder after its death."""
        spool_file.write_whole(self._own() / "ledger.json", ledger.to_json().encode())

    def isolate(self, file: SpoolFile) -> None:
        """Move a corrupt file away; only the last few are kept."""
        corrupt = self._base() / "corrupt"
        corrupt.mkdir(mode=0o700, exist_ok=True)
        with suppress(OSError):
            file.path.rename(corrupt / file.path.name)
        with suppress(FileNotFoundError):  # another process removes them too
            for old in sorted(corrupt.iterdir(), key=lambda path: path.stat().st_mtime)[:-KEPT_CORRUPT]:
                old.unlink()

    def remove_unknown(self, known: tuple[SpoolFile, ...]) -> None:
        """Remove our files that are not in the accounts: the thread that wrote them ended before it could add them."""
        if self.folder is not None:
            paths = {file.path for file in known}
            for file in spool_file.listed(self.folder):
                if file.path not in paths:
                    file.path.unlink(missing_ok=True)

    def abandoned(self) -> Iterator["AbandonedSpool"]:
        """Yield the folders of dead processes, each locked until it is closed.

        Those of this store, and of stores that it replaces; of other stores it is logged that events wait there.
        """
        root = Path(self._options.spool_folder)
        if not self.enabled or not root.is_dir():
            return
        yield from self._abandoned_in(self._base())
        ours = {destination(self._options, dsn) for dsn in (self._options.dsn, *self._options.other_dsns)}
        for base in sorted(root.iterdir()):
            store = None if base.name in ours else self._replaced(base)
            if store in self._options.adopt_stores:
                yield from self._abandoned_in(base)
            elif store is not None:
                self._note_stranded(base, store)

    def _abandoned_in(self, base: Path) -> Iterator["AbandonedSpool"]:
        for folder in sorted(base.iterdir()) if base.is_dir() else ():
            # A folder without a lock file may be one that is being made.
            if folder.name not in ("corrupt", self.name) and (folder / "lock").exists():
                lock = _locked(folder / "lock")
                if lock is not None:
                    yield AbandonedSpool(folder, lock)

    def _replaced(self, base: Path) -> str | None:
        """Return the name of the store that a folder's events are for, None where they are another application's."""
        app, store = owner(base)
        return store if app == self._options.app else None

    def _note_stranded(self, base: Path, store: str) -> None:
        events = 0
        for folder in self._abandoned_in(base):
            events += sum(file.events for file in folder.files())
            folder.close()
        if events:
            note(
                "spool of another store",
                f"{events} events wait in {base} for {store}: if this store replaces it, set adopt_stores={store!r}; "
                "else start a process of that store, or remove the folder",
            )

    def holds(self, name: str) -> bool:
        """Return whether there is a folder of this name, whose ledger may say more than the database's."""
        return self.enabled and (self._base() / name).exists()

    def close(self, *, keep: bool) -> None:
        """Release the folder, so that a later process may adopt it; remove it unless there is something to `keep`."""
        if self.folder is not None and not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
        self._lock = self.folder = None

    def _base(self) -> Path:
        if self._destination is None:
            self._destination = Path(self._options.spool_folder) / destination(self._options)
        return self._destination

    def _own(self) -> Path:
        if self.folder is not None:
            return self.folder
        root = Path(self._options.spool_folder)
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_private(root)
        base = self._base()
        if base.is_dir() and len(list(base.iterdir())) >= MOST_FOLDERS:
            raise OSError(f"{base} holds the folders of {MOST_FOLDERS} processes already")
        folder = base / self.name
        folder.mkdir(mode=0o700, parents=True)
        self._lock = _locked(folder / "lock")
        if self._lock is None:
            raise OSError(f"{folder} is locked by another process")
        store = {"app": self._options.app, "store": _name_of_store(_parts(self._options.dsn))}
        spool_file.write_whole(folder / "store.json", json.dumps(store).encode())
        self.folder = folder
        return folder

    def _bytes_of_others(self) -> int:
        size, at = self._others
        if time.monotonic() - at >= _MEASURE_EVERY_SECONDS:
            size = 0
            for path in Path(self._options.spool_folder).glob("*/*/*.batch"):
                with suppress(OSError):
                    size += 0 if path.parent.name == self.name else path.stat().st_size
            self._others = (size, time.monotonic())
        return size


class AbandonedSpool:
    """The folder of a dead process, locked by this one."""

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self._lock = lock

    def files(self) -> list[SpoolFile]:
        """Return the batches in it."""
        return spool_file.listed(self.folder)

    def ledger(self) -> Ledger | None:
        """Return the ledger as its process last wrote it, None if it is unreadable."""
        try:
            return Ledger.from_json((self.folder / "ledger.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def remove(self) -> None:
        """Remove it, when all of it is stored."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def close(self) -> None:
        """Release the lock."""
        os.close(self._lock)


def _parts(dsn: str) -> tuple[str, ...]:
    """Return a store's host, address, port and database; the whole DSN where it cannot be read."""
    try:
        load_driver()
        from psycopg.conninfo import conninfo_to_dict

        parameters = conninfo_to_dict(dsn)
    except Exception:  # noqa: BLE001 - psycopg missing or the DSN malformed: events are kept until that is fixed
        return (dsn,)
    return tuple(str(parameters.get(key) or "") for key in ("host", "hostaddr", "port", "dbname"))


def destination(options: Options, dsn: str | None = None) -> str:
    """Return a short text that is the same for all processes of one application that write to one database."""
    parts = (*_parts(dsn or options.dsn), options.app)
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:16]


def owner(base: Path) -> tuple[str | None, str]:
    """Return the application whose events are in a folder, and their store; None where that is not said.

    Versions before this one wrote the name of a store of which a malformed DSN's password may be a part: for such a
    name the folder's own stands.
    """
    for file in base.glob("*/store.json"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            read = json.loads(file.read_text(encoding="utf-8"))
            store = str(read["store"])
            return str(read["app"]), base.name if "@" in store[1:] or "://" in store else store
    return None, ""


def _name_of_store(parts: tuple[str, ...]) -> str:
    """Return HOST:PORT/DATABASE, with + between several hosts, as commas separate options; "" of a DSN unread."""
    if len(parts) == 1:
        return ""
    host, address, port, database = (part.replace(",", "+") for part in parts)
    return f"{host or address}:{port or 5432}/{database}"


def check_private(folder: Path) -> None:
    """Refuse a folder that others could write to; the default one is below /tmp. Raises OSError."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise OSError(f"invalid spool folder {folder}: expected one that this user owns and no other may write to")


def _locked(path: Path) -> int | None:
    """Return a descriptor that holds the lock, None if another process has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its holder may have removed it after it was opened here.
        if path.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None
