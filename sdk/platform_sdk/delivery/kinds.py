"""The layout of events: the tuples (number of the kind, Unix seconds, *values) that travel to the writer.

The values are those of the kind's columns, in their order, without a last one `weight`, which the writer adds.
Positions come from the declarations, once, at import: a named tuple would cost the request thread more to make.
"""

from platform_sdk.events import EVENTS, KINDS

NAMES = tuple(KINDS)
NUMBERS = {name: number for number, name in enumerate(NAMES)}

HTTP_REQUEST = NUMBERS["http_request"]
API_CALL = NUMBERS["api_call"]
SCRAPING_RUN = NUMBERS["scraping_run"]
USER_ACTIVITY = NUMBERS["user_activity"]
ERROR = NUMBERS["error"]
SAMPLE = NUMBERS["sample"]
JOB = len(NAMES)
"""The number of rows of the state table scraping_job, which are not events."""

COLUMNS = tuple(tuple(column.name for column in kind.all_columns) for kind in EVENTS)
"""The columns of a row, by kind."""

VALUES = tuple(
    tuple(column.name for column in kind.columns if not (kind.sampled and column.name == kind.sampled.weight))
    for kind in EVENTS
)
"""The columns whose values an event holds, by kind."""

REQUIRED = tuple(frozenset(column.name for column in kind.columns if column.required) for kind in EVENTS)
"""The columns that may not be NULL, by kind."""

URGENT = frozenset(kind.name for kind in EVENTS if kind.lane == "urgent") | {"scraping_job"}
"""The tables whose rows are dropped last where there is no room for everything."""

WEIGHTS = frozenset(kind.sampled.weight for kind in EVENTS if kind.sampled)
"""The columns that say how many events a row stands for."""


KIND, AT, FIRST = 0, 1, 2
"""The positions of an event's kind, its time, and its first column's value."""


def positions(number: int, *columns: str) -> tuple[int, ...]:
    """Return the positions of some columns' values in the events of a kind."""
    names = [column.name for column in EVENTS[number].columns]
    return tuple(FIRST + names.index(column) for column in columns)


def name_of(event: tuple[object, ...]) -> str:
    """Return the name of an event's kind."""
    kind = event[KIND]
    return NAMES[kind] if isinstance(kind, int) and kind < len(NAMES) else "event"
