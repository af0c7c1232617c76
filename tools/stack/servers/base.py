"""What all servers have in common: a state folder, a port, and a child process."""

import os
import secrets
import shutil
import signal
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import requests

from tools.stack.errors import StackError
from tools.stack.ports import free_port
from tools.stack.process import Command, Process
from tools.stack.programs.search import Binary

READY_DEADLINE_SECONDS = 60


class Server:
    """One server on a loopback port.

    In its state folder, which several servers may share if their names differ, it keeps NAME.log, NAME.pid (while it
    runs), secrets in NAME.* of mode 0600 and data in NAME/. All but the pid file stays for the next start.
    """

    kind: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, state_dir: Path, binary: Binary, *, name: str | None = None, port: int | None = None) -> None:
        self.name = name or self.kind
        self.state_dir = state_dir.absolute()
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self.binary = binary
        self.version = binary.version
        self.host = "127.0.0.1"
        self.port = port or free_port()
        self.process = Process(self.name, self.state_dir, stop_signal=self.stop_signal)

    @property
    def address(self) -> str:
        """Return HOST:PORT."""
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Return the base address for clients, without a trailing slash."""
        return f"http://{self.address}"

    @property
    def data_dir(self) -> Path:
        """Return the folder of its data."""
        return self.state_dir / self.name

    @property
    def alive(self) -> bool:
        """Return whether its process runs, frozen or not."""
        return self.process.alive

    def start(self, deadline_seconds: float = READY_DEADLINE_SECONDS) -> Self:
        """Start it and wait until it answers; nothing happens where it runs already.

        Raises StackError with the end of its log when it ends or does not answer in time; it is ended then.
        """
        if self.alive:
            return self
        self.prepare()
        self.process.start(self.command())
        try:
            self.process.wait_until(self.answers, deadline_seconds)
        except BaseException:
            self.process.kill()
            raise
        return self

    def attach(self) -> bool:
        """Take over the process that an earlier program started in this state folder; False where none runs."""
        if not self.alive and (running := Process.recorded(self.process.pid_file)):
            self.process = running
        return self.alive

    def stop(self, deadline_seconds: float = 15) -> None:
        """Ask it to end in good order and wait for that; kill it after the deadline."""
        self.process.stop(deadline_seconds)

    def kill(self) -> None:
        """End it at once, without a chance to clean up."""
        self.process.kill()

    def restart(self) -> Self:
        """Stop it and start it again on the same port with the same data."""
        self.stop()
        return self.start()

    def freeze(self) -> None:
        """Make it hang: connections are still accepted by the kernel, and none is answered."""
        self.process.freeze()

    def thaw(self) -> None:
        """Let it go on after freeze()."""
        self.process.thaw()

    def destroy(self) -> None:
        """End it and remove all that it left in the state folder."""
        self.kill()
        shutil.rmtree(self.data_dir, ignore_errors=True)
        for left in self.state_dir.glob(f"{self.name}.*"):
            left.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def prepare(self) -> None:
        """Make what the server needs before it starts; called before every start."""
        self.data_dir.mkdir(parents=True, exist_ok=True)

    def command(self) -> Command:
        raise NotImplementedError

    def ready(self) -> bool:
        """Ask the server for a sign of life; a false value or an error of connection means not yet."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Return whether it is ready; an error of connection means not yet."""
        try:
            return self.ready()
        except (OSError, requests.RequestException):
            return False

    def secret(self, what: str) -> str:
        """Return a secret of this server, made at first use and kept in NAME.WHAT, which only its owner can read."""
        path = self.state_dir / f"{self.name}.{what}"
        if not path.exists():
            self.write_private(path.name, secrets.token_urlsafe(18))
        return path.read_text()

    def write_private(self, file_name: str, text: str) -> Path:
        """Write a file of the state folder that only its owner can read."""
        path = self.state_dir / file_name
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        return path

    def config_path(self, config: Path | str) -> Path:
        """Return a configuration file: the given one, or the given text written to NAME/NAME.yml."""
        if isinstance(config, Path):
            return config.absolute()
        path = self.data_dir / f"{self.name}.yml"
        path.write_text(config)
        return path

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the JSON answer of a GET on its HTTP API.

        Raises StackError with its own words for any status but 200.
        """
        answer = requests.get(f"{self.url}{path}", params=parameters, timeout=10)
        if answer.status_code != 200:
            raise StackError(f"{self.name}: GET {path} answered {answer.status_code}: {answer.text.strip()[:300]}")
        return answer.json()

    def ok(self, path: str) -> bool:
        """Return whether a GET is answered with 200."""
        return requests.get(f"{self.url}{path}", timeout=5).status_code == 200

    def post(self, path: str) -> None:
        """Send an empty POST. Raises StackError with its own words for any status but 200."""
        answer = requests.post(f"{self.url}{path}", timeout=30)
        if answer.status_code != 200:
            raise StackError(f"{self.name}: POST {path} answered {answer.status_code}: {answer.text.strip()[:300]}")
