"""Alertmanager's notifications, as it posts them to a webhook: version 4.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

import uuid
from datetime import UTC, datetime
from typing import Annotated, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from exporter.errors import NotificationError

Status = Literal["firing", "resolved"]
Time = Annotated[datetime, Meta(tz=True)]

MOST_BODY_BYTES = 4 * 1024 * 1024
"""About 2,500 alerts in one notification."""


class NotifiedAlert(Struct, frozen=True, kw_only=True):
    """What every alert of a notification has. Other keys are ignored."""

    status: Status
    labels: dict[str, str]
    annotations: dict[str, str] = {}


class DisplayedAlert(NotifiedAlert, frozen=True, kw_only=True):
    """An alert that is only shown: whatever is missing is shown as missing."""

    startsAt: str = ""  # noqa: N815 - Alertmanager's names, here and below
    endsAt: str = ""  # noqa: N815
    generatorURL: str = ""  # noqa: N815
    fingerprint: str = ""

    @property
    def subject(self) -> str:
        """Return what the alert is about: the app, or the component or source with its name."""
        labels = (self.labels.get(name, "") for name in ("app", "component", "source", "name"))
        return " ".join(filter(None, labels)) or "-"


class HistoryAlert(NotifiedAlert, frozen=True, kw_only=True):
    """An alert that the history counts; while it fires, `endsAt` is the year 1."""

    startsAt: Time  # noqa: N815
    endsAt: Time  # noqa: N815
    fingerprint: Annotated[str, Meta(min_length=1, max_length=64)]

    def __post_init__(self) -> None:
        for name, time in (("startsAt", self.startsAt), ("endsAt", self.endsAt)):
            try:
                time.astimezone(UTC)
            except OverflowError:
                raise ValueError(f"invalid `{name}` {time}: expected a time of the years 1 to 9999 in UTC") from None


A = TypeVar("A", bound=NotifiedAlert)


class NotificationContent(Struct, Generic[A], frozen=True, kw_only=True):
    """What both a posted and a stored notification have."""

    status: Status
    receiver: str
    groupKey: str  # noqa: N815
    alerts: tuple[A, ...]
    truncatedAlerts: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0  # noqa: N815


class Notification(NotificationContent[A], Generic[A], frozen=True, kw_only=True):
    """One notification as it is posted."""

    version: Literal["4"]


class Delivery(Struct, frozen=True, kw_only=True):
    """A notification for the history, and when it arrived; its id is stored once, however often it is tried."""

    id: uuid.UUID
    received_at: Time
    notification: Notification[HistoryAlert]


def parse(body: bytes, alert: type[A]) -> Notification[A]:
    """Return the notification in a request's body. Raises NotificationError."""
    try:
        return msgspec.json.decode(body, type=Notification[alert])  # type: ignore[valid-type]  # a class chosen at run time
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotificationError(
            f"invalid notification: {error}; expected version 4 of Alertmanager's webhook, with alerts that have "
            f"{', '.join(alert.__struct_fields__)}"
        ) from error
