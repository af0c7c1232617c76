"""The dashboards' SQL, run as Grafana does: macros and variables filled in, as the role of the data source.

The macros are those of pkg/tsdb/grafana-postgresql-datasource/macros.go, variables those of the format `sqlstring`.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from grafana.generate import FOLDER

Json = dict[str, Any]
Connection = psycopg.Connection[tuple[Any, ...]]

# The role that the login of a data source has, by how queries name the data source.
ROLES = {"${postgresql}": "platform_grafana", "${restricted}": "platform_grafana_restricted"}
RANGE_SECONDS = 6 * 3600
POSTGRESQL = "grafana-postgresql-datasource"
UNITS_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
DASHBOARDS: dict[str, Json] = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}

# The label values of the series that the demo has, by label.
VALUES: dict[str, tuple[str, ...]] = {
    "app": ("shop", "library"),
    "route": ("/", "/search", "/items/{id}"),
    "method": ("GET", "POST"),
    "code": ("200", "302", "404", "500"),
    "api": ("arxiv", "crossref", "openai"),
    "scraper": ("papers", "authors"),
    "site": ("example.org",),
    "proxy": ("acme", "kite"),
    "status": ("open", "resolved", "ignored"),
    "severity": ("low", "medium", "high", "critical"),
    "error_type": ("ValueError", "TimeoutError"),
    "activity": ("login", "logout", "search", "export"),
    "role": ("reader", "editor"),
    "window": ("5m", "1h", "1d", "7d"),
    "source": ("native", "stratlogic"),
    "metric": ("platform_http_requests_total",),
    "reason": ("timeout", "rate_limited", "forbidden", "other"),
    "alert_source": ("monitor",),
    "alertname": ("PlatformHttpErrorsHigh", "PlatformComponentDown"),
    "component": ("postgresql", "redis", "minio"),
    "name": ("main",),
    "bucket": ("artifacts",),
    "queue": ("celery",),
    "release": ("1.4.0", "1.5.0"),
    "gauge": ("platform_sample_index_size_bytes",),
    "counter": ("platform_sample_cache_hits_total",),
    "distribution": ("platform_sample_render_seconds",),
    "slo": ("http_availability", "http_latency", "scraping_success"),
    "version": ("0.1.0",),
    "python_version": ("3.11.2",),
}


@dataclass(frozen=True)
class Answer:
    """What a query returned: its columns and rows, and the seconds that it took."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    seconds: float


class Viewer:
    """Asks what dashboards ask at a range, by default their own of 6 hours, everything chosen."""

    def __init__(self, dsn: str, now: float, range_seconds: int = RANGE_SECONDS) -> None:
        self._dsn = dsn
        self._range = (now - range_seconds, now)

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
        if variable["type"] == "datasource":
            return [variable["current"]["value"]]
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


def panels(board: Json, *, without: tuple[str, ...] = ()) -> list[Json]:
    """Return the panels, those in collapsed rows too, but those of some types."""
    found = [one for panel in board["panels"] for one in (panel, *panel.get("panels", []))]
    return [panel for panel in found if panel["type"] not in without]


def expanded(text: str, start: float, end: float, variables: Mapping[str, Sequence[str]]) -> str:
    """Return SQL as the database gets it for a time range (Unix seconds).

    Raises AssertionError for macros and variables that are not known, and for variables outside ${NAME:sqlstring},
    which would let a viewer write SQL.
    """
    # A point every minute, and at most a thousand.
    interval_seconds = max(60, round((end - start) / 60_000) * 60)
    text = re.sub(r"\$(?:__interval_ms\b|\{__interval_ms\})", str(interval_seconds * 1000), text)
    text = re.sub(r"\$(?:__interval\b|\{__interval\})", f"{interval_seconds}s", text)
    for name, values in variables.items():
        text = text.replace(f"${{{name}:sqlstring}}", ",".join("'" + one.replace("'", "''") + "'" for one in values))
    text = re.sub(r"\$(__\w+)\(((?:[^()]|\([^()]*\))*)\)", lambda match: _macro(match, start, end), text)
    left = re.findall(r"\$(?:\{\w+(?::\w+)?\}|[a-zA-Z_]\w*)", text)
    assert not left, f"{left}: not a macro or variable that is known here; variables are written ${{NAME:sqlstring}}"
    return text


def _macro(match: re.Match[str], start: float, end: float) -> str:
    name = match.group(1)
    arguments = [one.strip() for one in re.split(r",(?![^(]*\))", match.group(2))]
    first, last = (f"'{datetime.fromtimestamp(at, UTC).isoformat()}'" for at in (start, end))
    column = arguments[0]
    if name in ("__timeFrom", "__timeTo"):
        return first if name == "__timeFrom" else last
    if name == "__timeFilter":
        return f"{column} BETWEEN {first} AND {last}"
    if name == "__time":
        return f'{column} AS "time"'
    if name == "__timeEpoch":
        return f'extract(epoch from {column}) as "time"'
    if name in ("__unixEpochFrom", "__unixEpochTo"):
        return str(int(start if name == "__unixEpochFrom" else end))
    assert name in ("__timeGroup", "__timeGroupAlias"), f"${name}: not a macro that is known here"
    seconds = _seconds(arguments[1])
    group = f"floor(extract(epoch from {column})/{seconds})*{seconds}"
    return f'{group} AS "time"' if name == "__timeGroupAlias" else group


def _seconds(interval: str) -> int:
    number, unit = re.fullmatch(r"'?(\d+)([smhdw])'?", interval).groups()  # type: ignore[union-attr]
    return int(number) * UNITS_SECONDS[unit]
