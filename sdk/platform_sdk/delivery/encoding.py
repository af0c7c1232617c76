"""Events made rows of COPY's text format, redacted and fingerprinted. For the writer thread.

Text rather than binary. Measured (requests of 14 columns, the rows of tools/benchmarks/sdk_core.py): a row costs 4.4 us
to make as text and 2.8 us as binary without any check of its values, the server 4.7 and 3.5 to 4.6 us to take it. Text
is fast enough by far, can be cut row by row without parsing, and can be read by a person in the spool.
"""

import json
import re
from collections.abc import Callable
from itertools import groupby
from typing import Any, get_args
from urllib.parse import parse_qsl

from platform_sdk.actor import plain_id
from platform_sdk.capture.exceptions import Captured
from platform_sdk.capture.fingerprint import Fingerprints
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
    json_text,
    number_of,
    text_of,
)
from platform_sdk.delivery.intake import Event
from platform_sdk.delivery.redaction import Redactor
from platform_sdk.events import EVENTS
from platform_sdk.events.base import Column, EventKind
from platform_sdk.options import Options
from platform_sdk.parsing import split_query
from platform_sdk.typing import JobStatus

_LONGEST = 200  # characters of the other texts: app, release, job ids
_ENDPOINT, _QUERY = kinds.positions(kinds.API_CALL, "endpoint", "query")
_SEVERITY, _TYPE, _MESSAGE, _TRACE, _FINGERPRINT = kinds.positions(
    kinds.ERROR, "severity", "error_type", "message", "stack_trace", "fingerprint"
)

_DESCRIBED = kinds.FIRST + len(kinds.VALUES[kinds.ERROR])
"""The length of an error whose values are complete, with its former fingerprint."""

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
        self._fingerprints = Fingerprints(self._stacks)
        self._moment = Moments()
        self._address = Addresses()
        text = text_of(_LONGEST)
        self._constant = f"\t{text(options.app)}\t{text(options.release)}\t"
        self._converters = tuple(tuple(self._converter(column) for column in kind.columns) for kind in EVENTS)
        self._runs = {number: self._runs_of(kind) for number, kind in enumerate(EVENTS) if kind.sampled}
        self._complete: dict[int, Callable[[list[Any]], None]] = {
            kinds.API_CALL: _split_endpoint,
            kinds.ERROR: self._describe_error,
        }
        self._app = options.app

    def row(self, event: Event, weight: int = 1) -> str:
        """Return an event's row, without line end. Raises UnwritableError, and anything on arguments of odd make."""
        kind = event[kinds.KIND]
        if runs := self._runs.get(kind):
            fields = [convert(event[place]) for place, convert in runs]
            fields.append(f"{weight}.0")
        else:
            values = list(event)
            if complete := self._complete.get(kind):
                complete(values)
            columns = zip(self._converters[kind], values[kinds.FIRST :], strict=True)
            fields = [convert(value) for convert, value in columns]
        return self._moment(event[kinds.AT]) + self._constant + "\t".join(fields)

    def job_row(self, job_id: str, state: Event) -> str:
        """Return a live job's state as a JSON object, on one line, with the columns of monitoring.scraping_job."""
        at, scraper, site, status, progress, total, completed, started, finished = state
        number, moment, whole = number_of(required=False), self._moment, integer_of(64, required=False)
        figures = {
            "progress": number(progress), "total_items": whole(total), "completed_items": whole(completed),
            "started_at": moment(started), "heartbeat_at": moment(at), "finished_at": moment(finished),
        }  # fmt: skip
        fields = {
            "app": json_text(self._app, _LONGEST), "job_id": json_text(job_id, _LONGEST),
            "scraper": json_text(scraper, _LONGEST) or "unknown", "site": json_text(site, _LONGEST) or None,
            "status": status if status in _STATUSES else "running",
            **{name: field for name, field in figures.items() if field != NULL},
        }  # fmt: skip
        # As letters: PostgreSQL refuses an escape for a letter that the database's encoding lacks.
        return json.dumps(fields, ensure_ascii=False)

    def described(self, event: Event) -> Event:
        """Return an event with all that its row will say, before secrets are replaced and texts are cut."""
        complete = self._complete.get(event[kinds.KIND])
        if complete is None:
            return event
        values = list(event)
        complete(values)
        return tuple(values)

    def unfit(self, event: Event) -> str | None:
        """Return which column's value, and why, has no field in a row; None where the fault is elsewhere."""
        kind = event[kinds.KIND]
        for column, convert, value in zip(
            kinds.VALUES[kind], self._converters[kind], event[kinds.FIRST :], strict=False
        ):
            try:
                convert(value)
            except Exception as error:  # noqa: BLE001 - a value of odd make
                return f"{column!r}: {type(error).__name__}: {error}"
        return None

    def _describe_error(self, values: list[Any]) -> None:
        """Replace what was captured of an error by its type, message, stack trace and fingerprint."""
        captured = values[_TYPE]
        if len(values) == _DESCRIBED:
            return  # described already, for the application's `before_send`
        if not isinstance(captured, Captured):
            raise TypeError("an error without what was captured of it")
        if isinstance(values[_SEVERITY], str):
            values[_SEVERITY] = values[_SEVERITY].lower()
        first = captured.chain[0]
        values[_TYPE], values[_MESSAGE] = captured.error_type, first.message
        values[_TRACE] = captured.trace or self._stacks.trace(captured)
        values[_FINGERPRINT], former = self._fingerprints.of(captured, values[_FINGERPRINT])
        values.append(former)

    def _runs_of(self, kind: EventKind) -> tuple[tuple[Any, Converter], ...]:
        """Return where in an event to find what is converted together: neighbours that come again and again, or one.

        Without the last column, the weight.
        """
        runs: list[tuple[Any, Converter]] = []
        place = kinds.FIRST
        for again, columns in groupby(kind.columns[:-1], lambda column: _comes_again(kind, column)):
            converters = [self._converter(column) for column in columns]
            if again and len(converters) > 1:
                runs.append((slice(place, place + len(converters)), _remembering(_joined(converters), tuple)))
            else:
                runs += [(place + number, convert) for number, convert in enumerate(converters)]
            place += len(converters)
        return tuple(runs)

    def _converter(self, column: Column) -> Converter:
        match column.type:
            case "integer" | "bigint":
                return integer_of(32 if column.type == "integer" else 64, required=column.required)
            case "double precision":
                return number_of(required=column.required)
            case "text":
                convert = text_of(column.longest, escaped(column.stand_in) if column.required else NULL)
                if column.name == "user_id":
                    return lambda value: convert(value if type(value) is str else plain_id(value))
                if not column.free_text:
                    label = self._redactor.label
                    return lambda value: convert(label(value) if type(value) is str else value)
                return _remembering(self._redacting(convert, 4 * column.longest))
            case "jsonb":
                return lambda value: document(self._redactor.value(value))
        others: dict[str, Converter] = {"boolean": boolean, "inet": self._address, "timestamptz": self._moment}
        return others[column.type]

    def _redacting(self, convert: Converter, most: int) -> Converter:
        # Of a text that is cut to a quarter of `most` anyway, no more than that is searched for secrets.
        return lambda value: convert(self._redactor.text(value[:most]) if type(value) is str else value)


_STATUSES = get_args(JobStatus)


def _comes_again(kind: EventKind, column: Column) -> bool:
    return column.type in ("text", "inet") or (kind.sampled is not None and column.name in kind.sampled.alike)


def _joined(converters: list[Converter]) -> Converter:
    """Return the converter of a run of columns."""
    return lambda values: "\t".join([convert(value) for convert, value in zip(converters, values, strict=True)])


def _remembering(convert: Converter, kind: type = str) -> Converter:
    """Return a converter that remembers some thousand values of one type: routes and users come again and again."""
    known: dict[Any, str] = {}

    def remembered(value: Any) -> str:
        if type(value) is not kind:
            return convert(value)
        try:
            field = known.get(value)
        except TypeError:  # something in a run cannot be hashed
            return convert(value)
        if field is None:
            field = convert(value)
            if len(known) >= 2048:
                known.clear()
            if all(_is_small(each) for each in (value if type(value) is tuple else (value,))):
                known[value] = field
        return field

    return remembered


def _is_small(value: Any) -> bool:
    """Tell whether a value may be remembered: a short text or a number, but not True, which is found as 1."""
    return value is None or type(value) is int or (type(value) is str and len(value) < 1000)


def _split_endpoint(values: list[Any]) -> None:
    """Take the query and ids, which may be personal, out of an API call's endpoint."""
    endpoint = values[_ENDPOINT]
    if isinstance(endpoint, str) and ("/" in endpoint or "?" in endpoint):
        path, asked = split_query(endpoint)
        if values[_QUERY] is None and asked:
            values[_QUERY] = dict(parse_qsl(asked[:2000])[:64])
        values[_ENDPOINT] = _ID.sub("{id}", path)
