"""The state of one stack in one folder: ports, secrets, what each server was started with, what is missing.

Standard library only, so that `down` works where the virtual environment has been removed.
"""

import hashlib
import json
import os
import secrets
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tools.stack.errors import StackError
from tools.stack.process import Process

# In the order of their starts; they are stopped in the reverse.
ORDER = (
    "postgres",
    "redis",
    "minio",
    "exporter",
    "receiver",
    "alertmanager",
    "alertmanager-2",
    "prometheus",
    "grafana",
    "traffic",
    "demo",
)

MINIO_BUILD = "minio-build"
"""The process that compiles MinIO in the background."""


@dataclass
class StackState:
    """One stack's folder. What `save` writes is read again by `down`, `status` and the next `up`."""

    folder: Path
    ports: dict[str, int] = field(default_factory=dict)
    started_with: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    programs: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path) -> "StackState":
        """Read a folder's state, empty where there is none. Raises StackError where it belongs to another user."""
        folder = folder.absolute()
        if folder.exists() and folder.stat().st_uid != os.geteuid():
            owner = folder.stat().st_uid
            raise StackError(f"{folder} belongs to user id {owner}, we are {os.geteuid()}: run this as that user")
        try:
            known = json.loads((folder / "stack.json").read_text())
            return cls(folder, known["ports"], known["started_with"], known["missing"], known["programs"])
        except FileNotFoundError:
            return cls(folder)
        except (ValueError, KeyError, TypeError) as error:
            raise StackError(f"{folder / 'stack.json'} cannot be read: `make clean` removes it") from error

    def save(self) -> None:
        """Write it in one step."""
        content = {key: getattr(self, key) for key in ("ports", "started_with", "missing", "programs")}
        new = self.folder / "stack.json.new"
        new.write_text(json.dumps(content, indent=2) + "\n")
        new.replace(self.folder / "stack.json")

    def pid_file(self, name: str) -> Path:
        """Return the file that names a server's process."""
        return self.folder / f"{name}.pid"

    def running(self, name: str) -> Process | None:
        """Return a server's process; None where it does not run."""
        return Process.recorded(self.pid_file(name))

    def address(self, name: str) -> str:
        """Return HOST:PORT of a server that has a port."""
        return f"127.0.0.1:{self.ports[name]}"

    def url(self, name: str) -> str:
        """Return http://HOST:PORT of a server."""
        return f"http://{self.address(name)}"

    @property
    def secrets(self) -> Path:
        """Return the folder of passwords."""
        return self.folder / "secrets"

    def secret(self, name: str) -> str:
        """Return the password in secrets/NAME.password, made at first use and readable by its owner only."""
        path = self.secrets / f"{name}.password"
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.write(f"secrets/{name}.password", secrets.token_urlsafe(18), mode=0o600)
        return path.read_text()

    def write(self, name: str, text: str, *, mode: int = 0o644) -> Path:
        """Write a file of the folder in one step, never open to more than this mode; several threads may.

        Where we are root it belongs to whom its folder belongs: the account of a server that is to read it.
        """
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, new = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(descriptor, mode)
            if os.geteuid() == 0:
                os.fchown(descriptor, path.parent.stat().st_uid, path.parent.stat().st_gid)
            file.write(text)
        return Path(new).replace(path)


def fingerprint(*parts: object) -> str:
    """Return a short digest of what a server is started with, to notice that it has to be restarted."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
