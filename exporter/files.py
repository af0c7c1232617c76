"""Write files whole: a reader, or a start after a crash, never sees half of one."""

import os
from pathlib import Path


def write(path: Path, content: bytes, *, mode: int = 0o600, durable: bool = False) -> None:
    """Write a file under another name, with this mode from the first, and rename it. Raises OSError.

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
