"""This project's own programs as servers of the stack."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.stack.checkout import CHECKOUT
from tools.stack.errors import StackError
from tools.stack.process import Command, clean_environment
from tools.stack.programs.search import Binary
from tools.stack.servers.base import Server


class ExporterCommand(Server):
    """A command of platform-exporter that listens; it is ready when `ready_path` is answered with 200."""

    kind = "exporter"

    def __init__(
        self, state_dir: Path, arguments: Sequence[str], *, name: str, port: int, ready_path: str = "/-/healthy"
    ) -> None:
        super().__init__(state_dir, _this_checkout(), name=name, port=port)
        self.arguments = tuple(arguments)
        self.ready_path = ready_path

    def command(self) -> Command:
        return checkout_command(["-m", "exporter", *self.arguments])

    def ready(self) -> bool:
        return self.ok(self.ready_path)


class DemoTraffic(Server):
    """The live traffic of the demo databases; it listens nowhere, and is ready when it has written its first rows."""

    kind = "traffic"

    def __init__(self, state_dir: Path, settings: Path) -> None:
        super().__init__(state_dir, _this_checkout(), port=1)
        self.settings = settings

    @property
    def heartbeat(self) -> Path:
        """Return the file that it writes after each round."""
        return self.data_dir / "round.json"

    def prepare(self) -> None:
        """Remove the heartbeat of an earlier process."""
        super().prepare()
        self.heartbeat.unlink(missing_ok=True)

    def command(self) -> Command:
        return checkout_command(["-m", "tools.stack.traffic", str(self.settings), str(self.heartbeat)])

    def ready(self) -> bool:
        return self.heartbeat.exists()


class DemoPlatform(Server):
    """The simulated platform; it listens nowhere, and is ready when it runs."""

    kind = "demo"

    def __init__(self, state_dir: Path, config: Path) -> None:
        super().__init__(state_dir, _this_checkout(), port=1)
        self.config = config

    def command(self) -> Command:
        return checkout_command(["-m", "exporter", "demo", "--config", str(self.config)])

    def ready(self) -> bool:
        return True  # whether the process runs is checked first


def run_exporter(*arguments: str) -> str:
    """Run a command of platform-exporter to its end; return its output. Raises StackError where it fails."""
    command = checkout_command(["-m", "exporter", *arguments])
    run = subprocess.run(
        list(command.argv), env=command.environment, cwd=command.folder, capture_output=True, text=True, check=False
    )
    said = (run.stderr or run.stdout).strip()
    if run.returncode != 0:
        raise StackError(
            f"`platform-exporter {' '.join(arguments)}` failed with status {run.returncode}:\n{said[-800:]}"
        )
    return said


def checkout_command(arguments: Sequence[str]) -> Command:
    """Return a command of this checkout's Python, without variables that would lead it to other databases."""
    environment = clean_environment("PG", "PLATFORM_EXPORTER_", PYTHONUNBUFFERED="1")
    return Command([sys.executable, *arguments], environment, folder=CHECKOUT)


def _this_checkout() -> Binary:
    return Binary(Path(sys.executable), "", "this checkout")
