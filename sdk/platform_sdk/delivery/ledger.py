"""What became of a process's events: the accounts in its memory, and the row of them in the database.

    produced = stored + spooled + sum(dropped) + what is still in memory

What the row proves: `stored` changes in the same transaction as the rows, so it is what the tables hold of this
process, whatever was killed when. `produced` is counted by the application's threads, independently. After `close`
nothing is in memory, and the two sides are equal. After a kill -9 it says what was produced up to its last
write; a later process, which finds the dead one's page in memory (`tally`), sets `produced` right and enters what was
lost as dropped, `killed`. What was spooled is not lost: a later process stores it and moves it, in this row, from
spooled to stored.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Self

from platform_sdk.delivery.batch import Batch
from platform_sdk.delivery.intake import Event
from platform_sdk.delivery.sampling import Sampler
from platform_sdk.delivery.spool_file import SpoolFile
from platform_sdk.delivery.store import quoted

KILLED = "killed"


@dataclass(frozen=True, slots=True)
class Accounts:
    """Where the events are that left the intake: in hand, held back by sampling, pending, on disk, or done with.

    `unasked` are those, with their weights, about which there was no time to ask the application's `before_send`.

    Immutable: a step is one assignment of new accounts. Whatever ends the writer thread, and wherever, leaves accounts
    that balance and that another thread can continue from.
    """

    sampler: Sampler
    hand: list[Event] = field(default_factory=list)
    unasked: tuple[tuple[Event, int], ...] = ()
    pending: tuple[Batch, ...] = ()
    files: tuple[SpoolFile, ...] = ()
    stored: int = 0
    adopted: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def buffered(self) -> int:
        unasked = sum(weight for _, weight in self.unasked)
        return len(self.hand) + unasked + self.sampler.events + sum(batch.events for batch in self.pending)

    @property
    def spooled(self) -> int:
        return sum(file.events for file in self.files)

    @property
    def pending_bytes(self) -> int:
        return sum(batch.size for batch in self.pending)

    def encoded(
        self, batch: Batch | None, sampler: Sampler, unasked: Iterable[tuple[Event, int]] = (), **dropped: int
    ) -> Self:
        """Return the accounts after the events in hand became a batch, but those `unasked` or `dropped`, by reason."""
        pending = self.pending if batch is None else (*self.pending, batch)
        return replace(
            self, hand=[], unasked=tuple(unasked), sampler=sampler, pending=pending, dropped=self._dropped(**dropped)
        )

    def spooled_as(self, batch: Batch, file: SpoolFile) -> Self:
        """Return the accounts after a pending batch was written to disk."""
        return replace(self.settled(batch), files=(*self.files, file))

    def settled(self, done: Batch | SpoolFile, stored: int = 0, **dropped: int) -> Self:
        """Return the accounts after a pending batch or a file was stored or given up; `dropped` is by reason."""
        return replace(
            self, pending=tuple(batch for batch in self.pending if batch is not done),
            files=tuple(file for file in self.files if file is not done), stored=self.stored + stored,
            dropped=self._dropped(**dropped),
        )  # fmt: skip

    def hand_lost(self, reason: str) -> Self:
        """Return the accounts after the events in hand, and the unasked, were given up."""
        lost = len(self.hand) + sum(weight for _, weight in self.unasked)
        return replace(self, hand=[], unasked=(), dropped=self._dropped(**{reason: lost}))

    def _dropped(self, **more: int) -> dict[str, int]:
        return {**self.dropped, **{reason: self.dropped.get(reason, 0) + n for reason, n in more.items() if n}}


@dataclass(frozen=True, slots=True)
class Ledger:
    """The row of one process at one time; times are Unix seconds."""

    app: str
    process: str
    produced: int
    stored: int
    spooled: int
    dropped: dict[str, int]
    started_at: float
    updated_at: float

    def upsert(self) -> str:
        """Return SQL that sets the row."""
        return (
            "INSERT INTO monitoring.sdk_ledger AS mine "
            "(app, process, produced, stored, spooled, dropped, started_at, updated_at) "
            f"VALUES ({quoted(self.app)}, {quoted(self.process)}, {self.produced}, {self.stored}, {self.spooled}, "
            f"{quoted(json.dumps(self.dropped))}, to_timestamp({self.started_at!r}), "
            f"to_timestamp({self.updated_at!r})) ON CONFLICT (app, process) DO UPDATE SET "
            "produced = excluded.produced, stored = excluded.stored, spooled = excluded.spooled, "
            "dropped = excluded.dropped, updated_at = excluded.updated_at"
        )

    def upsert_if_newer(self) -> str:
        """Return SQL that sets the row unless it is newer, and returns a row if it did."""
        return f"{self.upsert()} WHERE mine.updated_at < excluded.updated_at RETURNING 1"

    def end(self) -> str:
        """Return SQL that marks the process as ended with all of its events stored."""
        return (
            "UPDATE monitoring.sdk_ledger SET ended_at = clock_timestamp() "
            f"WHERE app = {quoted(self.app)} AND process = {quoted(self.process)}"
        )

    def lose(self) -> str:
        """Return SQL that sets right what a process produced that was killed, and enters as dropped what it lost.

        Leaves the row as it is where nothing was lost. Running it again changes nothing.
        """
        produced = "greatest(mine.produced, excluded.produced)"
        lost = (
            f"{produced} - mine.stored - mine.spooled - "
            "(SELECT coalesce(sum(value::bigint), 0)::bigint FROM jsonb_each_text(mine.dropped))"
        )
        return (
            "INSERT INTO monitoring.sdk_ledger AS mine (app, process, produced, dropped, started_at, updated_at) "
            f"VALUES ({quoted(self.app)}, {quoted(self.process)}, {self.produced}, "
            f"jsonb_build_object('{KILLED}', {self.produced}), to_timestamp({self.started_at!r}), clock_timestamp()) "
            f"ON CONFLICT (app, process) DO UPDATE SET produced = {produced}, dropped = mine.dropped || "
            f"jsonb_build_object('{KILLED}', coalesce((mine.dropped->>'{KILLED}')::bigint, 0) + {lost}) "
            f"WHERE mine.ended_at IS NULL AND {lost} > 0"
        )

    def move(self, stored: int, dropped: dict[str, int]) -> str:
        """Return SQL that takes events out of this row's spooled ones."""
        gone = stored + sum(dropped.values())
        added = ", ".join(
            f"'{reason}', coalesce((dropped->>'{reason}')::bigint, 0) + {n}" for reason, n in dropped.items()
        )
        return (
            f"UPDATE monitoring.sdk_ledger SET stored = stored + {stored}, spooled = spooled - {gone}, "
            f"dropped = dropped || jsonb_build_object({added}), updated_at = greatest(updated_at, clock_timestamp()) "
            f"WHERE app = {quoted(self.app)} AND process = {quoted(self.process)}"
        )

    def to_json(self) -> str:
        """Return the row as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Ledger":
        """Return the row that `to_json` wrote. Raises ValueError, TypeError or KeyError on anything else."""
        read = json.loads(text)
        return cls(
            str(read["app"]), str(read["process"]), int(read["produced"]), int(read["stored"]), int(read["spooled"]),
            {str(reason): int(count) for reason, count in read["dropped"].items()},
            float(read["started_at"]), float(read["updated_at"]),
        )  # fmt: skip
