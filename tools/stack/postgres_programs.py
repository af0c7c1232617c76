"""Make sure that the account PostgreSQL runs as can reach PostgreSQL's own programs."""

import shutil
from dataclasses import replace
from pathlib import Path

from tools.stack.accounts import Account, outside_folder
from tools.stack.binaries import Binary
from tools.stack.errors import StackError
from tools.stack.places import Places, lock, say


def reachable_by(account: Account | None, binary: Binary) -> Binary:
    """Return the programs, or a copy of them outside the checkout where the account cannot enter their folder.

    A virtual environment below /root is such a folder. Only the wheel's programs are copied (40 MB, once per checkout):
    they are built to be moved, as others are not.

    Raises StackError for others out of reach.
    """
    if account is None or account.can_enter(binary.path / "postgres"):
        return binary
    prefix = binary.path.parent
    libraries = list(prefix.parent.parent.glob(f"{prefix.parent.name}*.libs"))
    if not libraries:
        raise StackError(
            f"we are root, and the account {account.name}, which PostgreSQL has to run as, cannot enter {binary.path}: "
            "open the folders on the way (chmod o+x), or unset PLATFORM_POSTGRES_BIN"
        )
    tools = Places().tools
    record = tools / f"postgres-{binary.version}.location"
    with lock(tools, "postgres"):
        copy = Path(record.read_text()) if record.exists() else None
        if copy is None or not account.can_enter(copy / "bin" / "postgres"):
            copy = _copied(prefix, libraries)
            record.write_text(str(copy))
    return replace(binary, path=copy / "bin")


def _copied(prefix: Path, libraries: list[Path]) -> Path:
    """Copy programs and libraries with their distance kept: the programs look for ../../../X.libs beside themselves."""
    outside = outside_folder("postgres-programs", lasting=True)
    say(f"copying PostgreSQL's programs to {outside}, because only root can enter {prefix}")
    copy = outside / prefix.parent.name / prefix.name
    shutil.copytree(prefix, copy, symlinks=True)
    for folder in libraries:
        shutil.copytree(folder, outside / folder.name, symlinks=True)
    return copy
