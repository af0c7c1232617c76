"""A running stack's configuration for drills: as shipped, but for the receivers and what is reported to differ."""

from typing import Any

import psycopg
import requests
import yaml

from alertmanager.generate import configuration
from tools.drills.recorder import Receivers
from tools.stack.checkout import CHECKOUT
from tools.stack.config_files import EXPORTER_FILE
from tools.stack.state import StackState

ALWAYS = {"days": "sunday:saturday", "from": "00:00", "to": "24:00", "time_zone": "UTC"}
NOTIFY = {
    "critical": ["pager", "chat", "mail", "hook"],
    "high": ["chat", "mail", "hook"],
    "medium": ["chat", "hook"],
    "low": ["mail"],
    "unsorted": ["mail", "hook"],
    "history": ["history"],
    "watchdog": [],
}
ROUTING_KEY = "0123456789abcdef0123456789abcdef"


def notify_receivers(state: StackState, receivers: Receivers) -> None:
    """Write what the Alertmanagers of the stack read at their next start: notify the drill's receivers, at any hour."""
    content = yaml.safe_load((CHECKOUT / "alertmanager/channels.yml").read_text())
    content |= {"secrets": str(state.folder / "secrets"), "working_hours": ALWAYS, "notify": NOTIFY}
    state.write("secrets/slack_url", receivers.chat.url, mode=0o600)
    state.write("secrets/pagerduty_routing_key", ROUTING_KEY, mode=0o600)
    content["channels"] = {
        "pager": {"kind": "pagerduty", "routing_key_file": "pagerduty_routing_key", "url": receivers.pager.url},
        "chat": {"kind": "slack", "url_file": "slack_url", "channel": "#ops"},
        "mail": {
            "kind": "email",
            "to": "ops@example.com",
            "from": "alertmanager@example.com",
            "smarthost": receivers.mail.address,
            "require_tls": False,
        },
        "hook": {"kind": "webhook", "url": receivers.hook.url},
        "history": {
            "kind": "webhook",
            "url": f"{state.url('exporter')}/api/v1/alerts/notifications",
            "token_file": "alerts_token.password",
        },
    }
    channels = state.write("config/alertmanager/drill.yml", yaml.safe_dump(content, sort_keys=False))
    state.write("config/alertmanager/alertmanager.yml", configuration(channels))
    channels.unlink()


def show_shipped_links(state: StackState) -> None:
    """Have messages lead to Grafana, as shipped: a stack without one leads to files, which pagers refuse."""
    path = state.folder / "config/prometheus/prometheus.yml"
    content = yaml.safe_load(path.read_text())
    shipped = yaml.safe_load((CHECKOUT / "prometheus/prometheus.yml").read_text())
    content["global"]["external_labels"] = shipped["global"]["external_labels"]
    state.write("config/prometheus/prometheus.yml", yaml.safe_dump(content, sort_keys=False))


def configure_exporter(state: StackState, **sections: dict[str, Any]) -> None:
    """Have the exporter use these sections of its configuration, without a restart."""
    path = state.folder / EXPORTER_FILE
    content = yaml.safe_load(path.read_text()) | sections
    state.write(EXPORTER_FILE, yaml.safe_dump(content, sort_keys=False))
    requests.post(f"{state.url('exporter')}/-/reload", timeout=30).raise_for_status()


def redis_password_file(state: StackState, name: str) -> None:
    """Have the exporter's probe of Redis use this file of the stack as its password."""
    probes = yaml.safe_load((state.folder / EXPORTER_FILE).read_text())["probes"]
    for probe in probes["redis"]:
        probe["password_file"] = name
    configure_exporter(state, probes=probes)


def threshold_lines(thresholds: dict[str, Any]) -> list[str]:
    """Return one line for each threshold that differs from the shipped one."""
    return [
        f"{indicator} of {app}: {', '.join(f'{severity} {value:g}' for severity, value in values.items())}"
        for indicator, content in thresholds.items()
        for app, values in content["apps"].items()
    ]


OPEN_ALERTS = "platform_open_alerts"


def close_alerts(state: StackState) -> None:
    """Resolve the alerts that the demo database has open."""
    dsn = f"postgresql://stratlogic:{state.secret('stratlogic')}@{state.address('postgres')}/stratlogic"
    with psycopg.connect(dsn, application_name="drill", connect_timeout=5) as connection:
        connection.execute("update alerts set resolved = 1, resolved_at = now() where resolved = 0")


def open_alerts(state: StackState) -> float:
    """Return how many the exporter shows."""
    text = requests.get(f"{state.url('exporter')}/metrics", timeout=10).text
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{OPEN_ALERTS}{{"))
