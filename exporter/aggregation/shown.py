"""What is shown of a source: between its committed rollups and every scrape, so that increase() is what was counted.

PromQL takes a counter that falls for one that began again, and adds all of it; and of a series that appears with 7 it
cannot know those 7. So:

- What is shown never falls. Where a store went back (a failover lost commits, a backup was restored), the highest value
  shown is written into it, `monitoring.rollup.held`, and shown until the count is there again: by every replica.
- A new series is shown at 0 until every scraper has seen it there. What was counted before this exporter looked, and a
  table's first count, is not a new series.
- Where it cannot be known what was shown (another store, or this one's history changed while no exporter remembered),
  counters begin again at 0: `monitoring.rollup.base`.
- A series that ended on purpose (its rollup was deleted) is gone. It has a later `created_at` if it comes again.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
from psycopg.types.json import Jsonb

from exporter.aggregation.scrapers import Scrapers
from exporter.aggregation.series import WENT_BACK, Total
from exporter.aggregation.shown_file import ShownFile
from exporter.aggregation.snapshot import HISTORY, StoreState
from exporter.errors import StateError
from platform_sdk.events import EVENTS

logger = logging.getLogger(__name__)

Read = Callable[[psycopg.Connection], tuple[list[Total], StoreState]]
"""Reads a source's committed totals and the state of their store."""

_ZERO_FILLS = {rollup.metric: rollup.zero_fill for kind in EVENTS for rollup in kind.rollups if rollup.zero_fill}


class Shown:
    """What was shown of one source. Its workers' threads call it, one at a time."""

    def __init__(self, source: str, scrapers: Scrapers, file: ShownFile | None) -> None:
        self._source = source
        self._scrapers = scrapers
        self._file = file
        self._lock = threading.Lock()
        self._state, totals = file.load(source) if file else (None, [])
        self._past: dict[str, Total] = _by_key(totals)
        self._born: dict[str, float] = {}
        self._committed: dict[str, Total] = {}
        self._replaced = False
        self.problems: tuple[str, ...] = ()
        self.totals: tuple[Total, ...] = tuple(totals)

    @property
    def known(self) -> bool:
        """Return whether it is known what was shown."""
        return self._state is not None

    def begin(self, connection: psycopg.Connection, read: Read) -> None:
        """Look at the store before this process counts in it, unless it is remembered."""
        if self._state is None:
            state = read(connection)[1]
            if state.history is not None:
                self._restart(connection, "c.history <> " + HISTORY)
                self.hold(connection, read)

    def hold(self, connection: psycopg.Connection, read: Read) -> tuple[Total, ...]:
        """Read and return what to show: never less than before. `published` must follow. Raises psycopg.Error."""
        totals, state = read(connection)
        with self._lock:
            if state.history is None:  # a standby may be behind, and nothing can be written to it
                return self.totals or tuple(totals)
            committed = _by_key(totals)
            if self._change(connection, committed, state):
                totals, state = read(connection)
                committed = _by_key(totals)
            self._committed = committed
            self.totals = self._show(committed, state)
            return self.totals

    def published(self) -> None:
        """Note that scrapes see from now on what `hold` or `release` returned."""
        now = time.monotonic()
        self._born = {key: min(since, now) for key, since in self._born.items()}

    def forget(self) -> None:
        """Show nothing any more, and remember nothing."""
        with self._lock:
            try:
                if self._file and self._state is not None:
                    self._file.forget(self._source)
            except StateError as error:
                self.problems = (str(error),)
            self._state, self._past, self._born, self._committed, self.totals = None, {}, {}, {}, ()

    def wait_seconds(self) -> float | None:
        """Return after how long to ask `release`; None where no series waits at 0."""
        if not self._born:
            return None
        hold = self._scrapers.hold_seconds()
        return max(min(self._born.values()) + hold - time.monotonic(), hold / 10)

    def release(self) -> bool:
        """Show the values of new series that every scraper has seen at 0; tell whether there were any."""
        with self._lock:
            due = self._state is not None and any(map(self._scrapers.saw, self._born.values()))
            if due and self._state:
                self.totals = self._show(self._committed, self._state)
            return due

    def _change(self, connection: psycopg.Connection, totals: dict[str, Total], state: StoreState) -> bool:
        """Change the store where it would show less than was shown; tell whether it was changed."""
        before, self._replaced = self._state, self._replaced
        if before is None:
            return False
        if before.registered != state.registered:
            logger.warning("source %s is in another store than before: its counters begin again at 0", self._source)
            self._past, self._replaced, self._state = {}, True, replace(state, streams=())
            return self._restart(connection, "true")
        if self._replaced and set(state.streams) - set(before.streams):
            return self._restart(connection, "NOT c.stream = ANY(%(streams)s)", before.streams)
        fallen = list(self._fallen(totals, state.went_back(before)))
        if not fallen:
            return False
        counter = next(total for total in totals.values() if total.metric == WENT_BACK)
        if raised := _write_back(connection, self._source, counter, fallen):
            logger.warning(
                "source %s: the store went back, %d counters were below what was shown (history %s, was %s); they are "
                "held until the count is there again", self._source, raised, state.history, before.history,
            )  # fmt: skip
        return True

    def _restart(self, connection: psycopg.Connection, where: str, streams: Iterable[str] = ()) -> bool:
        """Let the counters of those streams begin again at 0; tell whether there were any."""
        changed = connection.execute(
            f"""UPDATE monitoring.rollup r SET base = ARRAY[value, total] || buckets, held = NULL, created_at = now()
            FROM monitoring.cursor c WHERE (c.source, c.stream) = (r.source, r.stream) AND r.type <> 'gauge'
                AND r.source = %(source)s AND ({where})""".encode(),
            {"source": self._source, "streams": list(streams)},
        ).rowcount
        if changed:
            logger.warning("source %s: %d counters begin again at 0, as what was shown of them is not known",
                           self._source, changed)  # fmt: skip
        return changed > 0

    def _fallen(self, totals: dict[str, Total], went_back: bool) -> Iterator[Total]:
        for key, old in self._past.items():
            new = totals.get(key)
            if new is None:
                # Else it was deleted on purpose.
                if went_back and old.value:
                    yield old
            elif new.created <= old.created:
                if _is_lower(new, old):
                    yield old
            elif went_back and old.value:
                # It was lost and came again. Prometheus adds a 0 at a later created timestamp, however high the value.
                yield old

    def _show(self, totals: dict[str, Total], state: StoreState) -> tuple[Total, ...]:
        """Return the totals, new series at 0, and remember what is shown: on the disk first."""
        before, past, born = self._state, {}, {}
        shown, changed = [], []
        streams = before.streams if before else ()
        went_back = before is not None and state.went_back(before)
        for key, total in totals.items():
            old = self._past.get(key)
            if old is not None and old == total:
                past[key] = old
                shown.append(old)  # equal views are compared by identity, which is faster
                continue
            if total.type != "gauge":
                since = self._born.get(key)
                if since is None and self._begins(total, old, streams, went_back):
                    since = math.inf
                if since is not None and not self._scrapers.saw(since):
                    born[key] = since
                    shown.append(_at_zero(total))
                    continue
                changed.append((key, total))
                past[key] = total
            shown.append(total)
        self._save(state, past, changed)
        self._past, self._born, self._state = past, born, state
        return tuple(shown)

    def _save(self, state: StoreState, past: dict[str, Total], changed: list[tuple[str, Total]]) -> None:
        """Write what changed; all of it where that failed before. What cannot be written is shown nonetheless."""
        if self._file is None:
            return
        try:
            if self.problems:
                self._file.save(self._source, state, past.items(), None)
            else:
                self._file.save(self._source, state, changed, self._past.keys() - past.keys())
            self.problems = ()
        except StateError as error:
            self.problems = (str(error),)

    def _begins(self, total: Total, old: Total | None, streams: tuple[str, ...], went_back: bool) -> bool:
        """Tell whether a series is new, and has not been seen at 0; one whose value is 0 must be seen as well."""
        if old is not None:
            return total.created > old.created and old.value > 0 and not went_back
        return total.stream in streams and not self._was_filled(total)

    def _was_filled(self, total: Total) -> bool:
        """Tell whether a series was shown as 0 beside another before it first occurred."""
        fill = _ZERO_FILLS.get(total.metric)
        if fill is None or total.labels.get(fill.label) not in fill.values:
            return False
        labels = {name: value for name, value in total.labels.items() if name != fill.label}
        return _key(Total(fill.attempts, "counter", labels, 0.0, stream=total.stream)) in self._past


class ShownSources:
    """What was shown of every source, and who scrapes."""

    def __init__(self, folder: Path | None, scrape_interval_seconds: float) -> None:
        """Open the file in `folder`, if any. Raises StateError."""
        self.scrapers = Scrapers(scrape_interval_seconds)
        self.folder = folder
        self._file = ShownFile(folder) if folder else None
        self._sources: dict[str, Shown] = {}

    def of(self, source: str) -> Shown:
        """Return what was shown of a source, the same for each of its workers. Raises StateError."""
        if source not in self._sources:
            self._sources[source] = Shown(source, self.scrapers, self._file)
        return self._sources[source]

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()


def with_falls(totals: list[Total], source: str, stream: str) -> list[Total]:
    """Return the totals of a source with its counter of falls, 0 where there was none."""
    if any(total.metric == WENT_BACK for total in totals):
        return totals
    created = min((total.created for total in totals), default=0.0)
    return [*totals, Total(WENT_BACK, "counter", {"source": source}, 0.0, created=created, stream=stream)]


def _by_key(totals: Iterable[Total]) -> dict[str, Total]:
    return {_key(total): total for total in totals}


def _key(total: Total) -> str:
    # A text hashes once. jsonb has its keys in one order, and no text of PostgreSQL a \0.
    return "\0".join((total.stream, total.metric, total.type, *total.labels, *total.labels.values()))


def _is_lower(new: Total, old: Total) -> bool:
    """Tell whether a counter or any bucket fell. A sum may fall: of what can be negative."""
    if new.value < old.value:
        return True
    return bool(old.buckets) and any(a < b for a, b in zip(new.buckets or (), old.buckets or (), strict=False))


def _at_zero(total: Total) -> Total:
    buckets = None if total.buckets is None else [0.0] * len(total.buckets)
    return replace(total, value=0.0, total=None if total.total is None else 0.0, buckets=buckets, exemplars=None)


def _write_back(connection: psycopg.Connection, source: str, counter: Total, fallen: list[Total]) -> int:
    """Write what was shown of these series into the store; return how many another replica had not, and count them.

    `counter` counts them, and may have fallen as well: it is held like the others, and grows from there.
    """
    rows = [
        {"stream": old.stream, "metric": old.metric, "type": old.type, "labels": old.labels, "value": old.value,
         "total": old.total, "buckets": old.buckets, "created": old.created}
        for old in fallen
    ]  # fmt: skip
    with connection.transaction():
        # Where a series began again meanwhile (base), what was shown before is of another one.
        raised = connection.execute(
            """INSERT INTO monitoring.rollup AS r
                (source, stream, metric, type, labels, value, total, buckets, created_at, held)
            SELECT %(source)s, stream, metric, type, labels, 0, CASE WHEN total IS NOT NULL THEN 0 END,
                CASE WHEN buckets IS NOT NULL THEN array_fill(0::double precision, ARRAY[cardinality(buckets)]) END,
                to_timestamp(created), ARRAY[value, total] || buckets
            FROM jsonb_to_recordset(%(rows)s) AS old(stream text, metric text, type text, labels jsonb,
                value double precision, total double precision, buckets double precision[], created double precision)
            ORDER BY metric = %(counter)s, stream, metric, type, labels
            ON CONFLICT (source, stream, metric, type, labels) DO UPDATE SET
                created_at = least(r.created_at, excluded.created_at),
                held = (SELECT array_agg(greatest(a, b) ORDER BY place)
                    FROM unnest(r.held, excluded.held) WITH ORDINALITY AS pair(a, b, place))
            WHERE (r.base IS NULL OR r.created_at <= excluded.created_at) AND (r.created_at > excluded.created_at OR
                EXISTS (SELECT FROM unnest(r.held, excluded.held) pair(a, b) WHERE greatest(a, b) IS DISTINCT FROM a))
            RETURNING r.metric""",
            {"source": source, "counter": counter.metric, "rows": Jsonb(rows)},
        ).fetchall()
        count = sum(row != (counter.metric,) for row in raised)
        if count:
            connection.execute(
                """INSERT INTO monitoring.rollup AS r (source, stream, metric, type, labels, value, created_at)
                VALUES (%s, %s, %s, 'counter', %s, %s, to_timestamp(%s))
                ON CONFLICT (source, stream, metric, type, labels) DO UPDATE SET
                    value = greatest(r.value, r.held[1] + coalesce(r.base[1], 0)) + excluded.value""",
                [source, counter.stream, counter.metric, Jsonb(counter.labels), count, counter.created],
            )
    return count
