"""Tell which metric names exist, and which are used."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from exporter.exposition.families import FAMILIES, series_names

ROOT = Path(__file__).parents[2]
RULE_FILES = sorted((ROOT / "prometheus/rules").glob("*.yml"))
TOKEN = re.compile(r"(?<![\w:.$-])[a-zA-Z_][\w:]*")


def exposed() -> set[str]:
    """Return the names of all series that the exporter may expose."""
    return {name for family in FAMILIES.values() for name in series_names(family)}


def rules() -> list[dict[str, Any]]:
    """Return all rules of all files, in order."""
    groups = [group for path in RULE_FILES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def recorded() -> set[str]:
    """Return the names that recording rules make."""
    return {rule["record"] for rule in rules() if "record" in rule}


def unknown(texts: Iterable[str]) -> set[str]:
    """Return the names of the platform in these texts, PromQL or prose, that neither exporter nor rules make."""
    used = {token for text in texts for token in TOKEN.findall(text) if token.startswith("platform_") or ":" in token}
    return {name for name in used if name.startswith("platform_") or ":platform_" in name} - exposed() - recorded()
