"""Keep posts on disk until the event store has them.

A file a post, named by time and id. It is written whole under another name, forced to the disk and renamed, and so is
its folder: what was answered with 200 survives the loss of power. Replicas may share a folder.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from exporter.alerts.payload import Post
from exporter.errors import SpoolError

SUFFIX, REFUSED = ".post", ".refused"
KEPT_REFUSED = 20


class Spool:
    """Hold a folder of posts, at most `limit_bytes` of them."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        """Make the folder where it is missing, open to its owner only. Raises SpoolError."""
        self._folder = folder
        self._limit_bytes = limit_bytes
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for unfinished in folder.glob("*.new"):
                if time.time() - unfinished.stat().st_mtime > 60:
                    unfinished.unlink(missing_ok=True)
        except OSError as error:
            raise SpoolError(self._problem(error)) from error

    def add(self, post: Post) -> None:
        """Write a post and wait until it is on the disk. Blocks. Raises SpoolError where there is no room."""
        body = msgspec.json.encode(post)
        try:
            used = sum(file.stat().st_size for file in self.waiting())
            if used + len(body) > self._limit_bytes:
                raise SpoolError(f"`alerts.spool_limit_bytes`, {self._limit_bytes}, are used up in {self._folder}")
            file = self._folder / f"{time.time_ns():020d}-{post.id}{SUFFIX}"
            new = file.with_suffix(".new")
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as writing:
                writing.write(body)
                writing.flush()
                os.fsync(writing.fileno())
            new.replace(file)
            _sync(self._folder)
        except OSError as error:
            raise SpoolError(self._problem(error)) from error

    def waiting(self) -> list[Path]:
        """Return the files that wait, the oldest first. Raises OSError."""
        return sorted(self._folder.glob(f"*{SUFFIX}"))

    def posts(self) -> Iterator[tuple[Path, Post]]:
        """Yield what waits, the oldest first; a file that holds no post is put aside. Raises SpoolError."""
        try:
            for file in self.waiting():
                try:
                    yield file, msgspec.json.decode(file.read_bytes(), type=Post)
                except FileNotFoundError:
                    continue  # another replica was faster
                except msgspec.MsgspecError:
                    self.refuse(file)
        except OSError as error:
            raise SpoolError(self._problem(error)) from error

    def remove(self, file: Path) -> None:
        """Remove a post that is stored; one left behind is tried again and found to be known. Raises SpoolError."""
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise SpoolError(self._problem(error)) from error

    def refuse(self, file: Path) -> None:
        """Put aside a post that can never be stored, so that it does not hold up the others; the last ones are kept."""
        with contextlib.suppress(OSError):
            file.replace(file.with_suffix(REFUSED))
            for old in sorted(self._folder.glob(f"*{REFUSED}"))[:-KEPT_REFUSED]:
                old.unlink(missing_ok=True)

    def _problem(self, error: OSError) -> str:
        return (
            f"`alerts.spool_folder` is {str(self._folder)!r}: {error.strerror or error}; wanted a folder that user id "
            f"{os.geteuid()} may write in"
        )


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
