"""Run this project's own programs as servers of the stack."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.stack.binaries import Binary
from tools.stack.errors import StackError
from tools.stack.places import CHECKOUT
from tools.stack.process import Command, clean_environment
from tools.stack.servers.base import Server


class OwnServer(Server):
    """A command of platform-exporter that listens; it is ready when `ready_path` is answered with 200."""

    kind = "own"

    def __init__(
        self, state_dir: Path, arguments: Sequence[str], *, name: str, port: int, ready_path: str = "/-/healthy"
    ) -> None:
        super().__init__(state_dir, Binary(Path(sys.executable), "", "this checkout"), name=name, port=port)
        self.arguments = tuple(arguments)
        self.ready_path = ready_path

    def command(self) -> Command:
        """Return what to run."""
        return own_command(["-m", "exporter", *self.arguments])

    def ready(self) -> bool:
        """Tell whether it says that it is ready."""
        return self.ok(self.ready_path)


class Feeder(Server):
    """The demo's live traffic; it listens nowhere, and is ready when it has written its first rows."""

    kind = "feeder"

    def __init__(self, state_dir: Path, settings: Path) -> None:
        super().__init__(state_dir, Binary(Path(sys.executable), "", "this checkout"), port=1)
        self.settings = settings

    @property
    def sign_of_life(self) -> Path:
        """Return the file that it writes after each round."""
        return self.data_dir / "round.json"

    def prepare(self) -> None:
        """Remove the sign of an earlier life."""
        super().prepare()
        self.sign_of_life.unlink(missing_ok=True)

    def command(self) -> Command:
        """Return what to run."""
        return own_command(["-m", "tools.stack.feeder", str(self.settings), str(self.sign_of_life)])

    def ready(self) -> bool:
        """Tell whether it has written rows."""
        return self.sign_of_life.exists()


class Demo(Server):
    """The platform that is played; it listens nowhere, and is ready when it runs."""

    kind = "demo"

    def __init__(self, state_dir: Path, config: Path) -> None:
        super().__init__(state_dir, Binary(Path(sys.executable), "", "this checkout"), port=1)
        self.config = config

    def command(self) -> Command:
        """Return what to run."""
        return own_command(["-m", "exporter", "demo", "--config", str(self.config)])

    def ready(self) -> bool:
        """Tell that it runs: whether it does is looked at first."""
        return True


def run_own(*arguments: str) -> str:
    """Run a command of platform-exporter to its end; return what it said. Raises StackError where it fails."""
    command = own_command(["-m", "exporter", *arguments])
    run = subprocess.run(
        list(command.argv), env=command.environment, cwd=command.folder, capture_output=True, text=True, check=False
    )
    said = (run.stderr or run.stdout).strip()
    if run.returncode != 0:
        raise StackError(
            f"`platform-exporter {' '.join(arguments)}` failed with status {run.returncode}:\n{said[-800:]}"
        )
    return said


def own_command(arguments: Sequence[str]) -> Command:
    """Return a command of this checkout's Python, free of variables that would lead it to other databases."""
    environment = clean_environment("PG", "PLATFORM_EXPORTER_", PYTHONUNBUFFERED="1")
    return Command([sys.executable, *arguments], environment, folder=CHECKOUT)
