"""Read the event store's views, for the few functions that answer with what was recorded.

The role that writes events reads nothing but the jobs and the ledger of its own login. What is read comes by the option
`read_dsn`, as a role of its own in platform_grafana, or in platform_grafana_restricted where users' activities and
alerts are asked for; without the option by `dsn`. Each answer takes a connection of its own and one statement, and
blocks for a time at most.
"""

import json
import time
from dataclasses import replace
from typing import Any

from platform_sdk import client
from platform_sdk.delivery.store import connection_string, load_driver
from platform_sdk.errors import ServerError
from platform_sdk.options import Options

TIMEOUT_SECONDS = 2.0

_NO_RIGHT = "42501"

_TRANSACTION = (
    "BEGIN READ ONLY; SET LOCAL statement_timeout = {milliseconds}; SET LOCAL standard_conforming_strings = on; "
    "SET LOCAL timezone = 'UTC'; {query}; COMMIT"
)


def read_json(query: str, timeout_seconds: float = TIMEOUT_SECONDS, dsn: str | None = None) -> Any:
    """Return the JSON value that a query selects, None while the SDK is off.

    Raises PermissionError, which says what to do, where the role may not read; and whatever else prevents an answer.
    """
    options = client.active_options()
    if options is None:
        return None
    end = time.monotonic() + timeout_seconds
    load_driver()
    from platform_sdk.libpq import LibpqConnection

    milliseconds = max(int(timeout_seconds * 1000), 1)
    connection = LibpqConnection(connection_string(_reader(options, dsn)), lambda: end)
    try:
        rows = connection.run(_TRANSACTION.format(milliseconds=milliseconds, query=query), lambda: end)
    except ServerError as error:
        if error.sqlstate != _NO_RIGHT:
            raise
        raise PermissionError(
            f"{error}: set read_dsn to a role in platform_grafana, or in platform_grafana_restricted for users' "
            "activities and alerts"
        ) from error
    finally:
        connection.close()
    return json.loads(rows[0][0]) if rows and rows[0][0] else None


def _reader(options: Options, dsn: str | None) -> Options:
    chosen = dsn or options.read_dsn
    return options if chosen is None else replace(options, dsn=chosen, password=None)
