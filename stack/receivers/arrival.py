"""What came to a receiver."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Arrival:
    """
    One message.

    content: the JSON as parsed, or the e-mail as email.message.EmailMessage. problems: where it is not of the shape
    that is documented, one sentence each. came_at is of the monotonic clock, in seconds, to measure with; at is for
    people.
    """

    receiver: str
    content: Any
    problems: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    came_at: float = field(default_factory=time.monotonic)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
