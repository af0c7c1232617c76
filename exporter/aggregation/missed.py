"""Rows that were committed when their time had been counted already: what counting by time misses.

Each stretch of time is counted again once, LOOK_BACK_SECONDS after it was read: what is more then was missed. It is not
known which rows these are, so that they are counted as missed, and never as events.
"""

import logging
import time
from collections import deque
from dataclasses import dataclass

import psycopg

from exporter.aggregation import rollup
from exporter.sources.failing import ROW_ERRORS
from exporter.sources.mapping import Stream

logger = logging.getLogger(__name__)

MISSED = "platform_exporter_rows_missed_total"

LOOK_BACK_SECONDS = 600.0
STRETCH_SECONDS = 60.0
"""Polls that follow each other are one stretch for so long: one query a minute looks back."""


@dataclass(slots=True)
class Stretch:
    """A stretch of time, after `since` and up to `until`, and how many rows were read of it; on the monotonic clock."""

    since: str
    until: str
    rows: int
    began_at: float


class Recount:
    """The stretches of time of one stream that are still to be counted again. It belongs to one thread."""

    def __init__(self) -> None:
        self._stretches: deque[Stretch] = deque()

    def note(self, since: str, until: str, rows: int) -> None:
        """Remember what was read."""
        now = time.monotonic()
        last = self._stretches[-1] if self._stretches else None
        if last and last.until == since and now - last.began_at < STRETCH_SECONDS:
            last.until, last.rows = until, last.rows + rows
        elif since != until:
            self._stretches.append(Stretch(since, until, rows, now))

    def run(self, store: psycopg.Connection, reading: psycopg.Connection, stream: Stream, rows_sql: str) -> None:
        """Count a stretch again if one is due; `rows_sql` is SQL of the rows that count between two times."""
        if not self._stretches or time.monotonic() - self._stretches[0].began_at < LOOK_BACK_SECONDS:
            return
        due = self._stretches.popleft()
        query = f"SELECT count(*) FROM ({rows_sql}) again"
        try:
            row = reading.execute(query.encode(), {"since": due.since, "until": due.until}).fetchone()
        except ROW_ERRORS:
            return  # a row on which the mapping's SQL fails: these were counted one by one
        missed = (row[0] if row else 0) - due.rows
        if missed > 0:
            logger.warning(
                "source %s, stream %s: %d rows came later than `settle_seconds` (%g) and are not counted: raise it",
                stream.source, stream.name, missed, stream.settle_seconds,
            )  # fmt: skip
            rollup.add(store, stream, MISSED, {}, missed)
