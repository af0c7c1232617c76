"""The shipped configuration of Alertmanager, turned to receivers of the test, and what is posted to it."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import requests

from tools.stack.servers import Alertmanager

FOLDER = Path(__file__).parents[2] / "alertmanager"
SHIPPED = FOLDER / "alertmanager.yml"
SHIPPED_RECEIVER = "http://127.0.0.1:9848/"

Labels = dict[str, str]


def turned_to(receiver_url: str, folder: Path, *, timers: dict[str, str] | None = None) -> Path:
    """Write the shipped configuration with only the receiver's address exchanged, and return its path.

    timers exchanges those of all routes, too, so that a test need not wait for an hour: group_wait, for example. The
    intervals of medium and low are taken away then, as a test may run at any hour.
    """
    text = SHIPPED.read_text()
    assert text.count(SHIPPED_RECEIVER) == 5
    text = text.replace(SHIPPED_RECEIVER, receiver_url)
    for name, value in (timers or {}).items():
        text, count = re.subn(rf"^( +{name}: )\S+$", rf"\g<1>{value}", text, flags=re.MULTILINE)
        assert count >= 6
    if timers:
        text, count = re.subn(r"^ +active_time_intervals: .*\n", "", text, flags=re.MULTILINE)
        assert count == 2
    return laid_out(text, folder)


def laid_out(text: str, folder: Path) -> Path:
    """Write a configuration into a folder, with the shipped templates beside it, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "alertmanager.yml"
    config.write_text(text)
    (folder / "templates").symlink_to(FOLDER / "templates")
    return config


def post(
    server: Alertmanager,
    *labels: Labels,
    resolved: bool = False,
    annotations: Labels | None = None,
    began_seconds_ago: int = 60,
) -> None:
    """Send alerts, as Prometheus does; one that began longer ago than group_wait is sent without any wait."""
    now = datetime.now(UTC)
    ends = now - timedelta(seconds=1) if resolved else now + timedelta(minutes=5)
    span = {"startsAt": (now - timedelta(seconds=began_seconds_ago)).isoformat(), "endsAt": ends.isoformat()}
    alerts = [{"labels": one, "annotations": annotations or {}, **span} for one in labels]
    requests.post(f"{server.url}/api/v2/alerts", json=alerts, timeout=60).raise_for_status()
