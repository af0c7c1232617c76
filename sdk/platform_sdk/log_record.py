"""What a record of `logging` says, whoever made it: `logging` itself, structlog, loguru, a queue's listener."""

import json
import logging
import re
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any
from weakref import ref

from platform_sdk import emit, request_context
from platform_sdk.capture.messages import has_words
from platform_sdk.delivery.intake import silent

LONGEST_CRUMB = 300
LONGEST_TEXT = 40_000
"""How much of a text is looked at; of a longer one both ends are kept: its words, and the end of its stack trace."""

MARK = "_platform_sdk_recorded"
"""An attribute of a record that was seen: several handlers get one, and a queue passes it on."""

_STANDARD = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", MARK))
_TRACE = "Traceback (most recent call last):"
_TEXTS = ("event", "message", "msg")
"""Where structured records have their text."""
_EXCEPTIONS = ("exc_info", "exception", "stack_info", "stack")
_LAST_LINE = re.compile(r"^(?P<name>[\w.]+)(?:: (?P<text>.*))?$")

_OURS = "platform_sdk"
_REQUESTS = ("django.request", "django.server")
"""Loggers whose records say that a request was answered with an error: the middleware records requests."""
_TASKS = {"multiprocessing": "Process %r pid:%r exited with", "celery.worker.request": "Hard time limit (%ss) exceeded"}
"""Loggers, and how their records begin that say that a task's process ended: Celery's hooks record its tasks."""


def belongs_to_us(record: logging.LogRecord) -> bool:
    """Return whether a record is about the SDK itself: recording it might make another, and so on forever."""
    name = record.name
    return name == _OURS or name.startswith(f"{_OURS}.") or record.threadName == "platform-sdk-writer" or silent.get()


def is_about_a_request(record: logging.LogRecord) -> bool:
    """Return whether a record only says what the row of a request says."""
    return record.name in _REQUESTS and not (record.exc_info and record.exc_info[1])


def is_about_a_task(record: logging.LogRecord) -> bool:
    """Return whether a record only says what the error of a task says, which a hook records."""
    begins = _TASKS.get(record.name)
    return begins is not None and str(record.msg).startswith(begins) and "platform_sdk.jobs.celery" in sys.modules


def arguments(record: logging.LogRecord) -> dict[str, Any] | None:
    """Return what `log_error` is called with for a record, None for the text of an exception recorded just before."""
    said, more = _structured(record)
    error = _exception(record, more)
    text, template = said or _text(record), said or _template(record)
    head, trace = _split(text)
    context = {"logger": record.name, "level": record.levelname, "place": f"{record.pathname}:{record.lineno}"}
    if more or not _STANDARD.issuperset(vars(record)):
        context.update((key, value) for key, value in _extra(record, more).items() if key not in _EXCEPTIONS)
    if error is not None:
        return {"error": error, "context": {**context, "message": head}}
    if more and not trace:
        trace = next((str(more[key]) for key in _EXCEPTIONS if isinstance(more.get(key), str)), "")
    stack = trace or record.exc_text or record.stack_info
    last = _LAST_LINE.match(stack.rstrip().rpartition("\n")[2]) if stack and _TRACE in stack else None
    if last is not None and emit.recorded_just_before(last["name"].rpartition(".")[2], last["text"] or ""):
        return None
    # A template that is the text whole, trace and all, is what a queue's listener gets.
    shape = _split(template)[0] if template else None
    if shape and not has_words(shape):  # `log.error("%s", text)`: only the text says what happened
        shape = None
    kind = last["name"].rpartition(".")[2] if last else "LoggedError"
    return {
        "error": head or text, "error_type": kind, "stack_trace": stack, "context": context,
        "template": f"{record.name} {shape or head}",
    }  # fmt: skip


def _structured(record: logging.LogRecord) -> tuple[str, Mapping[str, Any]]:
    """Return text and fields of a record of structlog's, as a mapping or as JSON; "" and nothing for any other."""
    fields: Any = record.msg
    if type(fields) is str and len(fields) > LONGEST_TEXT:  # to read it as JSON would hold the application up
        return "", {}
    if not record.args and type(fields) is str and fields.startswith("{") and fields.endswith("}"):
        try:
            fields = json.loads(fields)
        except ValueError:
            return "", {}
    if not isinstance(fields, Mapping):
        return "", {}
    text = next((_both_ends(str(fields[name])) for name in _TEXTS if fields.get(name)), "")
    return text, {key: value for key, value in fields.items() if text and key not in _TEXTS}


def _exception(record: logging.LogRecord, fields: Mapping[str, Any]) -> BaseException | None:
    """Return the exception of a record, wherever it is."""
    if record.exc_info is None and not fields and type(record.msg) is str:
        return None  # as nearly every record is
    for given in (record.exc_info, fields.get("exc_info"), record.msg):
        found = given[1] if isinstance(given, tuple) and len(given) == 3 else given
        found = sys.exc_info()[1] if found is True else found
        if type(found).__name__ == "ExceptionWithTraceback":  # billiard's, of what another process raised
            found = getattr(found, "exc", found)
        if isinstance(found, BaseException):
            return found
    return None


def _text(record: logging.LogRecord) -> str:
    try:
        return _both_ends(record.getMessage())
    except Exception:  # noqa: BLE001 - arguments that do not fit, or whose text cannot be made
        return _template(record)


def _template(record: logging.LogRecord) -> str:
    return _both_ends(record.msg) if isinstance(record.msg, str) else type(record.msg).__name__


def _both_ends(text: str) -> str:
    half = LONGEST_TEXT // 2
    return text if len(text) <= LONGEST_TEXT else f"{text[:half]}\n  ...\n{text[-half:]}"


def _split(text: str) -> tuple[str, str]:
    """Return what is before a stack trace in a text, and the trace."""
    head, found, trace = text.partition(_TRACE) if _TRACE in text else (text, "", "")
    return head.strip(), found + trace


def _extra(record: logging.LogRecord, fields: Mapping[str, Any]) -> dict[str, Any]:
    extra = {key: value for key, value in vars(record).items() if key not in _STANDARD and not key.startswith("_")}
    return {**extra, **fields}


Crumb = dict[str, Any]


class Breadcrumbs:
    """The last `most` records of each request and task: immutable, so that a task's own are its own."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: ContextVar[tuple[Any, tuple[Crumb, ...]]] = ContextVar("platform_sdk_crumbs", default=(None, ()))

    def add(self, record: logging.LogRecord) -> None:
        """Keep a record, instead of the oldest."""
        said, _ = _structured(record)
        crumb = {
            "at": round(record.created, 3), "level": record.levelname, "logger": record.name,
            "message": (said or _text(record))[:LONGEST_CRUMB],
        }  # fmt: skip
        request = request_context.current.get()
        self._kept.set((request and ref(request), (*self.last()[1 - self._most :], crumb)[-self._most :]))

    def last(self) -> tuple[Crumb, ...]:
        """Return those of the request or task at hand, the oldest first; a thread serves one after the other."""
        request, kept = self._kept.get()
        return kept if (request and request()) is request_context.current.get() else ()
