"""The accounts that servers run as where we are root, and folders and programs that these accounts can reach.

PostgreSQL does not run as root, and root's checkout often lies in /root, which no other account may enter (mode 700).
Then data and, if need be, programs go to a folder outside the checkout, whose path is written down in the checkout.
The other servers of `make up` run as another account where it can reach what they need, and as root where it cannot.
"""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tools.stack.checkout import lock, say
from tools.stack.errors import StackError
from tools.stack.programs.catalogue import SearchPath
from tools.stack.programs.search import Binary

# In this order: the account that Debian's package makes, else the one that owns nothing.
ACCOUNTS = ("postgres", "nobody")

OTHER = "nobody"
"""The account of all but PostgreSQL, whose data are none of their business."""


@dataclass(frozen=True)
class Account:
    """An account to run a server as."""

    name: str
    user: int
    group: int

    def can_enter(self, path: Path) -> bool:
        """Return whether this account reaches a folder, or may run a program; found out by trying, as this account."""
        # Everything on the way counts, with groups, access lists and mounts: the kernel knows best.
        argv = ["test", "-x", str(path)]
        run = subprocess.run(argv, user=self.user, group=self.group, extra_groups=[], cwd="/", check=False)
        return run.returncode == 0

    def own(self, folder: Path) -> None:
        """Make the folder this account's, closed to others."""
        folder.chmod(0o700)
        os.chown(folder, self.user, self.group)

    def take(self, path: Path) -> None:
        """Make a file this account's, or a folder with all that is in it, closed to others."""
        os.chown(path, self.user, self.group, follow_symlinks=False)
        for _, folders, files, at in os.fwalk(path):
            for name in (*folders, *files):
                with contextlib.suppress(FileNotFoundError):  # a database may be at work
                    os.chown(name, self.user, self.group, dir_fd=at, follow_symlinks=False)
        path.chmod(0o700 if path.is_dir() else 0o600)


def unprivileged() -> Account | None:
    """Return the account to run PostgreSQL as; None where we are not root and run it as ourselves.

    Raises StackError where the machine has none of the accounts.
    """
    if os.geteuid() != 0:
        return None
    for name in ACCOUNTS:
        if account := _named(name):
            return account
    raise StackError(f"PostgreSQL refuses to run as root and there is no account {' or '.join(ACCOUNTS)}: create one")


def for_others(places: Sequence[Path]) -> tuple[Account | None, str]:
    """Return the account to run a server as that has to reach these places, or why there is none.

    Where we are not root, the account is None and the reason empty: we run it as ourselves.
    """
    if os.geteuid() != 0:
        return None, ""
    if (account := _named(OTHER)) is None:
        return None, f"there is no account {OTHER}"
    try:
        closed = next((place for place in places if not account.can_enter(place)), None)
    except OSError as error:  # a container may forbid it, or know no such user
        return None, f"nothing can be run as {OTHER} ({error.strerror})"
    if closed is None:
        return account, ""
    target = f" ({closed.resolve()})" if closed.resolve() != closed else ""
    return None, f"the account {OTHER} cannot enter {closed}{target}"


def _named(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(name, entry.pw_uid, entry.pw_gid)


def outside_folder(label: str, *, lasting: bool) -> Path:
    """Make a new folder outside the checkout, of mode 755, and return its path.

    A lasting one is in /var/lib: from /var/tmp, systemd removes what was not used for 30 days, a running server's too.
    """
    bases = [Path("/var/lib"), Path("/var/tmp")] if lasting else [Path("/var/tmp"), Path("/tmp")]  # noqa: S108
    base = next((path for path in bases if os.access(path, os.W_OK)), Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=f"platform-{label}-", dir=base))
    folder.chmod(0o755)
    return folder


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
    tools = SearchPath().tools
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
