"""Blocks of Prometheus's database, made from OpenMetrics text by promtool; and the order of recording rules.

https://prometheus.io/docs/prometheus/latest/storage/#backfilling-from-openmetrics-format
"""

import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from exporter.errors import PlatformError

BLOCK_SECONDS = 18 * 3600
"""Of the lengths that Prometheus aligns blocks to (2 h times powers of 3): few blocks, and no text too large."""

_CREATE = ("tsdb", "create-blocks-from", f"--max-block-duration={BLOCK_SECONDS}s", "--quiet")


def program(name: str, given: Path | None = None) -> Path:
    """Return the given program, or the one in PATH. Raises PlatformError."""
    found = shutil.which(given or name)
    if found is None:
        where = f"at {given}" if given else "in PATH"
        raise PlatformError(f"no {name} {where}: install Prometheus 2.42 or newer, or give its path by --{name} FILE")
    return Path(found)


def from_openmetrics(promtool: Path, text: Path, folder: Path) -> None:
    """Add blocks made of the file `text` to `folder`. Raises PlatformError."""
    _run([promtool, *_CREATE, "openmetrics", text, folder])


def layers(files: Iterable[Path]) -> list[list[dict[str, Any]]]:
    """Return the recording rules of rule files, in layers: each rule after those it reads.

    A rule is evaluated over what Prometheus holds already: in the same layer it would find nothing of another rule.
    Raises PlatformError where rules read each other in a circle.
    """
    rules = [
        {name: rule[name] for name in ("record", "expr", "labels") if name in rule}
        for path in files
        for group in yaml.safe_load(path.read_text(encoding="utf-8")).get("groups") or ()
        for rule in group["rules"]
        if "record" in rule
    ]
    depths = _depths(rules)
    deepest = max(depths.values(), default=-1)
    return [[rule for rule in rules if depths[rule["record"]] == depth] for depth in range(deepest + 1)]


def _depths(rules: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    reads: dict[str, set[str]] = {}
    for rule in rules:
        reads.setdefault(rule["record"], set()).update(re.findall(r"[a-zA-Z_:][\w:]*", rule["expr"]))
    depths: dict[str, int] = {}

    def depth(name: str, above: tuple[str, ...]) -> int:
        if name in above:
            raise PlatformError(f"recording rules read each other in a circle: {' -> '.join((*above, name))}")
        if name not in depths:
            inner = (depth(other, (*above, name)) for other in reads[name] if other in reads and other != name)
            depths[name] = 1 + max(inner, default=-1)
        return depths[name]

    for name in reads:
        depth(name, ())
    return depths


def _run(arguments: list[object]) -> None:
    run = subprocess.run([str(one) for one in arguments], capture_output=True, text=True, check=False)  # noqa: S603 - promtool
    if run.returncode:
        raise PlatformError(
            f"promtool failed with status {run.returncode}: {(run.stderr or run.stdout).strip()[-500:]}"
        )
