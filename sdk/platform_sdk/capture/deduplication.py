"""Tell whether an exception was taken before: what one handler logs and raises on, an outer one shall not log again.

The same object may well be raised anew, where an application keeps one in a module (`raise NOT_FOUND`): that is another
error each time. Within one request everything counts as raised on. Otherwise the traceback tells: Python prepends to it
what an exception passes on its way, and a new `raise` of an old object prepends a frame that stands at a `raise`.
"""

from dataclasses import dataclass
from opcode import opmap
from types import TracebackType
from weakref import ReferenceType, ref

from platform_sdk import request_context
from platform_sdk.capture.libraries import is_library
from platform_sdk.request_context import Served

_MARK = "__platform_sdk_seen__"
_RAISE = opmap["RAISE_VARARGS"]


@dataclass(frozen=True, slots=True)
class Mark:
    """Say, in an attribute of an exception, in which request it was taken, and how far it had `reached`."""

    served: ReferenceType[Served] | None
    reached: TracebackType | None

    def __reduce__(self) -> tuple[type[bool], tuple[bool]]:
        """Become True where the exception is pickled: that it was taken is all that another process can be told."""
        return bool, (True,)


@dataclass(frozen=True, slots=True)
class Sight:
    """Tell whether an exception was `taken` before; `stale` is where its traceback is that of an earlier raise."""

    taken: bool
    stale: TracebackType | None = None


def look_at(exc: BaseException) -> Sight:
    """Tell what is known of an exception, and mark it as taken."""
    try:
        served = request_context.current.get()
        mark = getattr(exc, _MARK, None)
        setattr(exc, _MARK, Mark(None if served is None else ref(served), exc.__traceback__))
        return _compared(exc, mark, served) if isinstance(mark, Mark) else Sight(bool(mark))
    except Exception:  # noqa: BLE001 - a class may forbid attributes; it is then taken each time
        return Sight(False)


def _compared(exc: BaseException, mark: Mark, served: Served | None) -> Sight:
    """Tell whether an exception was raised anew since it was marked."""
    marked_in, reached = mark.served, mark.reached
    elsewhere = served is not None or marked_in is not None
    if marked_in is not None and marked_in() is served:
        return Sight(True)
    if reached is None:  # it was logged before it was raised, or never is
        return Sight(not elsewhere)
    newer = exc.__traceback__
    while newer is not None and newer is not reached:
        if newer.tb_next is not None and _begins(newer, newer.tb_next, elsewhere=elsewhere):
            return Sight(False, newer.tb_next)
        newer = newer.tb_next
    return Sight(newer is not None)  # unless it was given another traceback


def _begins(newer: TracebackType, older: TracebackType, *, elsewhere: bool) -> bool:
    """Tell whether a frame raised an exception anew, rather than having passed it on."""
    code, at = newer.tb_frame.f_code, newer.tb_lasti
    if code.co_code[at] != _RAISE:
        return False
    if newer.tb_frame is older.tb_frame:  # `raise error` in the handler, unless a loop came by the same `raise`
        return at == older.tb_lasti
    # Futures, exit stacks and such keep what happened elsewhere and raise it on.
    return elsewhere or not is_library(code.co_filename)
