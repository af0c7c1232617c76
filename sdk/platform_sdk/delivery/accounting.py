"""Keep account of every event from the moment it left the intake.

Books are immutable: a step is one assignment of new books. Whatever ends the writer thread, and wherever, leaves books
that balance and that another thread can go on from.
"""

from dataclasses import dataclass, field, replace
from typing import Self

from platform_sdk.delivery.batch import Batch
from platform_sdk.delivery.intake import Event
from platform_sdk.delivery.sampling import Sampler
from platform_sdk.delivery.spool_file import SpoolFile
from platform_sdk.delivery.store import Delivery


@dataclass(frozen=True, slots=True)
class Books:
    """Say where the events are: in hand, held back by sampling, in batches not yet stored, on disk, or done with."""

    sampler: Sampler
    hand: list[Event] = field(default_factory=list)
    pending: tuple[Batch, ...] = ()
    files: tuple[SpoolFile, ...] = ()
    stored: int = 0
    adopted: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def buffered(self) -> int:
        return len(self.hand) + self.sampler.events + sum(batch.events for batch in self.pending)

    @property
    def spooled(self) -> int:
        return sum(file.events for file in self.files)

    @property
    def pending_bytes(self) -> int:
        return sum(batch.size for batch in self.pending)

    def encoded(self, batch: Batch | None, sampler: Sampler, unwritable: int) -> Self:
        """Return the books after what was in hand became a batch."""
        pending = self.pending if batch is None else (*self.pending, batch)
        return replace(self, hand=[], sampler=sampler, pending=pending, dropped=self._more("serialization", unwritable))

    def delivered(self, batch: Batch, delivery: Delivery) -> Self:
        """Return the books after a pending batch was stored, but for its poison rows."""
        return replace(
            self, pending=self._without(batch), stored=self.stored + delivery.stored,
            dropped=self._more("poison", delivery.poison),
        )  # fmt: skip

    def spooled_as(self, batch: Batch, file: SpoolFile) -> Self:
        """Return the books after a pending batch was written to disk."""
        return replace(self, pending=self._without(batch), files=(*self.files, file))

    def replayed(self, file: SpoolFile, delivery: Delivery) -> Self:
        """Return the books after a file was stored, but for its poison rows."""
        return replace(
            self, files=tuple(other for other in self.files if other != file), stored=self.stored + delivery.stored,
            dropped=self._more("poison", delivery.poison),
        )  # fmt: skip

    def file_lost(self, file: SpoolFile) -> Self:
        """Return the books after a file was found unreadable."""
        files = tuple(other for other in self.files if other != file)
        return replace(self, files=files, dropped=self._more("spool_corrupt", file.events))

    def batch_lost(self, batch: Batch, reason: str) -> Self:
        """Return the books after a pending batch was given up."""
        return replace(self, pending=self._without(batch), dropped=self._more(reason, batch.events))

    def hand_lost(self, reason: str) -> Self:
        """Return the books after what was in hand was given up."""
        return replace(self, hand=[], dropped=self._more(reason, len(self.hand)))

    def with_adopted(self, events: int) -> Self:
        """Return the books after events of a dead process were stored."""
        return replace(self, adopted=self.adopted + events)

    def _without(self, batch: Batch) -> tuple[Batch, ...]:
        return tuple(other for other in self.pending if other is not batch)

    def _more(self, reason: str, events: int) -> dict[str, int]:
        return {**self.dropped, reason: self.dropped.get(reason, 0) + events} if events else self.dropped
