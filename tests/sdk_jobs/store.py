"""An event store as an application has it, and processes that write to it."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.aggregation.counting import Store as Counting
from tools.stack.servers import Postgres

ROOT = Path(__file__).parents[2]
APP = "shop"
ROLE = "jobs_writer"


@dataclass(frozen=True)
class Store:
    """A database with the schema; `folder` is for spools and logs."""

    postgres: Postgres
    name: str
    folder: Path

    @property
    def dsn(self) -> str:
        """Return its address for an application."""
        return f"postgresql://{ROLE}@{self.postgres.address}/{self.name}"

    @property
    def counting(self) -> Counting:
        """Return it as the exporter sees it."""
        return Counting(self.postgres.dsn_of(self.name))

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment that starts the SDK in a process."""
        return {
            **os.environ,
            "PLATFORM_SDK_DSN": self.dsn,
            "PLATFORM_SDK_APP": APP,
            "PLATFORM_SDK_SPOOL_FOLDER": str(self.folder / "spool"),
            "PLATFORM_SDK_EXIT_TIMEOUT_SECONDS": "60",  # a busy machine may be slow to store
        }

    def rows(self, columns: str, table: str = "scraping_run", where: str = "true") -> list[tuple[Any, ...]]:
        """Return columns of the rows of a table."""
        with self.postgres.connect(self.name) as connection:
            query = f"SELECT {columns} FROM monitoring.{table} WHERE {where} ORDER BY {columns}"
            return connection.execute(query.encode()).fetchall()

    def count(self, table: str = "scraping_run", where: str = "true") -> int:
        """Return how many rows there are."""
        return len(self.rows("1", table, where))

    def lost(self) -> int:
        """Return how many events processes accepted and did not store, by their ledgers."""
        return int(self.rows("coalesce(sum(produced), 0) - coalesce(sum(stored), 0)", "sdk_ledger")[0][0])

    def run(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        """Start a program of the virtual environment in which the tests run; its output goes to a file."""
        with (self.folder / f"{Path(command[0]).name}.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT, env={**self.environment, **environment}, stdout=log, stderr=log, text=True,
            )  # fmt: skip

    def log(self) -> str:
        """Return what the processes printed."""
        return "\n".join(path.read_text() for path in self.folder.glob("*.log"))
