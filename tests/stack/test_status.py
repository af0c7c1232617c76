"""What `make up` waits for: the notification of the demo's breach."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tools.stack import status
from tools.stack.state import StackState

BREACH = {"alertname": status.ALERT, "app": "scitex", "api": status.INCIDENT_API}


class Receiver:
    """A receiver of notifications that answers with `notifications`, the latest first."""

    def __init__(self) -> None:
        self.notifications: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps({"notifications": outer.notifications}).encode())

            def log_message(self, *args: object) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.state = cast(StackState, SimpleNamespace(url=lambda _: f"http://127.0.0.1:{self.server.server_port}"))

    def add(self, state: str, seconds_ago: float) -> None:
        """Receive a notification of the breach."""
        at = datetime.fromtimestamp(time.time() - seconds_ago, UTC).isoformat()
        alert = {"status": state, "labels": BREACH}
        self.notifications.insert(0, {"received_at": at, "receiver": "critical", "alerts": [alert]})

    def notified(self, started_seconds_ago: float) -> str | None:
        """Return what a stack that started so long ago reports."""
        return status._notified(self.state, time.time() - started_seconds_ago)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Return a receiver that has received nothing."""
    found = Receiver()
    thread = Thread(target=found.server.serve_forever)
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


def test_a_notification_since_the_start(receiver: Receiver) -> None:
    """It names the receiver and the alert."""
    assert receiver.notified(60) is None
    receiver.add("firing", 10)

    assert receiver.notified(60) == f"by the receiver `critical`: {status.ALERT}"


def test_a_notification_before_a_restart(receiver: Receiver) -> None:
    """Alertmanager remembers it and sends no other within the hour: that is not a fault of the new start."""
    receiver.add("firing", 600)

    assert receiver.notified(60) == (
        f"by the receiver `critical`: {status.ALERT}, 10 min ago, before this start; repeated hourly"
    )


def test_an_older_or_resolved_one_does_not_count(receiver: Receiver) -> None:
    """Another one is due then."""
    receiver.add("firing", status.REPEATED_SECONDS + 60)
    assert receiver.notified(60) is None
    receiver.add("firing", 600)
    receiver.add("resolved", 300)

    assert receiver.notified(60) is None
