"""Read what Alertmanager posts to a webhook: version 4.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

import uuid
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from exporter.errors import PayloadError

Status = Literal["firing", "resolved"]
Time = Annotated[datetime, Meta(tz=True)]


class Alert(Struct, frozen=True, kw_only=True):
    """Hold one alert; while it fires, `endsAt` is the year 1. Other keys are left out."""

    status: Status
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    startsAt: Time  # noqa: N815 - the payload's own names, here and below
    endsAt: Time  # noqa: N815
    fingerprint: Annotated[str, Meta(min_length=1, max_length=64)]


class Payload(Struct, frozen=True, kw_only=True):
    """Hold one post."""

    version: Literal["4"]
    receiver: str
    groupKey: str  # noqa: N815
    alerts: tuple[Alert, ...]
    truncatedAlerts: int = 0  # noqa: N815


class Post(Struct, frozen=True, kw_only=True):
    """Hold a payload, when it came, and the id by which it is stored once however often it is tried."""

    id: uuid.UUID
    received_at: Time
    payload: Payload


def parse(body: bytes) -> Payload:
    """Return the payload. Raises PayloadError, which says what was wanted where."""
    try:
        return msgspec.json.decode(body, type=Payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise PayloadError(
            f"no payload of version 4 of Alertmanager's webhook: {error}; wanted version, receiver, groupKey and "
            "alerts, each with status, labels, startsAt, endsAt and fingerprint"
        ) from error
