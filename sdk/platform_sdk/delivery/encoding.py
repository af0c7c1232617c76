"""Turn events into rows of COPY's text format, redacted and fingerprinted. For the writer thread.

Text rather than binary. Measured (requests of 14 columns, the rows of tools/benchmarks/sdk_core.py): a row costs 4.4 us
to make as text and 2.8 us as binary without any check of its values, the server 4.7 and 3.5 to 4.6 us to take it. Text
is fast enough by far, can be cut row by row without parsing, and read by a person in the spool.
"""

import json
import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from platform_sdk.capture.exceptions import Captured
from platform_sdk.capture.fingerprint import fingerprint
from platform_sdk.capture.stacktrace import Stacks
from platform_sdk.delivery import kinds
from platform_sdk.delivery.copy_text import (
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

COLUMNS = tuple(tuple(column.name for column in kind.all_columns) for kind in EVENTS)
"""The columns of a row, by kind."""

_LONGEST = {"message": 4_000, "stack_trace": 40_000, "user_agent": 400, "endpoint": 500, "route": 300}
_LONGEST_OTHER = 200
_NAMELESS = {"route": "(unmatched)", "method": "GET", "severity": "medium"}
_FREE_TEXT = {"endpoint", "user_agent", "route"}

_ID = re.compile(
    r"(?<=/)(?:\d+|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{16,}|[^/]*%[0-9A-F]{2}[^/]*)"
    r"(?=/|$)",
    re.IGNORECASE,
)


class Encoder:
    """Make rows of events; not thread-safe."""

    def __init__(self, options: Options) -> None:
        self._redactor = Redactor(options.redact_keys)
        self._stacks = Stacks(options.in_app)
        self._moment = Moments()
        self._address = Addresses()
        text = text_of(_LONGEST_OTHER)
        self._constant = f"\t{text(options.app)}\t{text(options.release)}\t"
        self._converters = tuple(tuple(self._converter(column) for column in kind.columns) for kind in EVENTS)
        self._app = options.app

    def row(self, event: Event, weight: int = 1) -> str:
        """Return an event's row, without line end. Raises UnwritableError, and anything on arguments of odd make."""
        kind = event[0]
        values: Any = event[2:]
        if kind == kinds.HTTP_REQUEST:
            values = (*values, float(weight))
        elif kind == kinds.ERROR:
            values = self._error(event)
        elif kind == kinds.API_CALL:
            values = _api_call(event)
        fields = [convert(value) for convert, value in zip(self._converters[kind], values, strict=True)]
        return self._moment(event[1]) + self._constant + "\t".join(fields)

    def job_row(self, job_id: str, state: Event) -> str:
        """Return a live job's state as an escaped JSON object with the columns of monitoring.scraping_job."""
        at, scraper, site, status, progress, total, completed, started, finished = state
        text = text_of(_LONGEST_OTHER, "")
        number, moment, whole = number_of(required=False), self._moment, integer_of(64, required=False)
        fields = {
            "app": text(self._app), "job_id": text(job_id), "scraper": text(scraper) or "unknown",
            "site": text(site) or None, "status": status if status in _STATUSES else "running",
            "progress": number(progress), "total_items": whole(total), "completed_items": whole(completed),
            "started_at": moment(started), "heartbeat_at": moment(at), "finished_at": moment(finished),
        }  # fmt: skip
        return json.dumps({name: value for name, value in fields.items() if value not in (None, "\\N")})

    def _error(self, event: Event) -> tuple[Any, ...]:
        severity, captured, explicit, *rest = event[2:]
        if not isinstance(captured, Captured):
            raise TypeError("an error without what was captured of it")
        trace = captured.trace or self._stacks.trace(captured)
        first = captured.chain[0]
        return (
            severity.lower() if isinstance(severity, str) else severity, captured.error_type,
            self._redactor.text(first.message), None if trace is None else self._redactor.text(trace),
            fingerprint(captured, self._stacks, explicit), *rest,
        )  # fmt: skip

    def _converter(self, column: Column) -> Converter:
        match column.type:
            case "integer" | "bigint":
                return integer_of(32 if column.type == "integer" else 64, required=column.required)
            case "double precision":
                return number_of(required=column.required)
            case "text":
                convert = text_of(
                    _LONGEST.get(column.name, _LONGEST_OTHER),
                    escaped(_NAMELESS.get(column.name, "unknown")) if column.required else "\\N",
                )
                return _remembering(self._redacting(convert)) if column.name in _FREE_TEXT else convert
            case "jsonb":
                return lambda value: document(self._redactor.value(value))
        others: dict[str, Converter] = {"boolean": boolean, "inet": self._address, "timestamptz": self._moment}
        return others[column.type]

    def _redacting(self, convert: Converter) -> Converter:
        return lambda value: convert(self._redactor.text(value) if type(value) is str else value)


_STATUSES = ("pending", "running", "completed", "failed", "cancelled")


def _remembering(convert: Converter) -> Converter:
    """Remember the fields of some thousand texts: routes and user agents come again and again."""
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


def _api_call(event: Event) -> tuple[Any, ...]:
    """Return the columns of an API call, the endpoint without its query and ids, which may be personal."""
    api, endpoint, method, status, outcome, reason, attempt, duration, size, query, *rest = event[2:]
    if isinstance(endpoint, str) and ("/" in endpoint or "?" in endpoint):
        path, _, asked = endpoint.partition("?")
        if query is None and asked:
            query = dict(parse_qsl(urlsplit(endpoint).query[:2000])[:64])
        endpoint = _ID.sub("{id}", path.partition("#")[0])
    return (api, endpoint, method, status, outcome, reason, attempt, duration, size, query, *rest)
