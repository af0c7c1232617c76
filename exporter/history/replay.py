"""Evaluate recording rules over the past, by a Prometheus of our own on the blocks being made."""

import contextlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import requests
import yaml

from exporter.errors import BackfillError
from exporter.history import blocks

START_SECONDS = 120
"""A Prometheus opens a month of blocks in seconds; more means that it will not."""


def evaluate(
    programs: tuple[Path, Path], files: Iterable[Path], span: tuple[int, int], step_seconds: int, folder: Path,
    tell: Callable[[str], None],
) -> None:  # fmt: skip
    """Add what recording rules give over the blocks in `folder` to them. `programs` are prometheus and promtool.

    Layer by layer, the Prometheus being started anew for each: a running one looks for new blocks once a minute.
    Raises BackfillError.
    """
    prometheus, promtool = programs
    layers = blocks.layers(files)
    for number, rules in enumerate(layers, start=1):
        tell(f"rules, layer {number} of {len(layers)}")
        with tempfile.TemporaryDirectory(prefix="platform-backfill-") as name:
            path = Path(name) / "layer.yml"
            path.write_text(yaml.safe_dump({"groups": [{"name": "backfill", "rules": rules}]}), encoding="utf-8")
            with _running(prometheus, folder, Path(name)) as url:
                blocks.from_rules(promtool, path, span, step_seconds, url, folder)


@contextlib.contextmanager
def _running(prometheus: Path, data: Path, scratch: Path) -> Iterator[str]:
    """Run a Prometheus that scrapes nothing on `data`, on loopback, and give its address."""
    config, log_path = scratch / "prometheus.yml", scratch / "log"
    config.write_text("{}\n", encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    arguments = [
        prometheus, f"--config.file={config}", f"--storage.tsdb.path={data}", "--storage.tsdb.retention.time=100y",
        f"--web.listen-address={address}",
    ]  # fmt: skip
    with log_path.open("wb") as log:
        process = subprocess.Popen(list(map(str, arguments)), stdout=log, stderr=log)  # noqa: S603 - prometheus
    try:
        _await_ready(process, f"http://{address}", log_path)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait()


def _await_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(requests.RequestException):
            if requests.get(f"{url}/-/ready", timeout=5).ok:
                return
        time.sleep(0.1)
    said = log.read_text(errors="replace").strip().splitlines()[-3:]
    raise BackfillError(f"prometheus did not start on the blocks: {' | '.join(said)}")
