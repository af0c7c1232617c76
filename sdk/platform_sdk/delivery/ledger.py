"""Write a process's ledger down: what it produced, and what became of it.

    produced = stored + spooled + sum(dropped) + what is still in memory

What the row proves: `stored` changes in the same transaction as the rows, so it is what the tables hold of this
process, whatever was killed when. `produced` is counted by the application's threads, independently. After `close`
nothing is in memory, and the two sides are equal. What it cannot prove: after a kill -9 it tells what was produced up
to its last write, which is at most a flush interval old while the database answers; the difference between the sides
is what was in memory then and is lost, and of events since that write nobody knows. What was spooled is not lost: a
later process stores it and moves it, in this row, from spooled to stored.
"""

import json
from dataclasses import asdict, dataclass

from platform_sdk.delivery.store import quoted


@dataclass(frozen=True, slots=True)
class Ledger:
    """Hold the figures of one process at one time; times are Unix seconds."""

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
        """Return SQL that tells that the process has ended, with all of its events stored: nothing more will come."""
        return (
            "UPDATE monitoring.sdk_ledger SET ended_at = clock_timestamp() "
            f"WHERE app = {quoted(self.app)} AND process = {quoted(self.process)}"
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
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Ledger":
        """Raises ValueError, TypeError or KeyError on anything else than `to_json` wrote."""
        read = json.loads(text)
        return cls(
            str(read["app"]), str(read["process"]), int(read["produced"]), int(read["stored"]), int(read["spooled"]),
            {str(reason): int(count) for reason, count in read["dropped"].items()},
            float(read["started_at"]), float(read["updated_at"]),
        )  # fmt: skip
