"""What all servers have in common: a state folder, a port, and a child process."""

import os
import secrets
import shutil
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import requests

from tools.stack.errors import StackError
from tools.stack.ports import free_port
from tools.stack.process import PATIENCE_SECONDS, Command, Process
from tools.stack.programs.search import Binary, find
from tools.stack.servers.accounts import Account


class Server:
    """One server on a loopback port.

    In its state folder, which several servers may share if their names differ, it keeps NAME.log, NAME.pid (while it
    runs), secrets in NAME.* of mode 0600 and data in NAME/. All but the pid file stays for the next start.

    It runs as `account`, None being ours; the files and folders in `needs` are that account's then, as its data are.
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
        self.account: Account | None = None
        self.needs: tuple[Path, ...] = ()

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

    def start(self, deadline_seconds: float = PATIENCE_SECONDS) -> Self:
        """Start it and wait until it answers; nothing happens where it runs already.

        Raises StackError with the end of its log when it ends or does not answer in time; it is ended then.
        """
        if self.alive:
            return self
        self.prepare()
        self.process.start(self._as_account(self.command()))
        try:
            self.process.wait_until(self.answers, deadline_seconds)
        except BaseException:
            self.process.kill()
            raise
        return self

    def _as_account(self, command: Command) -> Command:
        """Return the command as the account's, which then owns what it needs; as it is where it names a user itself."""
        if self.account is None or command.user is not None:
            return command
        for path in (self.data_dir, *self.needs):
            self.account.take(path)
        return replace(
            command,
            # Of ours, it may enter neither: programs look for files in their home.
            environment={**(command.environment or os.environ), "HOME": str(self.data_dir)},
            folder=command.folder or self.data_dir,
            user=self.account.user,
            group=self.account.group,
        )

    def attach(self) -> bool:
        """Take over the process that an earlier program started in this state folder; False where none runs."""
        if not self.alive and (running := Process.recorded(self.process.pid_file)):
            self.process = running
        return self.alive

    def stop(self, deadline_seconds: float = 60) -> None:
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
        """Make what the server needs before it starts; called before every start. Its data are nobody else's."""
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.data_dir.chmod(0o700)

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


class ConfiguredServer(Server):
    """Base class of Prometheus and Alertmanager, which read a configuration, again on request.

    config is a file, used where it lies (what it refers to is found beside it), or the text of one.
    """

    def __init__(
        self,
        state_dir: Path,
        config: Path | str,
        *,
        name: str | None = None,
        port: int | None = None,
        flags: Sequence[str] = (),
        suite: str | None = None,
        binary: Binary | None = None,
    ) -> None:
        super().__init__(state_dir, binary or find(self.kind, suite=suite), name=name, port=port)
        self.config = config
        self.flags = tuple(flags)

    @property
    def config_file(self) -> Path:
        """Return where the configuration is; a text is in NAME/NAME.yml."""
        return self.config.absolute() if isinstance(self.config, Path) else self.data_dir / f"{self.name}.yml"

    def prepare(self) -> None:
        """Write the configuration where it was given as text."""
        super().prepare()
        if not isinstance(self.config, Path):
            self.config_file.write_text(self.config)

    def ready(self) -> bool:
        return self.ok("/-/ready")

    def reload(self) -> None:
        """Read the configuration again; a text given as config is written again first.

        Raises StackError with the server's own words when it refuses it.
        """
        self.prepare()
        self.post("/-/reload")
