"""Writers of events as applications under stress: many at once, with rollbacks, savepoints and slow transactions."""

import random
import threading
from types import TracebackType
from typing import Any, Self

import psycopg

LABELS = 25
"""How many scrapers each writer has: a loss and a double count can only cancel out within one of them."""

INSERT = """INSERT INTO monitoring.scraping_run (at, app, scraper, outcome, duration_seconds, items_processed)
SELECT now(), 'load', %s, CASE WHEN i %% 5 = 0 THEN 'failure' ELSE 'success' END, random() * 100, i
FROM generate_series(1, %s) i"""


class WriterThreads:
    """Threads that write transactions until the `with` ends; `errors` holds what any of them died of."""

    def __init__(self, dsn: str, writers: int, seed: int = 0) -> None:
        self._dsn = dsn
        self._seed = seed
        self._stopping = threading.Event()
        self.errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._write, args=(index,), daemon=True) for index in range(writers)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(60)
        if self.errors and error is None:
            raise self.errors[0]

    def _write(self, index: int) -> None:
        chance = random.Random(self._seed * 1000 + index)
        try:
            # In UTF-8 whatever the database has.
            with psycopg.connect(self._dsn, autocommit=True, client_encoding="utf8") as connection:
                while not self._stopping.is_set():
                    self._transaction(connection, index, chance)
        except BaseException as error:  # noqa: BLE001 - reported to the main thread
            self.errors.append(error)

    def _transaction(self, connection: psycopg.Connection[Any], index: int, chance: random.Random) -> None:
        """Run one transaction of this writer."""
        raise NotImplementedError


class Writers(WriterThreads):
    """Writers of events."""

    def __init__(self, dsn: str, writers: int = 8, *, insert: str = INSERT, slow_seconds: float = 0.3) -> None:
        super().__init__(dsn, writers)
        self._insert = insert
        self._slow_seconds = slow_seconds
        self.transactions = 0

    def _transaction(self, connection: psycopg.Connection[Any], index: int, chance: random.Random) -> None:
        self._one(connection, f"w{index}_{chance.randrange(LABELS)}", chance)
        self.transactions += 1

    def _one(self, connection: psycopg.Connection[Any], scraper: str, chance: random.Random) -> None:
        """Run one transaction of 1 to 5 rows: a tenth slow, a fifth rolled back, a third with savepoints."""
        dice = chance.random()
        rows = chance.randint(1, 5)
        with connection.transaction(force_rollback=dice < 0.2):
            connection.execute(self._insert, [scraper, rows])
            if 0.2 <= dice < 0.5:
                with connection.transaction():
                    connection.execute(self._insert, [scraper, 1])
                with connection.transaction(force_rollback=True):
                    connection.execute(self._insert, [scraper, 2])
            if dice > 0.9:
                self._stopping.wait(chance.random() * self._slow_seconds)
                connection.execute(self._insert, [scraper, 1])


def lost_and_doubled(connection: psycopg.Connection[Any], source: str = "native") -> tuple[int, int]:
    """Return how many runs of the table are in no counter, and how many are counted more than once."""
    row = connection.execute(
        """WITH truth AS (SELECT scraper, count(*) AS n FROM monitoring.scraping_run GROUP BY 1),
        counted AS (SELECT labels->>'scraper' AS scraper, value AS n FROM monitoring.rollup
            WHERE source = %s AND metric = 'platform_scraping_runs_total')
        SELECT coalesce(sum(greatest(coalesce(t.n, 0) - coalesce(c.n, 0), 0)), 0)::bigint,
            coalesce(sum(greatest(coalesce(c.n, 0) - coalesce(t.n, 0), 0)), 0)::bigint
        FROM truth t FULL JOIN counted c USING (scraper)""",
        [source],
    ).fetchone()
    assert row
    return row[0], row[1]
