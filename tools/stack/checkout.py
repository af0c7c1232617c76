"""This checkout, locks between processes that work in it, and messages to the person at the terminal."""

import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


@contextmanager
def lock(folder: Path, name: str) -> Iterator[None]:
    """Let one process at a time do a thing; the others wait here and then find it done."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def say(line: str) -> None:
    """Report at the terminal what takes so long."""
    sys.stderr.write(f"stack: {line}\n")  # in one piece: threads say things too
