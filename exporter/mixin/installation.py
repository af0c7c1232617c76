"""What differs from one installation to another, and where the files are that are adapted to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exporter.mixin import hours

LONGEST_INTERVAL_SECONDS = 60
"""Prometheus's default. Rules judge the last minutes, and need at least two scrapes in them."""

SENT_TO = ("critical", "high", "medium", "low", "unsorted", "watchdog", "history")
"""The receivers of alertmanager/routes.yml, but the one that notifies no one."""


@dataclass(frozen=True)
class Installation:
    """An installation of the exporter in someone's Prometheus, Alertmanager and Grafana.

    job: the exporter's scrape job. targets: where it is scraped, each HOST:PORT.
    watched: the jobs of other servers that our rules watch too; those of no other.
    dashboard_url: where people open Grafana. runbook_url: where they read the runbook.
    replica_labels: labels that only tell one Prometheus of a pair from the other.
    working_hours, digest: as `time_intervals` of Alertmanager.
    receivers: of the existing Alertmanager, by the name in SENT_TO; what is missing goes where its own route says.
    """

    job: str
    interval_seconds: int
    dashboard_url: str
    runbook_url: str
    targets: tuple[str, ...] = ("127.0.0.1:9847",)
    watched: tuple[str, ...] = ()
    replica_labels: tuple[str, ...] = ()
    working_hours: hours.Interval = field(
        default_factory=lambda: hours.working_hours("monday:friday", "09:00", "18:00", "UTC")
    )
    digest: hours.Interval = field(default_factory=lambda: hours.digest("09:00", "UTC"))
    receivers: Mapping[str, str] = field(default_factory=dict)


def ours(name: str) -> Path:
    """Return a file or folder of the bundle: inside the installed package, or at the top of a checkout."""
    installed = Path(__file__).parent / "bundle" / name
    return installed if installed.exists() else Path(__file__).parents[2] / name
