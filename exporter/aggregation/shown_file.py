"""What was shown, on disk: so that a restarted exporter, or one that was killed, shows no less.

One SQLite file. A write is there before its series are shown, and outlives the process; what a loss of power takes are
the last moments, in which Prometheus may have scraped.
"""

import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from exporter import files
from exporter.aggregation.series import Total
from exporter.aggregation.snapshot import StoreState
from exporter.errors import StateError

logger = logging.getLogger(__name__)

NAME = "shown.sqlite3"
LOCK_SECONDS = 10.0
"""How long an exporter that is just ending may still hold the file."""

_SCHEMA = """
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA secure_delete = ON;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS source (name TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS series (
    source TEXT NOT NULL, key TEXT NOT NULL, total BLOB NOT NULL, PRIMARY KEY (source, key)
) WITHOUT ROWID;
COMMIT;
"""

_encode = msgspec.msgpack.Encoder().encode
_decode_state = msgspec.msgpack.Decoder(StoreState).decode
_decode_total = msgspec.msgpack.Decoder(Total).decode


class ShownFile:
    """The file in a folder, of one exporter. Any thread may call any method."""

    def __init__(self, folder: Path) -> None:
        """Open or create it; one that is damaged is set aside. Raises StateError."""
        self._path = folder / NAME
        self._lock = threading.Lock()
        with self._explain():
            files.make_folder(folder)
            try:
                self._connection = self._open()
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                aside = self._path.with_suffix(".damaged")
                logger.error("%s is damaged (%s): it is set aside as %s", self._path, error, aside)
                self._path.replace(aside)
                self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, LOCK_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.executescript(_SCHEMA)
            connection.execute("SELECT count(*) FROM source, series").fetchone()
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def load(self, source: str) -> tuple[StoreState | None, list[Total]]:
        """Return the state of the store that a source was last shown from, None if it never was, and the series."""
        with self._lock, self._explain():
            found = self._connection.execute("SELECT state FROM source WHERE name = ?", [source]).fetchone()
            rows = self._connection.execute("SELECT total FROM series WHERE source = ?", [source])
            return _decode_state(found[0]) if found else None, [_decode_total(row[0]) for row in rows]

    def save(
        self, source: str, state: StoreState, changed: Iterable[tuple[str, Total]], gone: Iterable[str] | None
    ) -> None:
        """Write the series that changed, by key, and remove those that are gone, None for all others. Blocks.

        Raises StateError.
        """
        with self._lock, self._explain(), self._connection:
            execute, executemany = self._connection.execute, self._connection.executemany
            execute("BEGIN IMMEDIATE")
            execute("INSERT OR REPLACE INTO source VALUES (?, ?)", [source, _encode(state)])
            if gone is None:
                execute("DELETE FROM series WHERE source = ?", [source])
            executemany("INSERT OR REPLACE INTO series VALUES (?, ?, ?)",
                        ((source, key, _encode(total)) for key, total in changed))  # fmt: skip
            ended = executemany(
                "DELETE FROM series WHERE (source, key) = (?, ?)", ((source, key) for key in gone or ())
            )
        if gone is None or ended.rowcount > 0:
            self._truncate()

    def forget(self, source: str) -> None:
        """Remove all that is known of a source. Raises StateError."""
        with self._lock, self._explain(), self._connection:
            for table, column in (("series", "source"), ("source", "name")):
                self._connection.execute(f"DELETE FROM {table} WHERE {column} = ?", [source])
        self._truncate()

    def _truncate(self) -> None:
        """Empty the write-ahead log, where what was removed, as a consumer who is erased, would stay until a stop."""
        with self._lock, self._explain():
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close it, so that another exporter may open it."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _explain(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            advice = "; another exporter uses it: give each its own `state_folder`" if "locked" in str(error) else ""
            raise StateError(f"cannot use {self._path} in `state_folder` ({error}){advice}") from error
