"""Which source counts in which event store: one that is listed twice, by two spellings, would count all twice."""

import threading
import time
from collections.abc import Iterable, Sequence

import psycopg

from exporter.aggregation.snapshot import HISTORY
from exporter.errors import DoubledStoreError

WAIT_SECONDS = 10.0
"""How long a source waits for the first attempt of those before it: which of two counts is the same at each start."""


class StoreClaims:
    """The event stores that sources of this process count in. Any thread may call any method."""

    def __init__(self, sources: Sequence[str] = ()) -> None:
        """Take the sources of event stores in the order of the configuration: of two of one store the first counts."""
        self._lock = threading.Lock()
        self._sources: tuple[str, ...] = tuple(sources)
        self._tried: set[str] = set()
        self._owners: dict[str, str] = {}
        self._refused: dict[str, str] = {}

    def keep(self, sources: Sequence[str]) -> None:
        """Let go of what sources have that are configured no more, and look again at those that were refused."""
        with self._lock:
            self._sources = tuple(sources)
            self._tried &= set(sources)
            self._owners = {store: source for store, source in self._owners.items() if source in sources}
            self._refused = {}

    def tried(self, source: str) -> None:
        """Note that a source has its store, or that its first attempt failed: those after it need not wait."""
        with self._lock:
            self._tried.add(source)

    def take(self, connection: psycopg.Connection, source: str, stopping: threading.Event) -> None:
        """Claim the store of a connection. Raises DoubledStoreError where another source counts in it.

        Waits for the sources before it to try, not for long: the store of one of them may not answer.
        """
        store = identity(connection)
        if store is None:
            return
        ends_at = time.monotonic() + WAIT_SECONDS
        while self._waits(source) and time.monotonic() < ends_at and not stopping.wait(0.02):
            pass
        with self._lock:
            # After a failover the store is another one to both: the one that was refused must not be faster now.
            owner = self._refused.get(source) or self._owners.get(store, source)
            if owner == source:
                self._owners = {one: name for one, name in self._owners.items() if name != source} | {store: source}
                return
            self._refused[source] = owner
        info = connection.info
        raise DoubledStoreError(
            f"its event store (database {info.dbname} at {info.host}:{info.port}) is that of source {owner}, by "
            "another spelling of its DSN: nothing is counted twice; take one of the two out of `sources`"
        )

    def _waits(self, source: str) -> bool:
        with self._lock:
            return bool(set(_before(self._sources, source)) - self._tried)


def _before(sources: Sequence[str], source: str) -> Iterable[str]:
    return sources[: sources.index(source)] if source in sources else ()


def identity(connection: psycopg.Connection) -> str | None:
    """Return what tells an event store from others, whatever name its server goes by; None on a standby.

    A copy that was promoted is another store, as is another database of the cluster.
    """
    row = connection.execute(f"SELECT CASE WHEN NOT pg_is_in_recovery() THEN {HISTORY} END").fetchone()
    return row[0] if row else None
