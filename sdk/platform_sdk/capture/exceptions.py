"""Take from an exception, in the request thread, what is needed to describe it later.

Of each frame only its code object, instruction and module name are kept: never a frame, so no local variable is read
or kept alive. Line numbers and source lines are looked up by the writer. 30 frames take some microseconds.

An exception is taken once: what one handler logs and raises on, an outer one does not log again. But the same object
may be raised a second time, if an application keeps one in a module (`raise NOT_FOUND`): that is another error. Within
one request everything counts as raised on. Otherwise the traceback decides: Python prepends to it what an exception
passes on its way, and a new `raise` of an old object prepends a frame that is at a `raise`.
"""

import sys
import sysconfig
from dataclasses import dataclass
from opcode import opmap
from types import CodeType, TracebackType
from typing import NamedTuple
from weakref import ReferenceType, ref

from platform_sdk import request_context
from platform_sdk.request_context import ServedRequest

Position = tuple[CodeType, int, str]
"""Where a frame was: its code, the index of the instruction, and its module's name."""

LONGEST_MESSAGE = 4_000
LONGEST_TRACE = 20_000
LONGEST_CHAIN = 8
MOST_MEMBERS = 8
OUTER_FRAMES, INNER_FRAMES = 20, 40
MOST_FRAMES = 2_000
"""An object that is raised again and again has a traceback of all the times."""

_MARK = "__platform_sdk_seen__"
_RAISE = opmap["RAISE_VARARGS"]
_INSTALLED = ("/site-packages/", "/dist-packages/")
_PYTHON = tuple(
    {f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib")} | {f"{sys.base_prefix}/lib/python"}
)


@dataclass(frozen=True, slots=True)
class CapturedException:
    """One exception of a chain; `relation` says what it is to the one before it: "cause", "context" or ""."""

    module: str
    name: str
    message: str
    positions: tuple[Position, ...]
    relation: str = ""
    members: tuple["CapturedException", ...] = ()


@dataclass(frozen=True, slots=True)
class Captured:
    """An error as it happened: the exception itself first, then its causes. `size` is approximate, in bytes.

    `error_type` is the name of the exception's class unless the application named another. `trace` is a stack trace
    that was given as text.
    """

    chain: tuple[CapturedException, ...]
    size: int
    error_type: str
    trace: str | None = None


def capture(exc: BaseException, error_type: str | None = None) -> Captured | None:
    """Return what to keep of an exception, None if it was captured before. Works for exceptions of any class."""
    earlier = _mark(exc)
    if earlier.captured:
        return None
    chain: list[CapturedException] = []
    relation, current, seen = "", exc, {id(exc)}
    while len(chain) < LONGEST_CHAIN:
        chain.append(_captured(current, relation, 0, earlier.traceback))
        following = current.__cause__
        relation = "cause"
        if following is None and not current.__suppress_context__:
            following, relation = current.__context__, "context"
        if following is None or id(following) in seen:
            break
        seen.add(id(following))
        current = following
    error_type = chain[0].name if error_type is None else error_type
    return Captured(tuple(chain), sum(_size(one) for one in chain), error_type)


def capture_message(error_type: str, message: object, trace: object = None) -> Captured:
    """Return an error that is not an exception; its stack trace, if any, is a text."""
    text = message[:LONGEST_MESSAGE] if type(message) is str else _text(message)
    stack = trace[-LONGEST_TRACE:] if type(trace) is str and trace else None
    chain = (CapturedException("", error_type, text, ()),)
    return Captured(chain, 200 + len(text) + len(stack or ""), error_type, stack)


def _captured(exc: BaseException, relation: str, depth: int, stale: TracebackType | None = None) -> CapturedException:
    kind = type(exc)
    members: tuple[CapturedException, ...] = ()
    if isinstance(exc, BaseExceptionGroup) and depth < 3:
        members = tuple(_captured(member, "", depth + 1) for member in exc.exceptions[:MOST_MEMBERS])
    positions = _positions(exc.__traceback__, stale)
    return CapturedException(kind.__module__, kind.__qualname__, _text(exc), positions, relation, members)


def _positions(traceback: TracebackType | None, stale: TracebackType | None) -> tuple[Position, ...]:
    """Return the frames, outermost first, up to what is `stale`; of a very deep stack the middle is left out."""
    positions: list[Position] = []
    while traceback is not None and traceback is not stale and len(positions) < MOST_FRAMES:
        frame = traceback.tb_frame
        module = frame.f_globals.get("__name__")
        positions.append((frame.f_code, traceback.tb_lasti, module if type(module) is str else ""))
        traceback = traceback.tb_next
    if len(positions) > OUTER_FRAMES + INNER_FRAMES:
        del positions[OUTER_FRAMES:-INNER_FRAMES]
    return tuple(positions)


def _text(value: object) -> str:
    """Return an exception's text, made by code of the application's, which may itself fail."""
    try:
        return str(value)[:LONGEST_MESSAGE]
    except Exception:  # noqa: BLE001 - the application's __str__
        return "<its text could not be made>"


def _size(exc: CapturedException) -> int:
    return 300 + len(exc.message) + 100 * len(exc.positions) + sum(_size(member) for member in exc.members)


@dataclass(frozen=True, slots=True)
class Mark:
    """An attribute of a captured exception: the request it was captured in, and how far its traceback `reached`."""

    request: ReferenceType[ServedRequest] | None
    reached: TracebackType | None

    def __reduce__(self) -> tuple[type[bool], tuple[bool]]:
        """Become True when the exception is pickled: another process only learns that it was captured."""
        return bool, (True,)


class Earlier(NamedTuple):
    """Whether an exception was captured before; `traceback` is where that of an earlier raise begins."""

    captured: bool
    traceback: TracebackType | None = None


def _mark(exc: BaseException) -> Earlier:
    """Mark an exception as captured and return what is known of an earlier capture."""
    try:
        request = request_context.current.get()
        mark = getattr(exc, _MARK, None)
        setattr(exc, _MARK, Mark(None if request is None else ref(request), exc.__traceback__))
        return _compared(exc, mark, request) if isinstance(mark, Mark) else Earlier(bool(mark))
    except Exception:  # noqa: BLE001 - a class may forbid attributes; it is then captured each time
        return Earlier(False)


def _compared(exc: BaseException, mark: Mark, request: ServedRequest | None) -> Earlier:
    """Return whether an exception was raised a second time since it was marked."""
    marked_in, reached = mark.request, mark.reached
    elsewhere = request is not None or marked_in is not None
    if marked_in is not None and marked_in() is request:
        return Earlier(True)
    if reached is None:  # it was logged before it was raised, or never is
        return Earlier(not elsewhere)
    newer = exc.__traceback__
    while newer is not None and newer is not reached:
        if newer.tb_next is not None and _begins(newer, newer.tb_next, elsewhere=elsewhere):
            return Earlier(False, newer.tb_next)
        newer = newer.tb_next
    return Earlier(newer is not None)  # unless it was given another traceback


def _begins(newer: TracebackType, older: TracebackType, *, elsewhere: bool) -> bool:
    """Return whether a frame raised an exception a second time, rather than having passed it on."""
    code, at = newer.tb_frame.f_code, newer.tb_lasti
    if code.co_code[at] != _RAISE:
        return False
    if newer.tb_frame is older.tb_frame:  # `raise error` in the handler, unless a loop came by the same `raise`
        return at == older.tb_lasti
    # Futures, exit stacks and such keep what happened elsewhere and raise it on.
    return elsewhere or not is_library(code.co_filename)


def is_library(file: str) -> bool:
    """Return whether a file of code is installed or Python's own, rather than the application's."""
    return file.startswith(_PYTHON) or any(part in file for part in _INSTALLED)
