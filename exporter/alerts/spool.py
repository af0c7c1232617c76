"""The spool: deliveries on disk until the event store has them.

One file each, named by time and id, written durably: what was answered with 200 survives a loss of power. Replicas may
share a folder.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from exporter import files
from exporter.alerts.notification import Delivery
from exporter.errors import SpoolError

SUFFIX, REFUSED = ".post", ".refused"
KEPT_REFUSED = 20

UNFINISHED_SECONDS = 3600.0
"""What is older never will be finished. Far more than the clock of a shared folder's server may be behind."""


class NotificationSpool:
    """A folder of deliveries, of at most `limit_bytes`."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        """Create the folder if it is missing, open to its owner only. Raises SpoolError."""
        self._folder = folder
        self._limit_bytes = limit_bytes
        with self._explain():
            files.make_folder(folder)
            for unfinished in folder.glob("*.new"):
                with contextlib.suppress(FileNotFoundError):  # another replica finished it
                    if time.time() - unfinished.stat().st_mtime > UNFINISHED_SECONDS:
                        unfinished.unlink()

    def add(self, delivery: Delivery) -> None:
        """Write a delivery and wait until it is on the disk. Blocks. Raises SpoolError where there is no room."""
        body = msgspec.json.encode(delivery)
        with self._explain():
            used = sum(files.size(file) for file in self.waiting())
            if used + len(body) > self._limit_bytes:
                raise SpoolError(f"`alerts.spool_limit_bytes`, {self._limit_bytes}, are used up in {self._folder}")
            file = self._folder / f"{time.time_ns():020d}-{delivery.id}{SUFFIX}"
            files.write(file, body, durable=True)

    def waiting(self) -> list[Path]:
        """Return the files that wait, the oldest first. Raises OSError."""
        return sorted(self._folder.glob(f"*{SUFFIX}"))

    def deliveries(self) -> Iterator[tuple[Path, Delivery]]:
        """Yield what waits, the oldest first; an invalid file is set aside. Raises SpoolError."""
        with self._explain():
            for file in self.waiting():
                try:
                    yield file, msgspec.json.decode(file.read_bytes(), type=Delivery)
                except FileNotFoundError:
                    continue  # another replica was faster
                except msgspec.MsgspecError:
                    self.refuse(file)

    def remove(self, file: Path) -> None:
        """Remove a delivery that is stored; one left behind is tried again, and then known. Raises SpoolError."""
        with self._explain():
            file.unlink(missing_ok=True)

    def refuse(self, file: Path) -> None:
        """Set aside a delivery that can never be stored, so that it does not block the others; the last ones stay."""
        with contextlib.suppress(OSError):
            file.replace(file.with_suffix(REFUSED))
            for old in sorted(self._folder.glob(f"*{REFUSED}"))[:-KEPT_REFUSED]:
                old.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _explain(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SpoolError(
                f"`alerts.spool_folder` is {str(self._folder)!r}: {error.strerror or error}; expected a folder that "
                f"user id {os.geteuid()} may write to"
            ) from error
