"""Events made rows of COPY's text format, redacted and fingerprinted. For the writer thread.

Text rather than binary. Measured (requests of 14 columns, the rows of tools/benchmarks/sdk_core.py): a row costs 4.4 us
to make as text and 2.8 us as binary without any check of its values, the server 4.7 and 3.5 to 4.6 us to take it. Text
is fast enough by far, can be cut row by row without parsing, and can be read by a person in the spool.
"""

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from platform_sdk.capture.exceptions import Captured
from platform_sdk.capture.fingerprint import fingerprint
from platform_sdk.capture.stacktrace import Stacks
from platform_sdk.delivery import kinds
from platform_sdk.delivery.copy_text import (
    NULL,
    Addresses,
    Converter,
    Moments,
    boolean,
    document,
    escaped,
    integer_of,
    number_of,
    text_of,
)
from platform_sdk.delivery.intake import Event
from platform_sdk.delivery.redaction import Redactor
from platform_sdk.events import EVENTS
from platform_sdk.events.base import Column
from platform_sdk.options import Options

_LONGEST = 200  # characters of the other texts: app, release, job ids
_ENDPOINT, _QUERY = kinds.positions(kinds.API_CALL, "endpoint", "query")
_SEVERITY, _TYPE, _MESSAGE, _TRACE, _FINGERPRINT = kinds.positions(
    kinds.ERROR, "severity", "error_type", "message", "stack_trace", "fingerprint"
)

_ID = re.compile(
    r"(?<=/)(?:\d+|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{16,}|[^/]*%[0-9A-F]{2}[^/]*)"
    r"(?=/|$)",
    re.IGNORECASE,
)


class Encoder:
    """The maker of rows; not thread-safe."""

    def __init__(self, options: Options) -> None:
        self._redactor = Redactor(options.redact_keys)
        self._stacks = Stacks(options.in_app)
        self._moment = Moments()
        self._address = Addresses()
        text = text_of(_LONGEST)
        self._constant = f"\t{text(options.app)}\t{text(options.release)}\t"
        self._converters = tuple(tuple(self._converter(column) for column in kind.columns) for kind in EVENTS)
        self._complete: dict[int, Callable[[list[Any]], None]] = {
            kinds.API_CALL: _split_endpoint,
            kinds.ERROR: self._describe_error,
        }
        self._app = options.app

    def row(self, event: Event, weight: int = 1) -> str:
        """Return an event's row, without line end. Raises UnwritableError, and anything on arguments of odd make."""
        kind, values = event[kinds.KIND], list(event)
        if EVENTS[kind].sampled:
            values.append(float(weight))
        elif complete := self._complete.get(kind):
            complete(values)
        fields = [convert(value) for convert, value in zip(self._converters[kind], values[kinds.FIRST :], strict=True)]
        return self._moment(event[kinds.AT]) + self._constant + "\t".join(fields)

    def job_row(self, job_id: str, state: Event) -> str:
        """Return a live job's state as an escaped JSON object with the columns of monitoring.scraping_job."""
        at, scraper, site, status, progress, total, completed, started, finished = state
        text = text_of(_LONGEST, "")
        number, moment, whole = number_of(required=False), self._moment, integer_of(64, required=False)
        fields = {
            "app": text(self._app), "job_id": text(job_id), "scraper": text(scraper) or "unknown",
            "site": text(site) or None, "status": status if status in _STATUSES else "running",
            "progress": number(progress), "total_items": whole(total), "completed_items": whole(completed),
            "started_at": moment(started), "heartbeat_at": moment(at), "finished_at": moment(finished),
        }  # fmt: skip
        # As letters: PostgreSQL refuses an escape for a letter that the database's encoding lacks.
        return json.dumps(
            {name: value for name, value in fields.items() if value not in (None, NULL)}, ensure_ascii=False
        )

    def _describe_error(self, values: list[Any]) -> None:
        """Replace what was captured of an error by its type, message, stack trace and fingerprint."""
        captured = values[_TYPE]
        if not isinstance(captured, Captured):
            raise TypeError("an error without what was captured of it")
        if isinstance(values[_SEVERITY], str):
            values[_SEVERITY] = values[_SEVERITY].lower()
        first = captured.chain[0]
        values[_TYPE], values[_MESSAGE] = captured.error_type, first.message
        values[_TRACE] = captured.trace or self._stacks.trace(captured)
        values[_FINGERPRINT] = fingerprint(captured, self._stacks, values[_FINGERPRINT])

    def _converter(self, column: Column) -> Converter:
        match column.type:
            case "integer" | "bigint":
                return integer_of(32 if column.type == "integer" else 64, required=column.required)
            case "double precision":
                return number_of(required=column.required)
            case "text":
                convert = text_of(column.longest, escaped(column.stand_in) if column.required else NULL)
                return _remembering(self._redacting(convert, 4 * column.longest)) if column.free_text else convert
            case "jsonb":
                return lambda value: document(self._redactor.value(value))
        others: dict[str, Converter] = {"boolean": boolean, "inet": self._address, "timestamptz": self._moment}
        return others[column.type]

    def _redacting(self, convert: Converter, most: int) -> Converter:
        # Of a text that is cut to a quarter of `most` anyway, no more than that is searched for secrets.
        return lambda value: convert(self._redactor.text(value[:most]) if type(value) is str else value)


_STATUSES = ("pending", "running", "completed", "failed", "cancelled")


def _remembering(convert: Converter) -> Converter:
    """Return a converter that remembers some thousand texts: routes and user agents come again and again."""
    known: dict[Any, str] = {}

    def remembered(value: Any) -> str:
        if type(value) is not str:
            return convert(value)
        field = known.get(value)
        if field is None:
            field = convert(value)
            if len(known) >= 2048:
                known.clear()
            if len(value) < 1000:
                known[value] = field
        return field

    return remembered


def _split_endpoint(values: list[Any]) -> None:
    """Take the query and ids, which may be personal, out of an API call's endpoint."""
    endpoint = values[_ENDPOINT]
    if isinstance(endpoint, str) and ("/" in endpoint or "?" in endpoint):
        path, _, asked = endpoint.partition("?")
        if values[_QUERY] is None and asked:
            values[_QUERY] = dict(parse_qsl(urlsplit(endpoint).query[:2000])[:64])
        values[_ENDPOINT] = _ID.sub("{id}", path.partition("#")[0])
