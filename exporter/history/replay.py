"""Recording rules evaluated over the past, by a Prometheus of our own on the new blocks."""

import contextlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import requests

from exporter.errors import PlatformError
from exporter.history import blocks
from exporter.history.increments import TimeGrid
from exporter.history.openmetrics import END, braces

QUERY_SECONDS = 600
"""A rule that looks back 30 days at each moment of a block takes long; more than Prometheus itself would wait."""

START_SECONDS = 120
"""A Prometheus opens a month of blocks in seconds; more means that it will not."""

Rule = Mapping[str, Any]
"""A rule: `record` or `alert`, `expr` and perhaps `labels`."""


def evaluate(
    programs: tuple[Path, Path], layers: Sequence[Sequence[Rule]], grid: TimeGrid, folder: Path,
    done: Callable[[int], None],
) -> None:  # fmt: skip
    """Add the results of recording rules to the blocks in `folder`. `programs` are prometheus and promtool.

    Prometheus is started again for each layer: a running one looks for new blocks once a minute only. promtool's own
    `create-blocks-from rules` would make a block of each rule. `done` is called with the number of rules evaluated
    over a piece. Raises PlatformError.
    """
    prometheus, promtool = programs
    for rules in layers:
        with tempfile.TemporaryDirectory(prefix="platform-backfill-") as name:
            texts = []
            with _running(prometheus, folder, Path(name)) as url, requests.Session() as session:
                for number, piece in enumerate(grid.pieces(blocks.BLOCK_SECONDS)):
                    text = Path(name) / f"{number}.om"
                    with text.open("w", encoding="utf-8") as out:
                        _write(session, url, rules, _times(grid, piece), out)
                    texts.append(text)
                    done(len(rules))
            for text in texts:
                if text.stat().st_size > len(END):  # alone where no rule gave anything
                    blocks.from_openmetrics(promtool, text, folder)


@contextlib.contextmanager
def asking(prometheus: Path, folder: Path) -> Iterator[Callable[[Rule, TimeGrid], Iterator[list[dict[str, Any]]]]]:
    """Yield what evaluates a rule over the blocks in `folder`: the answer to a range query for each piece of a grid."""
    with (
        tempfile.TemporaryDirectory(prefix="platform-backtest-") as name,
        _running(prometheus, folder, Path(name)) as url,
        requests.Session() as session,
    ):
        yield lambda rule, grid: (
            _query(session, url, rule, _times(grid, piece)) for piece in grid.pieces(blocks.BLOCK_SECONDS)
        )


def _times(grid: TimeGrid, piece: tuple[int, int]) -> tuple[int, int, int]:
    return grid.at(piece[0]), grid.at(piece[1]), grid.step_seconds


def _write(
    session: requests.Session, url: str, rules: Sequence[Rule], times: tuple[int, int, int], out: TextIO
) -> None:
    """Write the results of rules at `times` (from, to, step in seconds) as OpenMetrics text, each name in one place."""
    found: dict[str, dict[str, dict[float, str]]] = {}
    for rule in rules:
        # An `or` of a series and of a result without a name gives two answers that are one recorded series.
        recorded = found.setdefault(rule["record"], {})
        for series in _query(session, url, rule, times):
            labels = {**series["metric"], **rule.get("labels", {})}
            labels.pop("__name__", None)
            before = rule["record"] + braces({name: value for name, value in labels.items() if value != ""})
            recorded.setdefault(before, {}).update(series["values"])
    for name, recorded in found.items():
        if recorded:
            out.write(f"# TYPE {name} gauge\n")
            for before, values in recorded.items():
                out.writelines(f"{before} {values[at]} {at}\n" for at in sorted(values))
    out.write(END)


def _query(session: requests.Session, url: str, rule: Rule, times: tuple[int, int, int]) -> list[dict[str, Any]]:
    """Return Prometheus's answer to a range query: [{"metric": {...}, "values": [[seconds, "number"], ...]}, ...]."""
    form = {"query": rule["expr"], "start": times[0], "end": times[1], "step": times[2]}
    try:
        answer = session.post(f"{url}/api/v1/query_range", data=form, timeout=QUERY_SECONDS)
        content = answer.json()
    except (requests.RequestException, ValueError) as error:
        raise PlatformError(f"rule {_name(rule)}: prometheus did not answer ({type(error).__name__})") from error
    if content["status"] != "success":
        raise PlatformError(f"rule {_name(rule)}: {content.get('error')}")
    result: list[dict[str, Any]] = content["data"]["result"]
    return result


def _name(rule: Rule) -> str:
    return str(rule.get("record") or rule.get("alert"))


@contextlib.contextmanager
def _running(prometheus: Path, data: Path, scratch: Path) -> Iterator[str]:
    """Run a Prometheus that scrapes nothing on `data`, on loopback, and yield its address."""
    config, log_path = scratch / "prometheus.yml", scratch / "log"
    config.write_text("{}\n", encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    arguments = [
        prometheus, f"--config.file={config}", f"--storage.tsdb.path={data}", "--storage.tsdb.retention.time=100y",
        f"--web.listen-address={address}", f"--query.timeout={QUERY_SECONDS}s",
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
    output = log.read_text(errors="replace").strip().splitlines()[-3:]
    raise PlatformError(f"prometheus did not start on the blocks: {' | '.join(output)}")
