"""Programs of the example applications, run as people run them, with the SDK's environment."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.servers import PATIENCE_SECONDS, poll_until
from tools.stack.ports import free_port

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Programs:
    """Start programs; `folder` takes their logs, `environment` is added to the machine's."""

    folder: Path
    environment: dict[str, str]

    def run(self, *argv: object, cwd: Path, status: int = 0, **environment: str) -> str:
        """Run a program of the virtual environment to its end and return its output."""
        end = subprocess.run(
            self._argv(argv), cwd=cwd, env=self._environment(environment), timeout=PATIENCE_SECONDS,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert end.returncode == status, end.stdout
        return end.stdout

    @contextlib.contextmanager
    def running(self, *argv: object, cwd: Path, **environment: str) -> Iterator[Path]:
        """Run a program until the block ends, then end it by SIGTERM as servers are ended; yield its log."""
        log = self.folder / f"{cwd.name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                self._argv(argv), cwd=cwd, env=self._environment(environment), stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        try:
            yield log
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @contextlib.contextmanager
    def serving(self, *argv: object, cwd: Path, **environment: str) -> Iterator[str]:
        """Run a web server, which finds its address in {address}, and yield its URL once it answers."""
        address = f"127.0.0.1:{free_port()}"
        host, port = address.split(":")
        filled = [str(part).format(address=address, host=host, port=port) for part in argv]
        with self.running(*filled, cwd=cwd, **environment) as log:
            url = f"http://{address}"
            poll_until(lambda: _answers(url), what=f"{argv[0]}; see {log}")
            yield url

    def _argv(self, argv: tuple[object, ...]) -> list[str]:
        name, *rest = (str(part) for part in argv)
        program = Path(sys.executable).with_name(name)
        return [sys.executable if name == "python" else str(program) if program.exists() else name, *rest]

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, **self.environment, **more}


def _answers(url: str) -> bool:
    with contextlib.suppress(requests.ConnectionError):
        return bool(requests.get(f"{url}/health", timeout=PATIENCE_SECONDS).status_code)
    return False
