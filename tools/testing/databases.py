"""A fresh database for one test or one measurement."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tools.stack.servers import Postgres


@dataclass(frozen=True)
class Database:
    """A fresh database of one test."""

    server: Postgres
    name: str

    @property
    def dsn(self) -> str:
        """Return its address, for the superuser."""
        return self.server.dsn_of(self.name)

    def connect(self, **options: Any) -> psycopg.Connection[tuple[Any, ...]]:
        """Return a new connection in autocommit mode; the caller closes it, best in a `with`."""
        return self.server.connect(self.name, **options)

    def execute(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Run one statement in a connection of its own and return its rows, none for what returns none."""
        with self.connect() as connection:
            cursor = connection.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []

    def load_sql(self, path: Path) -> None:
        """Run a script of SQL, gzipped or not."""
        self.server.load_sql(path, self.name)


_numbers = iter(range(1, 1_000_000))


@contextmanager
def fresh_database(server: Postgres, template: str = "template1") -> Iterator[Database]:
    """Create a database, a copy of the template, and drop it afterwards, even with sessions in it."""
    name = f"test_{next(_numbers)}"
    with server.connect() as connection:
        # From PostgreSQL 15 on the default writes the whole copy to the WAL, which takes several times the work.
        strategy = " STRATEGY file_copy" if connection.info.server_version >= 150_000 else ""
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}{strategy}".encode())
    try:
        yield Database(server, name)
    finally:
        # A test may leave the server broken; its own test must not then be blamed for this too.
        with contextlib.suppress(psycopg.OperationalError):
            server.drop_database(name)
