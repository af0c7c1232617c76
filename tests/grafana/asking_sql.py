"""Run the dashboards' SQL as Grafana does: macros and variables filled in, as the role of the data source."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.grafana.boards import DASHBOARDS, POSTGRESQL, Json, panels
from tests.grafana.demo_series import VALUES
from tests.grafana.sql_macros import expanded

Connection = psycopg.Connection[tuple[Any, ...]]

# The role that the login of a data source has, by the data source's uid.
ROLES = {
    "platform-postgresql": "platform_grafana",
    "platform-postgresql-restricted": "platform_grafana_restricted",
}
RANGE_SECONDS = 6 * 3600


@dataclass(frozen=True)
class Answer:
    """Hold what a query returned: its columns and rows, and the seconds that it took."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    seconds: float


class Viewer:
    """Look at dashboards at their default range of 6 hours, everything chosen."""

    def __init__(self, dsn: str, now: float) -> None:
        self._dsn = dsn
        self._range = (now - RANGE_SECONDS, now)

    def ask(self, uid: str, text: str, chosen: dict[str, Sequence[str]]) -> Answer:
        """Return the answer to one query of a data source. Raises psycopg.Error where the server refuses it."""
        query = expanded(text, *self._range, chosen)
        with self._login(ROLES[uid]) as connection:
            started = time.perf_counter()
            cursor = connection.execute(query.encode())
            rows = cursor.fetchall()
            seconds = time.perf_counter() - started
            return Answer([column.name for column in cursor.description or ()], rows, seconds)

    def chosen(self, name: str) -> dict[str, Sequence[str]]:
        """Return what is chosen for each variable of a dashboard: all there is, and of a single choice the first."""
        found: dict[str, Sequence[str]] = {}
        for variable in DASHBOARDS[name]["templating"]["list"]:
            found[variable["name"]] = self._values(variable, found)
        return found

    def _values(self, variable: Json, before: dict[str, Sequence[str]]) -> Sequence[str]:
        if variable["type"] == "textbox":
            return [variable["query"]]
        if variable["type"] == "custom":
            return [option["value"] for option in variable["options"]]
        if variable["datasource"]["type"] != POSTGRESQL:
            return VALUES[variable["name"]]
        answer = self.ask(variable["datasource"]["uid"], variable["query"], before)
        column = answer.columns.index("__value") if "__value" in answer.columns else 0
        values = [str(row[column]) for row in answer.rows]
        return values if variable["includeAll"] else values[:1]

    @contextmanager
    def _login(self, role: str) -> Iterator[Connection]:
        with psycopg.connect(self._dsn, autocommit=True) as connection:
            connection.execute(f"SET ROLE {role}")
            connection.execute("SET default_transaction_read_only = on")
            yield connection


def targets(name: str) -> Iterator[tuple[Json, Json]]:
    """Yield every panel of a dashboard that asks SQL, with each of its queries."""
    for panel in panels(DASHBOARDS[name]):
        for target in panel.get("targets", []):
            if target["datasource"]["type"] == POSTGRESQL:
                yield panel, target
