"""Files: those that several processes write, read and remove, and texts that people write."""

import contextlib
import errno
import os
import re
import stat
import tempfile
from pathlib import Path

from exporter.errors import UnreadableError

SECRET_BYTES = 65_536
"""How long a secret, a key or certificates may be."""

AUTHORITY_BYTES = 4_194_304
"""How long a file of authorities may be; a system's own has 0.25 MB."""

YAML_BYTES = 262_144
"""How long a text of YAML may be; the longest that ships has a sixth of it."""

NO_TEXT = re.compile("[\0\ud800-\udfff]")
"""What no text may hold: libpq ends at a NUL, and no encoding has lone surrogates."""


def read_text(path: Path, most_bytes: int, errors: str = "strict") -> str:
    """Return the text of a regular file. Raises UnreadableError.

    A device or a pipe is refused without a wait, and no more is read than may be. `errors` is that of bytes.decode, for
    what is not UTF-8.
    """
    try:
        # Not blocking: to open a pipe would wait for whoever writes to it.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_dev == _kernel():
                raise UnreadableError("not a regular file")
            content = file.read(most_bytes + 1)
        if len(content) > most_bytes:
            raise UnreadableError(f"larger than {most_bytes // 1024} kB")
        text = content.decode(errors=errors)
    except OSError as error:
        raise UnreadableError(error.strerror or type(error).__name__) from None
    except ValueError as error:
        raise UnreadableError("not UTF-8" if isinstance(error, UnicodeDecodeError) else "not a path") from None
    if NO_TEXT.search(text):
        raise UnreadableError("it holds a NUL character")
    return text


def _kernel() -> int | None:
    """Return the device of the kernel's own files, such as /proc/kmsg: they say that they are regular."""
    try:
        return os.stat("/proc").st_dev
    except OSError:
        return None


def write(path: Path, content: bytes, *, mode: int = 0o600, durable: bool = False) -> None:
    """Write a file under another name, with this mode from the first, and rename it. Raises OSError.

    A reader, or a start after a crash, never sees half of one.
    `durable` waits until the file and its name are on the disk, so that they survive a loss of power.
    """
    new = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    new.replace(path)
    if durable:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def make_folder(folder: Path) -> None:
    """Make a folder that is missing, with those above it, open to its owner only. Raises OSError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None


def try_folder(folder: Path) -> None:
    """Raise OSError where a folder cannot be made, or a file in it, by trying; what was missing is missing again."""
    missing = [one for one in (folder, *folder.parents) if not os.path.lexists(one)]
    try:
        make_folder(folder)
        tempfile.TemporaryFile(dir=folder).close()
    finally:
        for one in missing:
            with contextlib.suppress(OSError):
                one.rmdir()


def size(path: Path) -> int:
    """Return a file's size in bytes, 0 where another process has removed it. Raises OSError."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
