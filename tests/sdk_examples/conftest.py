"""An event store as an application has it: the schema applied by the command line, a role that may only add events."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.sdk_examples.running import Programs
from tests.servers import Database, fresh_database
from tools.stack.servers import Postgres


@dataclass(frozen=True)
class Store:
    """A database with the schema, and the exporter's configuration for it."""

    database: Database
    role: str
    configuration: str

    @property
    def dsn(self) -> str:
        """Return its address for applications."""
        return f"postgresql://{self.role}@{self.database.server.address}/{self.database.name}"

    def rows(self, columns: str, table: str, where: str = "true") -> list[tuple[Any, ...]]:
        """Return columns of the rows of a table."""
        return self.database.execute(f"SELECT {columns} FROM monitoring.{table} WHERE {where} ORDER BY {columns}")

    def ledger(self) -> dict[str, tuple[int, int, int]]:
        """Return events produced, stored and spooled, by app."""
        found = self.database.execute(
            "SELECT app, sum(produced)::int, sum(stored)::int, sum(spooled)::int FROM monitoring.sdk_ledger GROUP BY 1"
        )
        return {app: tuple(figures) for app, *figures in found}  # type: ignore[misc]


@pytest.fixture(scope="module")
def store(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Return the event store that the tests of a module look at."""
    role = f"shop_{secrets.token_hex(4)}"
    with fresh_database(postgres) as database:
        folder = tmp_path_factory.mktemp("store")
        configuration = f"database: {{dsn: '{database.dsn}', poll_interval_seconds: 0.5}}\n"
        (folder / "platform-exporter.yml").write_text(configuration)
        Programs(folder, {}).run(
            "python", "-m", "exporter", "schema", "apply", "--config", "platform-exporter.yml", cwd=folder
        )
        database.execute(f"CREATE ROLE {role} LOGIN IN ROLE platform_writer")
        try:
            yield Store(database, role, configuration)
        finally:
            database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


@pytest.fixture(scope="module")
def programs(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """Return what starts programs with the SDK's environment."""
    folder = tmp_path_factory.mktemp("programs")
    return Programs(
        folder,
        {
            "PLATFORM_SDK_DSN": store.dsn,
            "PLATFORM_SDK_APP": "shop",
            "PLATFORM_SDK_SPOOL_FOLDER": str(folder / "spool"),
            "PLATFORM_SDK_EXIT_TIMEOUT_SECONDS": "60",  # a busy machine may be slow to store
        },
    )
