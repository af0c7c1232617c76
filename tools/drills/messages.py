"""What a received message says: its channel and severity, and whether something fires or is resolved."""

import json
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

from tools.stack.receivers.base import ReceivedMessage

Labels = dict[str, str]


@dataclass(frozen=True)
class AlertInMessage:
    """One alert in a webhook's message: Alertmanager's fingerprint of it, whether it fires, and its labels."""

    fingerprint: str
    firing: bool
    labels: Labels


@dataclass(frozen=True)
class ChannelMessage:
    """One message.

    at is of the monotonic clock. incident is the pager's own key of what it belongs to, empty elsewhere. alerts are
    known of the webhook only. text is all of it, to search in. problems: where it differs from its documentation.
    """

    channel: str
    at: float
    firing: bool
    severity: str
    text: str
    incident: str = ""
    alerts: tuple[AlertInMessage, ...] = ()
    problems: tuple[str, ...] = ()


def message(received: ReceivedMessage) -> ChannelMessage:
    """Return what a message says; one that is of no known shape counts as firing, with its problems."""
    try:
        firing, severity, text, incident, alerts = READERS[received.receiver](received.content)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        problems = (*received.problems, f"cannot be read: {type(error).__name__} {error}")
        return ChannelMessage(received.receiver, received.came_at, True, "", str(received.content), problems=problems)
    return ChannelMessage(
        received.receiver, received.came_at, firing, severity, text, incident, alerts, received.problems
    )


Read = tuple[bool, str, str, str, tuple[AlertInMessage, ...]]

# PagerDuty's names of our severities.
PAGERDUTY = {"critical": "critical", "error": "high", "warning": "medium", "info": "low"}


def _pager(content: Any) -> Read:
    severity = PAGERDUTY[content["payload"]["severity"]]
    return content["event_action"] == "trigger", severity, json.dumps(content), content["dedup_key"], ()


def _chat(content: Any) -> Read:
    attachment = content["attachments"][0]
    firing, severity = _titled(attachment["title"])
    return firing, severity, f"{attachment['title']}\n{attachment['text']}", "", ()


def _mail(content: EmailMessage) -> Read:
    firing, severity = _titled(str(content["Subject"]))
    body = content.get_body(("plain",))
    return firing, severity, f"{content['Subject']}\n{body.get_content() if body else ''}", "", ()


def _hook(content: Any) -> Read:
    alerts = tuple(
        AlertInMessage(one["fingerprint"], one["status"] == "firing", one["labels"]) for one in content["alerts"]
    )
    severity = content["commonLabels"].get("severity", "")
    return content["status"] == "firing", severity, json.dumps(content), "", alerts


def _titled(title: str) -> tuple[bool, str]:
    """Return whether "[CRITICAL] ..." or "[RESOLVED] ..." fires, and how severe it says to be."""
    mark = title.partition("[")[2].partition("]")[0].lower()
    return mark != "resolved", "" if mark == "resolved" else mark


READERS = {"pager": _pager, "chat": _chat, "mail": _mail, "hook": _hook}
