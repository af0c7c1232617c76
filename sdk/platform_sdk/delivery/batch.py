"""Batches: rows that are stored together or not at all, under an id that keeps them from being stored twice."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace

from platform_sdk.delivery import kinds


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one table, each ended by a line feed; rows of events hold no line feed of their own."""

    table: str
    columns: tuple[str, ...]
    data: bytes
    rows: int
    events: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of several tables. `events` counts what they stand for: a sampled request more than one."""

    id: str
    parts: tuple[Part, ...]

    @property
    def events(self) -> int:
        return sum(part.events for part in self.parts)

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def size(self) -> int:
        return sum(len(part.data) for part in self.parts) + 200

    @property
    def urgent(self) -> bool:
        """Whether nothing is in it that would be dropped before errors and jobs."""
        return all(part.table in kinds.URGENT for part in self.parts)

    def halves(self) -> tuple["Batch", "Batch"]:
        """Split it in two. Their ids are made of this one's: splitting the same batch again gives the same two."""
        if len(self.parts) > 1:
            return self._half(0, self.parts[:1]), self._half(1, self.parts[1:])
        part = self.parts[0]
        lines = part.data.splitlines(keepends=True)
        middle = len(lines) // 2
        return self._half(0, (_part(part, lines[:middle]),)), self._half(1, (_part(part, lines[middle:]),))

    def in_ascii(self) -> "Batch":
        """Return it with a question mark for each letter beyond ASCII."""
        return replace(
            self, parts=tuple(replace(part, data=part.data.decode().encode("ascii", "replace")) for part in self.parts)
        )

    def _half(self, number: int, parts: tuple[Part, ...]) -> "Batch":
        return Batch(uuid.uuid5(uuid.UUID(self.id), str(number)).hex, parts)


def batch_of(rows: dict[int, list[str]], events: dict[int, int]) -> Batch:
    """Make a batch of rows by kind, and of how many events those of each kind stand for."""
    return Batch(uuid.uuid4().hex, tuple(_parts(rows, events)))


def _parts(rows: dict[int, list[str]], events: dict[int, int]) -> Iterator[Part]:
    for kind, lines in sorted(rows.items()):
        table, columns = ("scraping_job", ()) if kind == kinds.JOB else (kinds.NAMES[kind], kinds.COLUMNS[kind])
        data = ("\n".join(lines) + "\n").encode("utf-8", "replace")
        yield Part(table, columns, data, len(lines), events.get(kind, 0))


def _part(whole: Part, lines: list[bytes]) -> Part:
    """Return some of the rows of a part; of weighted rows the weight says how many events they are."""
    weight = next((place for place, column in enumerate(whole.columns) if column in kinds.WEIGHTS), None)
    if whole.events == 0:
        events = 0
    elif weight is not None:
        events = sum(int(float(line.split(b"\t")[weight])) for line in lines)
    else:
        events = len(lines)
    return Part(whole.table, whole.columns, b"".join(lines), len(lines), events)
