"""Make the demo's data those of a healthy platform."""

import psycopg
import requests

from tools.stack.state import StackState

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
