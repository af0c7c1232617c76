"""Take from an exception, in the request thread, what is needed to describe it later.

Of each frame only its code object, instruction and module name are kept: never a frame, so no local variable is read
or kept alive. Line numbers and source lines are looked up by the writer. 30 frames take some microseconds.
"""

from dataclasses import dataclass
from types import CodeType, TracebackType

from platform_sdk.capture.deduplication import look_at

Place = tuple[CodeType, int, str]
"""A frame: its code, the index of the instruction it was at, and its module's name."""

LONGEST_MESSAGE = 4_000
LONGEST_TRACE = 20_000
LONGEST_CHAIN = 8
MOST_MEMBERS = 8
OUTER_FRAMES, INNER_FRAMES = 20, 40
MOST_FRAMES = 2_000
"""An object that is raised again and again has a traceback of all the times."""


@dataclass(frozen=True, slots=True)
class Link:
    """One exception of a chain; `relation` says what it is to the one before it: "cause", "context" or ""."""

    module: str
    name: str
    message: str
    places: tuple[Place, ...]
    relation: str = ""
    members: tuple["Link", ...] = ()


@dataclass(frozen=True, slots=True)
class Captured:
    """An error as it happened: the exception itself first, then its causes. `size` is approximate, in bytes.

    `error_type` is the name of the exception's class unless the application named another. `trace` is a stack trace
    that was given as text.
    """

    chain: tuple[Link, ...]
    size: int
    error_type: str
    trace: str | None = None


def capture(exc: BaseException, error_type: str | None = None) -> Captured | None:
    """Return what to keep of an exception, None if it was captured before. Works for exceptions of any class."""
    sight = look_at(exc)
    if sight.taken:
        return None
    chain: list[Link] = []
    relation, current, seen = "", exc, {id(exc)}
    while len(chain) < LONGEST_CHAIN:
        chain.append(_link(current, relation, 0, sight.stale))
        following = current.__cause__
        relation = "cause"
        if following is None and not current.__suppress_context__:
            following, relation = current.__context__, "context"
        if following is None or id(following) in seen:
            break
        seen.add(id(following))
        current = following
    error_type = chain[0].name if error_type is None else error_type
    return Captured(tuple(chain), sum(_size(link) for link in chain), error_type)


def capture_message(error_type: str, message: object, trace: object = None) -> Captured:
    """Return an error that is no exception, and has a stack trace as a text or none."""
    text = message[:LONGEST_MESSAGE] if type(message) is str else _said(message)
    told = trace[-LONGEST_TRACE:] if type(trace) is str and trace else None
    return Captured((Link("", error_type, text, ()),), 200 + len(text) + len(told or ""), error_type, told)


def _link(exc: BaseException, relation: str, depth: int, stale: TracebackType | None = None) -> Link:
    kind = type(exc)
    members: tuple[Link, ...] = ()
    if isinstance(exc, BaseExceptionGroup) and depth < 3:
        members = tuple(_link(member, "", depth + 1) for member in exc.exceptions[:MOST_MEMBERS])
    return Link(kind.__module__, kind.__qualname__, _said(exc), _places(exc.__traceback__, stale), relation, members)


def _places(traceback: TracebackType | None, stale: TracebackType | None) -> tuple[Place, ...]:
    """Return the frames, outermost first, up to what is `stale`; of a very deep stack the middle is left out."""
    places: list[Place] = []
    while traceback is not None and traceback is not stale and len(places) < MOST_FRAMES:
        frame = traceback.tb_frame
        module = frame.f_globals.get("__name__")
        places.append((frame.f_code, traceback.tb_lasti, module if type(module) is str else ""))
        traceback = traceback.tb_next
    if len(places) > OUTER_FRAMES + INNER_FRAMES:
        del places[OUTER_FRAMES:-INNER_FRAMES]
    return tuple(places)


def _said(value: object) -> str:
    """Return what an exception says, which is code of the application's and may itself fail."""
    try:
        return str(value)[:LONGEST_MESSAGE]
    except Exception:  # noqa: BLE001 - somebody else's __str__
        return "<it could not be told>"


def _size(link: Link) -> int:
    return 300 + len(link.message) + 100 * len(link.places) + sum(_size(member) for member in link.members)
