"""The mail that the demo's breach sends, as Alertmanager makes it of the project's templates."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests
import yaml

from alertmanager.generate import FOLDER, configuration
from tools.screenshots.browser import ScreenshotError
from tools.stack.receivers.mail import MailReceiver
from tools.stack.servers import Alertmanager

ALERTS = "/api/datasources/proxy/uid/platform-alertmanager/api/v2/alerts"
DEADLINE_SECONDS = 90.0
"""More than the routes wait for others of a group."""


def firing(session: requests.Session, url: str, name: str) -> list[dict[str, Any]]:
    """Return the alerts of this name that the Alertmanager of a Grafana has, as its API gives them."""
    answer = session.get(url + ALERTS, params={"active": "true", "filter": f'alertname="{name}"'}, timeout=10)
    if answer.status_code != 200:
        raise ScreenshotError(f"Grafana's data source platform-alertmanager answers with status {answer.status_code}")
    return [alert for alert in answer.json() if alert["status"]["state"] == "active"]


def mail(alerts: Sequence[dict[str, Any]]) -> str:
    """Send alerts through an Alertmanager of our own to a mail server of our own; return the mail's HTML."""
    with tempfile.TemporaryDirectory() as name, MailReceiver() as server:
        folder = Path(name)
        content = yaml.safe_load((FOLDER / "channels.yml").read_text())
        address = {"to": "ops@example.com", "from": "alertmanager@example.com", "smarthost": server.address}
        content["channels"] = {"mail": {"kind": "email", "require_tls": False, **address}}
        content["notify"] = {severity: ["mail"] if names else [] for severity, names in content["notify"].items()}
        (folder / "channels.yml").write_text(yaml.safe_dump(content))
        (folder / "alertmanager.yml").write_text(configuration(folder / "channels.yml"))
        (folder / "templates").symlink_to(FOLDER / "templates")
        alertmanager = Alertmanager(folder / "server", folder / "alertmanager.yml")
        alertmanager.start()
        try:
            kept = ("labels", "annotations", "startsAt", "generatorURL")
            posted = [{key: alert[key] for key in kept if key in alert} for alert in alerts]
            requests.post(f"{alertmanager.url}/api/v2/alerts", json=posted, timeout=10).raise_for_status()
            deadline = time.monotonic() + DEADLINE_SECONDS
            while not server.arrivals:
                if time.monotonic() > deadline:
                    raise ScreenshotError(f"Alertmanager sent no mail within {DEADLINE_SECONDS:.0f} s")
                time.sleep(0.2)
        finally:
            alertmanager.stop()
        return str(server.arrivals[0].content.get_body(("html",)).get_content())
