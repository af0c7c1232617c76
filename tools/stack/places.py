"""Say where programs are looked for, and where those are kept that this checkout obtained itself."""

import fcntl
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def _machine_folders() -> tuple[str, ...]:
    return tuple(os.environ.get("PATH", os.defpath).split(os.pathsep))


@dataclass(frozen=True)
class Places:
    """Where to look.

    tools is the checkout's own cache; environ holds the overrides; path the folders of PATH;
    usual_folders says whether folders outside PATH, such as /usr/lib/postgresql/*/bin, are looked at too.
    """

    tools: Path = field(default_factory=lambda: Path(os.environ.get("PLATFORM_TOOLS_DIR", CHECKOUT / ".tools")))
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    path: tuple[str, ...] = field(default_factory=_machine_folders)
    usual_folders: bool = True


@contextmanager
def lock(tools: Path, name: str) -> Iterator[None]:
    """Let one process at a time obtain a thing; the others wait here and then find it done."""
    tools.mkdir(parents=True, exist_ok=True)
    with (tools / f"{name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def say(line: str) -> None:
    """Tell a person at the terminal what takes so long."""
    print(f"stack: {line}", file=sys.stderr, flush=True)
