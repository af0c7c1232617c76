"""What tests of the SDK emit, and how they look at what was stored."""

from dataclasses import dataclass
from typing import Any

import platform_sdk
from platform_sdk import emit
from platform_sdk.delivery.stats import Stats
from tests.servers import Database


@dataclass(frozen=True)
class Store:
    """An event store."""

    database: Database

    @property
    def dsn(self) -> str:
        return self.database.dsn

    def count(self, kind: str = "http_request") -> int:
        """Return how many rows there are of a kind."""
        return int(self.database.execute(f"SELECT count(*) FROM monitoring.{kind}")[0][0])

    def rows(self, columns: str, kind: str = "http_request") -> list[tuple[Any, ...]]:
        """Return columns of all rows of a kind, by time."""
        return self.database.execute(f"SELECT {columns} FROM monitoring.{kind} ORDER BY at")

    def ledger(self, process: str | None = None) -> dict[str, Any]:
        """Return the ledger of a process, or of the only one."""
        found = self.database.execute(
            "SELECT produced, stored, spooled, dropped FROM monitoring.sdk_ledger WHERE %(p)s IN ('', process)",
            {"p": process or ""},
        )
        assert len(found) == 1, found
        return dict(zip(("produced", "stored", "spooled", "dropped"), found[0], strict=True))


def serve(count: int = 1, route: str = "/articles/{id}", status: int = 200) -> None:
    """Emit requests."""
    for _ in range(count):
        emit.request_finished(route, "GET", status, 0.05, 1200, 5, "reader", "s1", "203.0.113.9", "Mozilla/5.0")


def difference(stats: Stats | dict[str, Any] | None = None) -> int:
    """Return by how much a ledger does not balance."""
    figures = Stats(**stats) if isinstance(stats, dict) else stats or platform_sdk.stats()
    return figures.produced - figures.stored - figures.spooled - figures.buffered - figures.lost
