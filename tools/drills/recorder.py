"""What happens on a stack while drills run: what fires, what is muted, which messages arrive."""

import threading
import time
from dataclasses import dataclass
from typing import Any

import requests

from tools.drills.messages import ChannelMessage, Labels, message
from tools.stack.config_files import ALERTMANAGERS
from tools.stack.receivers.base import ReceivedMessage
from tools.stack.receivers.http import HttpReceiver
from tools.stack.receivers.mail import MailReceiver
from tools.stack.state import StackState

EVERY_SECONDS = 0.5


class Receivers:
    """A pager, a chat, a mail server and a webhook, which check the shape of all that comes."""

    def __init__(self) -> None:
        self.pager = HttpReceiver("pagerduty", "pager")
        self.chat = HttpReceiver("slack", "chat")
        self.hook = HttpReceiver("webhook", "hook")
        self.mail = MailReceiver()

    @property
    def received(self) -> list[ReceivedMessage]:
        found = [one for receiver in (self.pager, self.chat, self.hook, self.mail) for one in receiver.arrivals]
        return sorted(found, key=lambda one: one.came_at)

    def close(self) -> None:
        for receiver in (self.pager, self.chat, self.hook, self.mail):
            receiver.close()


@dataclass
class Firing:
    """One alert of Prometheus that fired: from when, and until when it was last seen so (monotonic clock)."""

    labels: Labels
    first_at: float
    last_at: float
    muted: bool = False


class AlertRecorder:
    """Asks Prometheus and every Alertmanager twice a second, also those that are away."""

    def __init__(self, state: StackState, receivers: Receivers) -> None:
        self._prometheus = f"{state.url('prometheus')}/api/v1/alerts"
        self._alertmanagers = [f"{state.url(one)}/api/v2/alerts" for one in ALERTMANAGERS if one in state.ports]
        self._receivers = receivers
        self._firings: list[Firing] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.last_look_at = 0.0
        self.pending: list[Labels] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def messages(self) -> list[ChannelMessage]:
        return [message(one) for one in self._receivers.received]

    @property
    def firings(self) -> list[Firing]:
        """Return what fired so far, each period by itself."""
        with self._lock:
            return list(self._firings)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.wait(EVERY_SECONDS):
            now = time.monotonic()
            firing = self._ask(self._prometheus)
            if firing is not None:
                alerts = firing["data"]["alerts"]
                self.pending = [one["labels"] for one in alerts if one["state"] == "pending"]
                self._seen([one["labels"] for one in alerts if one["state"] == "firing"], now)
            for address in self._alertmanagers:
                alerts = self._ask(address) or []
                self._mark([one["labels"] for one in alerts if one["status"]["inhibitedBy"]])

    def _ask(self, address: str) -> Any:
        try:
            answer = requests.get(address, timeout=3)
            return answer.json() if answer.status_code == 200 else None
        except (requests.RequestException, ValueError):
            return None

    def _seen(self, firing: list[Labels], now: float) -> None:
        with self._lock:
            going_on = {_key(one.labels): one for one in self._firings if one.last_at == self.last_look_at}
            for labels in firing:
                if known := going_on.get(_key(labels)):
                    known.last_at = now
                else:
                    self._firings.append(Firing(labels, now, now))
            self.last_look_at = now

    def _mark(self, muted: list[Labels]) -> None:
        keys = {_key(labels) for labels in muted}
        with self._lock:
            for one in self._firings:
                if _key(one.labels) in keys and one.last_at == self.last_look_at:
                    one.muted = True


def _key(labels: Labels) -> frozenset[tuple[str, str]]:
    return frozenset(labels.items())
