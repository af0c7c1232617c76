"""Expand Grafana's macros and variables in SQL as its PostgreSQL data source does.

The macros are those of pkg/tsdb/grafana-postgresql-datasource/macros.go, variables those of the format `sqlstring`.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

INTERVAL_SECONDS = 60
UNITS_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def expanded(text: str, start: float, end: float, variables: Mapping[str, Sequence[str]]) -> str:
    """Return SQL as the database gets it for a time range (Unix seconds).

    Raises AssertionError for macros and variables that are not known, and for variables outside ${NAME:sqlstring},
    which would let a viewer write SQL.
    """
    text = re.sub(r"\$(?:__interval_ms\b|\{__interval_ms\})", str(INTERVAL_SECONDS * 1000), text)
    text = re.sub(r"\$(?:__interval\b|\{__interval\})", f"{INTERVAL_SECONDS}s", text)
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
    assert name in ("__timeGroup", "__timeGroupAlias"), f"${name}: no macro of Grafana's that is known here"
    seconds = _seconds(arguments[1])
    group = f"floor(extract(epoch from {column})/{seconds})*{seconds}"
    return f'{group} AS "time"' if name == "__timeGroupAlias" else group


def _seconds(interval: str) -> int:
    number, unit = re.fullmatch(r"'?(\d+)([smhdw])'?", interval).groups()  # type: ignore[union-attr]
    return int(number) * UNITS_SECONDS[unit]
