"""What came to a receiver."""

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class ReceivedMessage:
    """One message.

    content: the JSON as parsed, or the e-mail as email.message.EmailMessage. problems: where it is not of the shape
    that is documented, one sentence each. length_bytes: as sent, without HTTP's headers. came_at is of the monotonic
    clock, in seconds, to measure with; at is for people.
    """

    receiver: str
    content: Any
    problems: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    length_bytes: int = 0
    came_at: float = field(default_factory=time.monotonic)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))


class Receiver(ABC):
    """Keep what came; end with the block."""

    def __init__(self) -> None:
        self._arrivals: list[ReceivedMessage] = []

    @property
    def arrivals(self) -> list[ReceivedMessage]:
        return list(self._arrivals)

    @property
    def problems(self) -> list[str]:
        """Return what was wrong with what came."""
        return [problem for arrival in self.arrivals for problem in arrival.problems]

    @abstractmethod
    def close(self) -> None:
        """End it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
