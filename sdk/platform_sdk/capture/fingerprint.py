"""Compute the text that groups an error's occurrences, in the writer thread.

The rules have a version: a change of them begins new groups knowingly, and issues of the version before go on by the
fingerprint that they had (`former`).

v2, as docs/errors.md has it for users: of the exception and of those it comes from, the type, its code where it has one
(a status of HTTP, a number of the operating system), the path of the application's own functions to where it failed,
and the source line there. Of libraries nothing counts where own code does. What repeats is folded: recursions, tries,
members of a group. Where there is no stack, the message without its parameters. A type that the application named
itself comes first.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from platform_sdk.capture import fingerprint_v1
from platform_sdk.capture.exceptions import INNER_FRAMES, Captured, CapturedException, is_library
from platform_sdk.capture.messages import code, has_words, normalised
from platform_sdk.capture.ownership import package_of
from platform_sdk.capture.stacktrace import Frame, Stacks

VERSION = "v2"

_WRAPPER = re.compile(r"(?:^|[_.:])(?:wrap(?:s|per|ped)?|inner|decorat(?:or|ed)|(?:a?sync_)?wrapper(?:_func)?)\Z")
_COMMENT = re.compile(r"\s+#[^\"']*\Z")
_ROOTS = frozenset(
    [
        "PermissionError",
        "FileNotFoundError",
        "FileExistsError",
        "IsADirectoryError",
        "NotADirectoryError",
        "ProcessLookupError",
        "OSError",
        "MemoryError",
    ]
)
_DRIVERS = frozenset(
    "psycopg psycopg2 asyncpg sqlite3 pymysql MySQLdb mysql oracledb cx_Oracle pyodbc".split()  # noqa: SIM905 - a list for readers
)
"""What an exception may come from within a library that makes it another fault: a violated constraint, a full disk. How
a connection failed does not: refused, reset and too slow are one outage."""
_ENDLESS = "RecursionError"
_REMOTE = ("_RemoteTraceback", "RemoteTraceback")
"""What an exception of a pool's process comes from: its stack as a text, by concurrent.futures and multiprocessing."""
_REMOTE_FRAME = re.compile(r'^  File "(?P<file>[^"\n]+)", line \d+, in (?P<function>\S+)$', re.MULTILINE)


def fingerprint(captured: Captured, stacks: Stacks, explicit: str | None = None) -> str:
    """Return "v2:" and 16 hexadecimal digits, or the explicit fingerprint."""
    if explicit:
        return explicit[:200]
    parts = _Reader(captured, stacks).parts()
    if captured.error_type is not captured.chain[0].name:
        parts.insert(0, f"{captured.error_type}")
    if captured.status and not code(captured.chain[0].name, captured.chain[0].message):
        parts.insert(0, f"{captured.status}")
    digest = hashlib.blake2b("\x1f".join(parts).encode("utf-8", "replace"), digest_size=8)
    return f"{VERSION}:{digest.hexdigest()}"


class Fingerprints:
    """Fingerprints with those of the version before, of which the last thousand are remembered."""

    def __init__(self, stacks: Stacks) -> None:
        self._stacks = stacks
        # With the chain: the ids of code in the key cannot be another's while the code is held here.
        self._known: dict[object, tuple[Sequence[CapturedException], str, str]] = {}

    def of(self, captured: Captured, explicit: str | None = None) -> tuple[str, str | None]:
        """Return an error's fingerprint and that of version 1, by which an older issue is found.

        An explicit fingerprint has no version.
        """
        if explicit:
            return explicit[:200], None
        if not any(exc.positions for exc in captured.chain):  # the messages count
            return fingerprint(captured, self._stacks), fingerprint_v1.fingerprint(captured, self._stacks)
        key = (captured.error_type, captured.status, *map(_key, captured.chain))
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= 1024:
                self._known.clear()
            made = fingerprint(captured, self._stacks), fingerprint_v1.fingerprint(captured, self._stacks)
            known = self._known[key] = (captured.chain, *made)
        return known[1], known[2]


def _key(exc: CapturedException) -> tuple[object, ...]:
    """Return what the fingerprint depends on, quick to compare: hashing a code object is slow."""
    places = tuple((id(position[0]), position[1]) for position in exc.positions)
    kind = (exc.module, exc.name, code(exc.name, exc.message), exc.relation)
    remote = _remote(exc) if exc.name in _REMOTE else ()
    return (*kind, places, *remote, *map(_key, exc.members))


class _Path(tuple[str, ...]):
    """The places of own code that an exception passed, outermost first, and at the end the line that failed."""


class _Reader:
    """The parts of one error's fingerprint."""

    def __init__(self, captured: Captured, stacks: Stacks) -> None:
        self._captured = captured
        self._frames = {id(exc): stacks.frames(exc) for exc in _all(captured.chain)}
        everything = [frame for frames in self._frames.values() for frame in frames]
        owned = any(frame.owner == "application" for frame in everything)
        # Where nothing is known to be the application's, it is the outermost of what is not a known library.
        installed = [frame for frame in everything if frame.owner == "installed"]
        installed.sort(key=lambda frame: frame.function == "<module>")
        self._package = package_of(installed[0].file) if installed and not owned else None

    def parts(self) -> list[str]:
        """Return what is compared; two errors with equal parts are one issue."""
        chain = self._captured.chain
        if not any(exc.positions or exc.members for exc in chain):
            template = self._captured.template
            text = template if template and has_words(template) else chain[0].message
            texts = [text, *(exc.message for exc in chain[1:])]
            return [part for exc, text in zip(chain, texts, strict=True) for part in (_typed(exc), normalised(text))]
        found: list[str] = []
        paths: list[_Path] = []
        for exc in chain:
            path = self._path(exc)
            if exc is not chain[0] and self._is_implied(exc, path, paths):
                continue
            paths.append(path)
            found += [_typed(exc), *path, *self._members(exc)]
        return found if any(paths) else [*found, *self._of_libraries()]

    def _is_implied(self, exc: CapturedException, path: _Path, paths: list[_Path]) -> bool:
        """Return whether a link of the chain says nothing more: an earlier try, or what goes on within a library."""
        if path or exc.members:
            return any(path == earlier[len(earlier) - len(path) :] for earlier in paths)
        root = exc is self._captured.chain[-1]
        return not (root and (exc.name in _ROOTS or exc.module.partition(".")[0] in _DRIVERS))

    def _is_own(self, frame: Frame) -> bool:
        if self._package is None:
            return frame.owner == "application"
        return frame.owner == "installed" and package_of(frame.file) == self._package

    def _path(self, exc: CapturedException) -> _Path:
        if exc.name in _REMOTE:
            return _Path(_remote(exc))
        frames = self._frames[id(exc)]
        while frames and not self._is_own(frames[-1]):
            frames = frames[:-1]
        if not frames:
            return _Path()
        if exc.name == _ENDLESS and (loop := _loop([frame.place for frame in frames if self._is_own(frame)])):
            return _Path(loop)
        own = [frame for frame in _unrolled(frames) if self._is_own(frame)]
        last = own[-1]
        kept = [frame.place for frame in own[:-1] if not _is_passage(frame)]
        return _Path((*kept, last.place, _line(last.source), *self._entries(exc)))

    def _entries(self, exc: CapturedException) -> Iterator[str]:
        """Yield how other packages were entered, where it is not known which of several is the application.

        And where the last of them failed, if it is not by an exception of its own, as libraries have them.
        """
        if self._package is None:
            return
        before: str | None = self._package
        others = [frame for frame in self._frames[id(exc)] if frame.owner == "installed"]
        for frame in others:
            package = package_of(frame.file)
            if package not in (before, self._package) and not _is_passage(frame):
                yield frame.place
            before = package
        if before not in (self._package, exc.module.partition(".")[0]):
            yield from (others[-1].place, _line(others[-1].source))

    def _members(self, exc: CapturedException) -> list[str]:
        """Return the members of a group, those of groups in it too: which failed first, and how many, is chance."""
        leaves = (one for one in _all(exc.members) if not one.members)
        return sorted({"(" + "\x1e".join((_typed(one), *self._path(one))) + ")" for one in leaves})

    def _of_libraries(self) -> list[str]:
        """Return where an error is that no own code had part in: the last two packages, and how they were entered."""
        entries: list[str] = []
        before = None
        for frame in next((frames for frames in self._frames.values() if frames), []):
            package = package_of(frame.file)
            if package not in (None, before):
                entries.append(frame.place)
            before = package
        return entries[-2:]


def _remote(exc: CapturedException) -> tuple[str, ...]:
    """Return the places of own code in a stack that came as a text: files and functions, without line numbers."""
    found = (match.groups() for match in _REMOTE_FRAME.finditer(exc.message))
    places = [f"{PurePath(file).stem}:{function}" for file, function in found if not is_library(file)]
    return tuple(dict.fromkeys(places))


def _all(chain: Sequence[CapturedException]) -> Iterator[CapturedException]:
    for exc in chain:
        yield exc
        yield from _all(exc.members)


def _typed(exc: CapturedException) -> str:
    """Return an exception's type without the module within its package, which may move, and its code."""
    name = exc.name.replace("<locals>.", "")
    return f"{exc.module.partition('.')[0]}.{name} {code(exc.name, exc.message)}"


def _unrolled(frames: Sequence[Frame]) -> list[Frame]:
    """Return the frames without the ways around in a recursion: what lies between two of one place is data.

    Closures of libraries are not a recursion: decorators have the same one around every function.
    """
    path: list[Frame] = []
    at: dict[str, int] = {}
    for frame in frames:
        place = frame.place
        again = at.get(place)
        if again is not None:
            for left in path[again:]:
                at.pop(left.place, None)
            del path[again:]
        if not ("<locals>" in frame.function and (frame.owner != "application" or _WRAPPER.search(place))):
            at[place] = len(path)
        path.append(frame)
    return path


def _loop(places: list[str]) -> list[str]:
    """Return the places that an endless recursion passes each time around, empty where none can be made out."""
    counts = Counter(places[-INNER_FRAMES:])
    most = max(counts.values())
    return sorted(place for place, count in counts.items() if count >= most - 1) if most > 2 else []


def _is_passage(frame: Frame) -> bool:
    """Return whether a frame only leads to the next: a decorator's wrapper, a module that imports another."""
    if frame.function == "<module>":
        return True
    return "<locals>" in frame.function and _WRAPPER.search(frame.place) is not None


def _line(source: str) -> str:
    """Return a source line without its comment, and however it is laid out."""
    return "".join(_COMMENT.sub("", source).replace('"', "'").split())
