"""Installations as people have them: a job of another name, other intervals, no external labels."""

from pathlib import Path

from exporter.mixin import files
from exporter.mixin.installation import Installation

JOB = "web-monitoring"
GRAFANA, RUNBOOK = "https://grafana.example.org", "https://wiki.example.org/runbook"


def installation(interval_seconds: int = 15, **given: object) -> Installation:
    """Return an installation beside other jobs."""
    return Installation(JOB, interval_seconds, GRAFANA, RUNBOOK, **given)  # type: ignore[arg-type]


def written(folder: Path, interval_seconds: int = 15, **given: object) -> list[Path]:
    """Write an installation into a folder and return its files of rules."""
    found = files.write(installation(interval_seconds, **given), folder)
    return [path for path in found if path.parent.name == files.RULES]
