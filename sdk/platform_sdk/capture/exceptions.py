"""Take from an exception, in the request thread, what is needed to describe it later.

Of each frame only its code object, instruction and module name are kept: never a frame, so no local variable is read
or kept alive. Line numbers and source lines are looked up by the writer. 30 frames take some microseconds.

An exception is taken once: what one handler logs and raises on, an outer one does not log again. But the same object
may be raised a second time, if an application keeps one in a module (`raise NOT_FOUND`): that is another error. Within
one request everything counts as raised on. Otherwise the traceback decides: Python prepends to it what an exception
passes on its way, and a new `raise` of an old object prepends a frame that is at a `raise`. So does a function that
raises on what its caller caught, `reraise(*sys.exc_info())`, but then that caller is in the old traceback and the new.
"""

import sys
import sysconfig
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from opcode import opmap
from types import CodeType, TracebackType
from typing import NamedTuple
from weakref import ReferenceType, ref

from platform_sdk import request_context
from platform_sdk.request_context import ServedRequest

Position = tuple[CodeType, int, object]
"""Where a frame was: its code, the index of the instruction, and its module's name, if that is a text."""

LONGEST_MESSAGE = 4_000
LONGEST_TRACE = 20_000
LONGEST_CHAIN = 8
"""How many exceptions of a chain are kept beside the last, which all the others come from."""
DEEPEST_CHAIN = 1_000
MOST_MEMBERS = 32
"""How many different members of a group are kept."""
MOST_IN_ALL = 100
"""How many members are kept of all the groups of an error: groups in groups would fill the buffer."""
MOST_COMPARED = 1_000
OUTER_FRAMES, INNER_FRAMES = 20, 40
_KEPT = range(OUTER_FRAMES + INNER_FRAMES)
MOST_FRAMES = 100_000
"""How far a stack is followed. An object that is raised again and again has a traceback of all the times."""

_MARK = "__platform_sdk_seen__"
_RAISE = opmap["RAISE_VARARGS"]
_INSTALLED = ("/site-packages/", "/dist-packages/")
_PYTHON = tuple(
    {f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib")} | {f"{sys.base_prefix}/lib/python"}
)


class CapturedException(NamedTuple):
    """One exception of a chain; `relation` says what it is to the one before it: "cause", "context" or "".

    `members` are a group's, those of one type and stack once; `others` is how many were left out.
    """

    module: str
    name: str
    message: str
    positions: tuple[Position, ...]
    relation: str = ""
    members: tuple["CapturedException", ...] = ()
    others: int = 0


class Captured(NamedTuple):
    """An error as it happened: the exception itself first, then its causes. `size` is approximate, in bytes.

    `error_type` is the name of the exception's class unless the application named another. `trace` is a stack trace
    that was given as text, `template` the text of a message before its arguments were filled in. `status`
    is a status of HTTP that the exception has as an attribute, 0 if none.
    """

    chain: tuple[CapturedException, ...]
    size: int
    error_type: str
    trace: str | None = None
    template: str | None = None
    status: int = 0


def capture(exc: BaseException, error_type: str | None = None) -> Captured | None:
    """Return what to keep of an exception, None if it was captured before. Works for exceptions of any class."""
    earlier = _mark(exc)
    if earlier.captured:
        return None
    chain: list[CapturedException] = []
    left = count(MOST_IN_ALL, -1)
    relation, current, seen = "", exc, {id(exc)}
    while True:
        chain.append(_captured(current, relation, 0, left, earlier.traceback))
        following, relation = _cause(current)
        if following is None or id(following) in seen:
            break
        seen.add(id(following))
        current = following
        if len(chain) == LONGEST_CHAIN:
            chain.append(_captured(_first(current, seen), relation, 0, left))
            break
    error_type = chain[0].name if error_type is None else _cut(error_type)
    return Captured(tuple(chain), sum(_size(one) for one in chain), error_type, status=_status(exc))


def _cause(exc: BaseException) -> tuple[BaseException | None, str]:
    """Return what an exception comes from, and how."""
    if exc.__cause__ is not None or exc.__suppress_context__:
        return exc.__cause__, "cause"
    return exc.__context__, "context"


def _first(exc: BaseException, seen: set[int]) -> BaseException:
    """Return the end of a long chain: what all the others come from."""
    while len(seen) < DEEPEST_CHAIN:
        following, _ = _cause(exc)
        if following is None or id(following) in seen:
            break
        seen.add(id(following))
        exc = following
    return exc


def capture_message(error_type: str, message: object, trace: object = None, template: object = None) -> Captured:
    """Return an error that is not an exception; its stack trace, if any, is a text."""
    error_type = _cut(error_type)
    text = message[:LONGEST_MESSAGE] if type(message) is str else _text(message)
    stack = trace[-LONGEST_TRACE:] if type(trace) is str and trace else None
    chain = (CapturedException("", error_type, text, ()),)
    shape = template[:LONGEST_MESSAGE] if type(template) is str and template else None
    return Captured(chain, 200 + len(text) + len(stack or "") + len(shape or ""), error_type, stack, shape)


def _captured(
    exc: BaseException, relation: str, depth: int, left: "count[int]", stale: TracebackType | None = None
) -> CapturedException:
    kind = type(exc)
    positions = _positions(exc.__traceback__, stale)
    if not isinstance(exc, BaseExceptionGroup):
        return CapturedException(kind.__module__, kind.__qualname__, _text(exc), positions, relation)
    members = _members(exc.exceptions, depth + 1, left) if depth < 3 else ()
    others = len(exc.exceptions) - len(members)
    return CapturedException(kind.__module__, kind.__qualname__, _text(exc), positions, relation, members, others)


def _status(exc: BaseException) -> int:
    """Return the status of HTTP among an exception's own attributes, 0 if none. No property is called."""
    try:
        given = exc.__dict__
        status = given.get("status_code") or given.get("status")
        return status if type(status) is int and 300 <= status < 600 else 0
    except Exception:  # noqa: BLE001 - a class may have an attribute __dict__ of its own
        return 0


def _members(exceptions: Iterable[BaseException], depth: int, left: "count[int]") -> tuple[CapturedException, ...]:
    """Return a group's members that differ in type or stack, as many as are `left`."""
    found: dict[object, CapturedException] = {}
    for exc in islice(exceptions, MOST_COMPARED):
        key: object = (type(exc), _last(exc.__traceback__))
        if isinstance(exc, BaseExceptionGroup):
            key = id(exc)
        if key not in found:
            if len(found) >= MOST_MEMBERS or next(left) <= 0:
                break
            found[key] = _captured(exc, "", depth, left)
    return tuple(found.values())


def _last(traceback: TracebackType | None) -> tuple[tuple[int, int], ...]:
    """Return where a traceback's frames are, to compare it with others of the same moment."""
    found: list[tuple[int, int]] = []
    while traceback is not None and len(found) < len(_KEPT):
        found.append((id(traceback.tb_frame.f_code), traceback.tb_lasti))
        traceback = traceback.tb_next
    return tuple(found)


def _positions(traceback: TracebackType | None, stale: TracebackType | None) -> tuple[Position, ...]:
    """Return the frames, outermost first, up to what is `stale`; of a very deep stack the middle is left out."""
    positions: list[Position] = []
    append = positions.append
    for _ in _KEPT:
        if traceback is None or traceback is stale:
            return tuple(positions)
        frame = traceback.tb_frame
        append((frame.f_code, traceback.tb_lasti, frame.f_globals.get("__name__")))
        traceback = traceback.tb_next
    return (*positions[:OUTER_FRAMES], *_innermost(traceback, stale, positions[OUTER_FRAMES:]))


def _innermost(traceback: TracebackType | None, stale: TracebackType | None, before: list[Position]) -> list[Position]:
    """Return the innermost frames of a deep stack; `before` are those that come before `traceback`."""
    last: deque[TracebackType] = deque(maxlen=INNER_FRAMES)
    count = 0
    while traceback is not None and traceback is not stale and count < MOST_FRAMES:
        last.append(traceback)
        traceback = traceback.tb_next
        count += 1
    found = [(one.tb_frame.f_code, one.tb_lasti, one.tb_frame.f_globals.get("__name__")) for one in last]
    return [*before, *found][-INNER_FRAMES:]


def _cut(text: str) -> str:
    return text[:LONGEST_MESSAGE] if type(text) is str and len(text) > LONGEST_MESSAGE else text


def _text(value: object) -> str:
    """Return an exception's text, made by code of the application's, which may itself fail."""
    try:
        return str(value)[:LONGEST_MESSAGE]
    except (Exception, SystemExit, GeneratorExit):  # noqa: BLE001 - the application's __str__
        return "<its text could not be made>"


def _size(exc: CapturedException) -> int:
    size = 300 + len(exc.message) + 100 * len(exc.positions)
    return size + sum(_size(member) for member in exc.members) if exc.members else size


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
    elsewhere = request is not None  # after a request its server may log what a future raised on there
    if marked_in is not None and marked_in() is request:
        return Earlier(True)
    if reached is None:  # it was logged before it was raised, or never is
        return Earlier(not elsewhere)
    known = set(map(id, islice(_frames(reached), MOST_COMPARED)))
    newest = newer = exc.__traceback__
    while newer is not None and id(newer) not in known:
        older = newer.tb_next
        if older is not reached and id(older) in known:
            return Earlier(True)  # with the end of its traceback, as who raises on may do to hide a frame
        if older is not None and _begins(newer, older, elsewhere=elsewhere) and not _handed_on(newest, newer, older):
            return Earlier(False, older)
        newer = older
    return Earlier(newer is not None)  # unless it was given another traceback


def _frames(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _begins(newer: TracebackType, older: TracebackType, *, elsewhere: bool) -> bool:
    """Return whether a frame raised an exception a second time, rather than having passed it on."""
    code, at = newer.tb_frame.f_code, newer.tb_lasti
    if code.co_code[at] != _RAISE:
        return False
    if newer.tb_frame is older.tb_frame:  # `raise error` in the handler, unless a loop came by the same `raise`
        return at == older.tb_lasti
    # Futures, exit stacks and such keep what happened elsewhere and raise it on.
    return elsewhere or not is_library(code.co_filename)


def _handed_on(newest: TracebackType | None, newer: TracebackType, older: TracebackType) -> bool:
    """Return whether a function raised on what its caller caught: that frame is before and after, at another place.

    It went by another function then: calling the one that raises a shared object twice is not raised on.
    """
    for caller in _frames(newest):
        if caller is newer:
            break
        if caller.tb_frame is older.tb_frame:
            called, before = caller.tb_next, older.tb_next
            same = called is not None and before is not None and called.tb_frame.f_code is before.tb_frame.f_code
            return caller.tb_lasti != older.tb_lasti and not same
    return False


def is_library(file: str) -> bool:
    """Return whether a file of code is installed or Python's own, rather than the application's."""
    return file.startswith(_PYTHON) or any(part in file for part in _INSTALLED)
