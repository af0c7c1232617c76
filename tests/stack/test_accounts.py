"""As whom the servers of `make up` run: where we are root, as someone else, if that one can reach what they need."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tools.stack import up
from tools.stack.checkout import CHECKOUT
from tools.stack.servers import Alertmanager, Minio, Prometheus, Redis, Server
from tools.stack.servers.accounts import OTHER, for_others
from tools.stack.servers.alertmanager import SILENT_CONFIG
from tools.stack.state import StackState

ROOT = os.geteuid() == 0


class Stack:
    """A stack of which a test starts the servers; they end with the test."""

    def __init__(self, folder: Path, leaving: ExitStack) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.start = up.Start(StackState(folder), up.Options())
        self._leaving = leaving

    def ensure(self, server: Server) -> None:
        """Start a server as `make up` does."""
        self._leaving.callback(server.destroy)
        self.start.ensure(server, server.name)

    def expected(self, server: Server) -> int:
        """Return the user id that it should run as."""
        account, _ = for_others((server.binary.path, self.folder, CHECKOUT))
        return account.user if account else os.geteuid()


@pytest.fixture
def leaving() -> Iterator[ExitStack]:
    """Return what is left when the test ends."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def stack(server_folder: Path, leaving: ExitStack) -> Stack:
    """Return one in a folder that everybody can enter."""
    return Stack(Path(tempfile.mkdtemp(dir=server_folder)) / "stack", leaving)


def _status(server: Server, name: str) -> str:
    """Return what the kernel says of a server's process, such as its user ids: real, effective, saved, of files."""
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(value.strip() for key, _, value in (line.partition(":") for line in lines) if key == name)


def _users(server: Server) -> set[int]:
    return {int(user) for user in _status(server, "Uid").split()}


@pytest.mark.parametrize("kind", [Redis, Minio, Prometheus, Alertmanager])
def test_a_server_over_data_that_root_has_written(kind: Callable[..., Any], stack: Stack) -> None:
    """It works with them; no user but its own can read them, before and after a restart."""
    with kind(stack.folder) as first:
        pass
    server = kind(stack.folder, port=first.port, binary=first.binary)
    stack.ensure(server)
    expected = stack.expected(server)
    found = [(_users(server), server.data_dir.stat())]
    server.restart()
    found.append((_users(server), server.data_dir.stat()))
    server.stop()  # what runs makes and removes files

    for users, folder in found:
        assert users == {expected}
        assert (folder.st_mode & 0o777, folder.st_uid) == (0o700, expected)
    assert {path.lstat().st_uid for path in server.data_dir.rglob("*")} <= {expected}


def test_it_is_in_no_group_of_ours(stack: Stack) -> None:
    """Root's groups would open to it what is closed to others."""
    server = Redis(stack.folder)
    stack.ensure(server)
    ours = " ".join(str(group) for group in sorted(os.getgroups()))

    assert _status(server, "Groups") == ("" if stack.expected(server) != os.geteuid() else ours)


def test_a_later_start_takes_over_one_that_runs(stack: Stack) -> None:
    """Nothing is restarted where nothing has changed."""
    server = Redis(stack.folder)
    stack.ensure(server)
    stack.start.ensure(Redis(stack.folder, port=server.port), server.name)

    assert stack.start.started == ["redis"]
    assert server.alive


def test_in_a_folder_closed_to_the_account_they_run_as_we_do(
    tmp_path: Path, leaving: ExitStack, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stack below /root starts like any other; why is said once, not for each of them."""
    closed = tmp_path / "closed"
    closed.mkdir(0o700)
    stack = Stack(closed / "stack", leaving)
    servers = [Redis(stack.folder, name=name) for name in ("one", "another")]
    for server in servers:
        stack.ensure(server)
    said = capsys.readouterr().out

    assert [_users(server) for server in servers] == [{os.geteuid()}] * 2
    assert said.count(f"the account {OTHER} cannot enter {stack.folder}: what needs it runs as root") == ROOT


def test_a_server_that_does_not_start_as_the_account_starts_as_root(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it reads may be closed to others in a way that nobody foresaw."""
    config = stack.folder / "mine.yml"
    config.write_text(SILENT_CONFIG)
    config.chmod(0o600)
    server = Alertmanager(stack.folder, config)
    refused = stack.expected(server) != os.geteuid()
    stack.ensure(server)

    assert server.answers()
    assert _users(server) == {os.geteuid()}
    assert (f"does not start as {OTHER} and is tried as root" in capsys.readouterr().out) == refused


def test_a_file_belongs_to_whom_its_folder_belongs(tmp_path: Path) -> None:
    """What is written for a server that runs as someone else can be read by it."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    if ROOT:
        os.chown(folder, 65534, 65534)

    secret = StackState.open(tmp_path).write("secrets/key", "secret", mode=0o600)

    assert secret.stat().st_uid == folder.stat().st_uid
    assert secret.stat().st_mode & 0o777 == 0o600
