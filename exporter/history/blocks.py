"""Blocks of Prometheus's database, made from OpenMetrics text by promtool; and the order of recording rules.

https://prometheus.io/docs/prometheus/latest/storage/#backfilling-from-openmetrics-format
"""

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from exporter.config import strict_yaml
from exporter.errors import ConfigError, PlatformError, UnreadableError
from exporter.files import YAML_BYTES, read_text

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


def layers(rules: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Return the recording rules among rules, in layers: each rule after those it reads.

    A rule is evaluated over what Prometheus holds already: in the same layer it would find nothing of another rule.
    Rules on alerts are left out: no block has alerts.
    Raises PlatformError where rules read each other in a circle.
    """
    recording: list[Mapping[str, Any]] = [
        {name: rule[name] for name in ("record", "expr", "labels") if name in rule}
        for rule in rules
        if "record" in rule
    ]
    on_alerts = {"ALERTS"}
    while more := {rule["record"] for rule in recording if names_in(rule["expr"]) & on_alerts} - on_alerts:
        on_alerts |= more
    recording = [rule for rule in recording if rule["record"] not in on_alerts]
    depths = _depths(recording)
    deepest = max(depths.values(), default=-1)
    return [[rule for rule in recording if depths[_node(rule)] == depth] for depth in range(deepest + 1)]


def rules_of(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rules of a file, or of all files of a folder, in order. Raises ConfigError for another kind of file."""
    for file in sorted(path.glob("*.yml")) if path.is_dir() else [path]:
        try:
            groups = strict_yaml.load(read_text(file, YAML_BYTES))["groups"] or ()
            found = [rule for group in groups for rule in group["rules"] or ()]
        except (UnreadableError, strict_yaml.StrictYamlError, TypeError, KeyError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(
                f"{file} holds no rules of Prometheus ({reason}): expected `groups` with `rules`"
            ) from error
        yield from found


def names_in(expression: str) -> set[str]:
    """Return every word of an expression that may name a series."""
    return set(re.findall(r"[a-zA-Z_:][\w:]*", expression))


def _node(rule: Mapping[str, Any]) -> str:
    """Return a rule's place in the order: those that read their own name come after the others of that name."""
    name: str = rule["record"]
    return f"{name}, again" if name in names_in(rule["expr"]) else name


def _depths(rules: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    reads: dict[str, set[str]] = {}
    for rule in rules:
        found = names_in(rule["expr"])
        reads.setdefault(_node(rule), set()).update(found, {f"{name}, again" for name in found - {rule["record"]}})
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
