"""The receivers of a drill: one of each kind that a person is told by."""

from tools.stack.receivers.base import ReceivedMessage
from tools.stack.receivers.http import HttpReceiver
from tools.stack.receivers.mail import MailReceiver


class Receivers:
    """A pager, a chat, a mail server and a webhook, which check the shape of all that comes."""

    def __init__(self) -> None:
        self.pager = HttpReceiver("pagerduty", "pager")
        self.chat = HttpReceiver("slack", "chat")
        self.hook = HttpReceiver("webhook", "hook")
        self.mail = MailReceiver()

    @property
    def arrivals(self) -> list[ReceivedMessage]:
        """Return all that came, in order."""
        found = [one for receiver in (self.pager, self.chat, self.hook, self.mail) for one in receiver.arrivals]
        return sorted(found, key=lambda one: one.came_at)

    def close(self) -> None:
        """End them."""
        for receiver in (self.pager, self.chat, self.hook, self.mail):
            receiver.close()
