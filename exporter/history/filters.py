"""Conditions such as `status>=500`, as people type them, parsed into SQL."""

import re

from exporter.errors import ConfigError
from exporter.history.tables import Table

_CONDITION = re.compile(
    r"\s*(?P<column>[a-z_]+)(?:\.(?P<key>[\w.-]+))?\s*(?P<operator>!=|<=|>=|!~|=|<|>|~)(?P<value>.*)", re.DOTALL
)
_NULL = re.compile(r"\s*(?P<column>[a-z_]+)\s+is\s+(?P<negated>not\s+)?null\s*", re.IGNORECASE)
_CAST = (
    "integer", "bigint", "smallint", "double precision", "numeric", "real", "boolean", "timestamp with time zone",
    "timestamptz", "inet",
)  # fmt: skip
"""The types whose values are compared as such, all others as text."""


def condition(text: str, table: Table) -> tuple[str, list[str]]:
    """Return SQL over the table's column names, and its parameters, of a condition: COLUMN OPERATOR VALUE.

    Operators are = != < <= > >= and ~ !~ (regular expression), or `COLUMN is null`, `COLUMN is not null`. A column of
    JSON may be followed by a key: `labels.endpoint=/x`. A value that is declared is compared with what each row
    means: `severity=critical` finds FATAL, too. Raises ConfigError.
    """
    if match := _NULL.fullmatch(text):
        name = _column(match["column"], table, text)
        return f'"{name}" IS {"NOT " if match["negated"] else ""}NULL', []
    match = _CONDITION.fullmatch(text)
    if not match:
        raise ConfigError(
            f"invalid condition {text!r} for --where: expected COLUMN OPERATOR VALUE such as 'status>=500', "
            "'route~^/api/', 'labels.endpoint=/x' or 'user_id is null'"
        )
    name, operator, value = _column(match["column"], table, text), match["operator"], match["value"].strip()
    column = f'"{name}"'
    declared = table.columns[name]
    type_ = declared.type
    if match["key"]:
        if type_ != "jsonb":
            raise ConfigError(f"--where {text!r}: {name} is {type_}: expected JSON before `.{match['key']}`")
        return f"{column}->>%s {operator} %s", [match["key"], value]
    if operator in ("=", "!=") and value in declared.values:
        # The rows that counters have there, however they spell it.
        return f"coalesce({declared.understood}, {column}::text) {operator} %s", [value]
    if operator.endswith("~") or type_ not in _CAST:
        return f"{column}::text {operator} %s", [value]
    return f"{column} {operator} %s::{type_}", [value]


def _column(name: str, table: Table, text: str) -> str:
    if name not in table.columns:
        raise ConfigError(
            f"--where {text!r}: {table.name} has no column {name}: expected one of {', '.join(table.columns)}"
        )
    return name
