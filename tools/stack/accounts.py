"""Find an account for what refuses to run as root, and a place on the disk that it can reach.

PostgreSQL does not run as root, and root's checkout often lies in /root, which no other account may enter (mode 700).
Then data and, if need be, programs go to a folder outside the checkout, whose path is written down in the checkout.
"""

import os
import pwd
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tools.stack.errors import StackError

# In this order: Debian's own account for it where its package is installed, else the one that owns nothing.
ACCOUNTS = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """An account to run a server as."""

    name: str
    user: int
    group: int

    def can_enter(self, path: Path) -> bool:
        """Tell whether this account reaches a folder, or may run a program; asked by trying, as this account."""
        # Everything on the way counts, with groups, access lists and mounts: the kernel knows best.
        argv = ["test", "-x", str(path)]
        run = subprocess.run(argv, user=self.user, group=self.group, extra_groups=[], cwd="/", check=False)
        return run.returncode == 0

    def own(self, folder: Path) -> None:
        """Make the folder this account's, closed to others."""
        folder.chmod(0o700)
        os.chown(folder, self.user, self.group)


def unprivileged() -> Account | None:
    """Return the account to run PostgreSQL as; None where we are not root and run it as ourselves.

    Raises StackError where the machine has none of the accounts.
    """
    if os.geteuid() != 0:
        return None
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise StackError(f"PostgreSQL refuses to run as root and there is no account {' or '.join(ACCOUNTS)}: create one")


def outside_folder(label: str, *, lasting: bool) -> Path:
    """Make a new folder outside the checkout, of mode 755, and return its path.

    A lasting one is in /var/lib: from /var/tmp, systemd removes what was not used for 30 days, a running server's too.
    """
    bases = [Path("/var/lib"), Path("/var/tmp")] if lasting else [Path("/var/tmp"), Path("/tmp")]  # noqa: S108
    base = next((path for path in bases if os.access(path, os.W_OK)), Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=f"platform-{label}-", dir=base))
    folder.chmod(0o755)
    return folder
