"""A running `platform-exporter serve`: a process of its own, watched over HTTP."""

import contextlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tools.stack.ports import free_port
from tools.stack.process import PATIENCE_SECONDS, poll_until


@dataclass
class Exporter:
    """A running exporter: its process, configuration file, address and log."""

    process: "subprocess.Popen[bytes]"
    config: Path
    base: str
    log_file: Path

    @property
    def log(self) -> str:
        """Return what it has logged so far."""
        return self.log_file.read_text()

    def get(self, path: str, **options: Any) -> requests.Response:
        """Ask for a page."""
        return requests.get(
            self.base + path, timeout=PATIENCE_SECONDS, verify=str(self.config.parent / "ca.pem"), **options
        )

    def metrics(self) -> dict[str, float]:
        """Return the series of /metrics, each as it is written: name and labels -> value."""
        lines = self.get("/metrics").text.splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}

    def health(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.get("/api/v1/health").text)
        return report

    def reload(self) -> requests.Response:
        """Ask it to read its configuration again."""
        return requests.post(f"{self.base}/-/reload", timeout=PATIENCE_SECONDS)

    def is_ready(self) -> bool:
        """Return whether every source was read."""
        with contextlib.suppress(requests.ConnectionError):
            return self.get("/-/ready").status_code == 200
        return False

    def stop(self) -> int:
        """Send SIGTERM and return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)


def command(*arguments: object, program: Sequence[str] = ("-m", "exporter")) -> list[str]:
    """Return the command line of the product in this virtual environment; `program` is what Python runs."""
    return [sys.executable, *program, *map(str, arguments)]


@contextlib.contextmanager
def exporting(
    folder: Path,
    configuration: str,
    *arguments: object,
    ready: bool = True,
    scheme: str = "http",
    program: Sequence[str] = ("-m", "exporter"),
) -> Iterator[Exporter]:
    """Serve this configuration on a free port until the block ends; wait for readiness, or only for an answer."""
    config, log_file, port = folder / "platform-exporter.yml", folder / "exporter.log", free_port()
    config.write_text(configuration)
    with log_file.open("wb") as log:
        options = ("--config", config, "--listen", f"127.0.0.1:{port}", "--web.enable-lifecycle")
        argv = command("serve", *options, *arguments, program=program)
        process = subprocess.Popen(argv, stderr=log, stdout=log)
    exporter = Exporter(process, config, f"{scheme}://127.0.0.1:{port}", log_file)
    try:
        poll_until(exporter.is_ready if ready else lambda: answers(exporter))
        yield exporter
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def answers(exporter: Exporter) -> bool:
    """Return whether it answers at all; fails at once where it ended."""
    assert exporter.process.poll() is None, exporter.log
    with contextlib.suppress(requests.ConnectionError):
        return exporter.get("/-/healthy").ok
    return False


def value(metrics: dict[str, float], name: str, /, **labels: str) -> float | None:
    """Return the sum of the series of this name that have these labels; None where there is none."""
    found = []
    for series, number in metrics.items():
        if series.partition("{")[0] == name and labels.items() <= dict(re.findall(r'(\w+)="([^"]*)"', series)).items():
            found.append(number)
    return sum(found) if found else None
