"""Gauges from SQL of the configuration: one thread a database runs its queries, each at its own interval."""

import logging
import math
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

import psycopg

from exporter.config.settings import Config, Database, Query, WatchQuery
from exporter.database.connection import backoff_seconds, cancel, connect, reason_of
from exporter.database.values import read_any_texts
from exporter.errors import UnreachableError

logger = logging.getLogger(__name__)

FRESH_RUNS = 3
"""A query that gave values within this many of its intervals is up."""

LABEL_CHARACTERS = 200
"""How much of a label's value is kept."""

LabelValues = tuple[str, ...]
"""The values of a query's labels, in their order."""


@dataclass(frozen=True, slots=True)
class QueryView:
    """What is known of one query: the values that it gave last, by column and labels, and what is wrong with it.

    `read_at` is on this process's monotonic clock, None before the first success; `problem` is empty where all is well.
    `duration_seconds` is that of the last run, whatever became of it.
    """

    query: Query
    values: Mapping[str, Mapping[LabelValues, float]] = field(default_factory=dict)
    read_at: float | None = None
    duration_seconds: float = 0.0
    problem: str = "not run yet"

    def age_seconds(self, now: float) -> float | None:
        """Return how old the values are; None before the first."""
        return None if self.read_at is None else max(0.0, now - self.read_at)

    def is_up(self, now: float) -> bool:
        """Return whether the last run was good and recent: one that hangs is not up."""
        age = self.age_seconds(now)
        longest = FRESH_RUNS * self.query.interval_seconds + self.query.timeout_seconds
        return age is not None and age < longest and not self.problem


class QueryWorker:
    """The thread of one database. Scrapes read `views` while it goes on."""

    def __init__(self, database: Database, queries: tuple[Query, ...], rows_most: int) -> None:
        self.work = (database, queries, rows_most)
        self.views = {query.name: QueryView(query) for query in queries}
        self._stopping = threading.Event()
        self._connection: psycopg.Connection | None = None
        self._broke: set[str] = set()  # the queries during whose last run the connection broke
        self._thread = threading.Thread(target=self._run, name=f"queries of {database.place}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """End the thread after its current statement, which is cancelled."""
        self._stopping.set()
        cancel(self._connection)
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        _, queries, _ = self.work
        due = dict.fromkeys((query.name for query in queries), time.monotonic())
        failures = 0
        while not self._stopping.is_set():
            query = min(queries, key=lambda query: due[query.name])
            self._stopping.wait(max(0.0, due[query.name] - time.monotonic()))
            if self._stopping.is_set():
                break
            due[query.name] = time.monotonic() + query.interval_seconds
            unreachable = self._attempt(query)
            failures = failures + 1 if unreachable else 0
            again = time.monotonic() + backoff_seconds(failures, min(query.interval_seconds for query in queries))
            due |= dict.fromkeys(unreachable, again)
        self._disconnect()

    def run_once(self) -> Iterable[QueryView]:
        """Run every query once, in this thread, and return what is known of each then."""
        for query in self.work[1]:
            if self._attempt(query):
                break
        self._disconnect()
        return self.views.values()

    def _attempt(self, query: Query) -> list[str]:
        """Run a query whatever happens; return the names of those that failed because there is no connection."""
        began = time.monotonic()
        try:
            self.run(query)
        except UnreachableError as error:  # concerns all queries of this database, and none need try at once
            return self._fail_all(str(error))
        except Exception as error:
            logger.exception("query %s: unforeseen", query.name)
            self._fail(query, f"{type(error).__name__}: {error}", began)
            self._disconnect()
        return []

    def run(self, query: Query) -> None:
        """Run a query and publish what it gave. Raises UnreachableError where there is no connection to run it."""
        connection = self._connected()
        self._broke.discard(query.name)
        began = time.monotonic()
        try:
            columns, rows = self._rows(connection, query)
        except psycopg.errors.QueryCanceled:
            problem = f"no result in {query.timeout_seconds:g} s: expected one within `timeout_seconds`"
            if isinstance(query, WatchQuery):
                problem += ", with an index that begins with the watch's `time`"
            self._fail(query, problem, began)
            return
        except psycopg.Error as error:
            reason = reason_of(error)
            if connection.closed:
                self._broke.add(query.name)
                reason = f"the connection broke while this query ran: {reason}"
            self._fail(query, reason, began)
            return
        values, problems = read(query, columns, rows, self.work[2])
        ended = time.monotonic()
        if values is None:
            self._fail(query, "; ".join(problems), began)
            return
        self._publish(QueryView(query, values, ended, ended - began, "; ".join(problems)))

    def _connected(self) -> psycopg.Connection:
        """Return a connection that works: where it broke since the last query, the next one is not to blame."""
        if self._connection is not None:
            try:
                self._connection.execute("SELECT")
                return self._connection
            except psycopg.Error:
                self._disconnect()
        self._connection = connect(self.work[0], "queries")
        try:  # tables are found as the role finds them, and rows that a policy hides from it are not its
            self._connection.execute("RESET search_path; RESET row_security")
        except psycopg.Error as error:
            self._disconnect()
            raise UnreachableError(f"no connection to {self.work[0].place}: {reason_of(error)}") from error
        return self._connection

    def _rows(self, connection: psycopg.Connection, query: Query) -> tuple[list[str], list[tuple[object, ...]]]:
        """Return the names of a query's columns and its rows, one more than may be at most."""
        # The server refuses a whole result in which one text is not UTF-8, where it cannot convert it.
        raw = connection.info.parameter_status("server_encoding") == "SQL_ASCII"
        with connection.transaction(), connection.cursor(name="query") as cursor:
            connection.execute("SET TRANSACTION READ ONLY")
            connection.execute(f"SET LOCAL statement_timeout = {round(query.timeout_seconds * 1000)}".encode())
            if isinstance(query, WatchQuery):
                connection.execute("SELECT set_config('timezone', %s, true)", [query.time_zone])
            if raw:
                read_any_texts(cursor.adapters)
            cursor.execute(query.sql.encode())  # DECLARE takes one statement, and only one that reads
            columns = [column.name for column in cursor.description or ()]
            if raw:
                connection.execute("SET LOCAL client_encoding = SQL_ASCII")
            return columns, cursor.fetchmany(self.work[2] + 1)

    def _fail(self, query: Query, problem: str, began: float | None = None) -> None:
        """Publish what is wrong with a query, and how long it ran: not at all where `began` is None."""
        view = replace(self.views[query.name], problem=problem)
        self._publish(view if began is None else replace(view, duration_seconds=time.monotonic() - began))

    def _fail_all(self, problem: str) -> list[str]:
        """Say of every query that this is wrong, and return their names.

        Except of those that broke the connection themselves: what is known of them would be lost, and they wait for
        their own time.
        """
        concerned = [query for query in self.work[1] if query.name not in self._broke]
        for query in concerned:
            self._fail(query, problem)
        return [query.name for query in concerned]

    def _publish(self, view: QueryView) -> None:
        before = self.views[view.query.name].problem
        if view.problem != before:
            level = logging.WARNING if view.problem else logging.INFO
            logger.log(level, "query %s: %s", view.query.name, view.problem or "gives its values")
        self.views = {**self.views, view.query.name: view}

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def workers(config: Config, running: Iterable[QueryWorker] = ()) -> list[QueryWorker]:
    """Return a worker for each database that is queried, from `running` where nothing changed. Starts nothing."""
    by_database: dict[Database, list[Query]] = {}
    for query in config.all_queries:
        by_database.setdefault(query.database or config.database, []).append(query)
    running = list(running)
    known = [view for worker in running for view in worker.views.values()]
    found = []
    for database, queries in by_database.items():
        new = QueryWorker(database, tuple(queries), config.limits.series_per_metric)
        new.views |= {view.query.name: view for view in known if view.query in queries}
        found.append(next((worker for worker in running if worker.work == new.work), new))
    return found


def read(
    query: Query, columns: Sequence[str], rows: Sequence[Sequence[object]], rows_most: int
) -> tuple[dict[str, dict[LabelValues, float]] | None, list[str]]:
    """Return a query's values by column and labels, and its problems; None where it gave none that can be shown.

    A row that cannot be shown is left out, and is a problem.
    """
    missing = [name for name in (*query.columns, *query.labels) if name not in columns]
    if missing:
        return None, [f"no column {', '.join(missing)}: expected it among those of the result ({', '.join(columns)})"]
    if len(rows) > rows_most:
        return None, [f"more than {rows_most} rows (limits.series_per_metric): expected fewer, by GROUP BY or LIMIT"]
    values: dict[str, dict[LabelValues, float]] = {column: {} for column in query.columns}
    problems: dict[str, int] = {}
    for row in (dict(zip(columns, row, strict=True)) for row in rows):
        unreadable = [name for name in query.labels if _label(row[name]) is None]
        labels = tuple(_label(row[name]) or "" for name in query.labels)
        for column, series in values.items():
            number = _number(row[column])
            if unreadable:
                problem = f"{', '.join(unreadable)} is of bytes that are not UTF-8: expected text"
            elif number is None:
                problem = f"{column} is {_kind(row[column])}: expected a number"
            elif labels in series:
                cut = f", cut at {LABEL_CHARACTERS} characters" if LABEL_CHARACTERS in map(len, labels) else ""
                problem = f"several rows have the same labels ({', '.join(query.labels) or 'none'}{cut}): expected one"
            else:
                series[labels] = number
                continue
            problems[problem] = problems.get(problem, 0) + 1
    return values, [f"{problem} (rows left out: {count})" for problem, count in problems.items()]


def _label(value: object) -> str | None:
    """Return a label's value; None where it is bytes that are not text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            return None
    return "" if value is None else str(value)[:LABEL_CHARACTERS]


def _number(value: object) -> float | None:
    if not isinstance(value, int | float | Decimal):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return None if math.isinf(number) and number != value else number


def _kind(value: object) -> str:
    if isinstance(value, int | Decimal):
        return "beyond what a float holds"
    return "NULL" if value is None else f"of a type that is read as {type(value).__name__}"
