"""Describe captured stacks, in the writer thread: lines, sources, which frames are the application's, the trace."""

import linecache
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType

from platform_sdk.capture.exceptions import Captured, CapturedException, Position, is_library
from platform_sdk.capture.ownership import Owner, Ownership, module_name

LONGEST_TRACE = 30_000
_LONGEST_LINE = 300

_RELATIONS = {
    "cause": "\nThe above exception was the direct cause of the following exception:\n\n",
    "context": "\nDuring handling of the above exception, another exception occurred:\n\n",
}


@dataclass(frozen=True, slots=True)
class Frame:
    """One line of a stack; `source` is the line's text, empty where there is no file.

    `place` is what grouping compares: module and function, however the module was started, without comprehensions,
    which have frames of their own before Python 3.12. `in_app` is what version 1 of the fingerprint took for `owner`.
    """

    file: str
    line: int
    module: str
    function: str
    source: str
    in_app: bool
    owner: Owner
    place: str


class Stacks:
    """Frames by position, of which the last few thousand are remembered."""

    def __init__(self, in_app: tuple[str, ...] = ()) -> None:
        self._in_app = in_app
        self._ownership = Ownership(in_app)
        # By the code's id, which cannot be another's while the code is held here; hashing a code object is slow.
        self._known: dict[tuple[int, int], tuple[CodeType, Frame]] = {}

    def frames(self, exc: CapturedException) -> list[Frame]:
        """Return the frames of one exception, outermost first."""
        return [self._frame(position) for position in exc.positions]

    def trace(self, captured: Captured) -> str | None:
        """Return the stack trace of a chain, the first cause on top; None if nothing has a stack."""
        if not any(exc.positions or exc.members for exc in captured.chain):
            return None
        parts: list[str] = []
        for exc in reversed(captured.chain):
            parts += self._lines(exc, "")
            parts.append(_RELATIONS.get(exc.relation, ""))
        text = "".join(parts)
        if len(text) > LONGEST_TRACE:
            text = f"{text[: LONGEST_TRACE // 3]}\n  ...\n{text[-LONGEST_TRACE * 2 // 3 :]}"
        return text

    def _lines(self, exc: CapturedException, indent: str) -> Iterator[str]:
        if exc.positions:
            yield f"{indent}Traceback (most recent call last):\n"
        for frame in self.frames(exc):
            yield f'{indent}  File "{frame.file}", line {frame.line}, in {frame.function}\n'
            if frame.source:
                yield f"{indent}    {frame.source}\n"
        name = exc.name if exc.module in ("builtins", "") else f"{exc.module}.{exc.name}"
        yield f"{indent}{name}: {exc.message}\n" if exc.message else f"{indent}{name}\n"
        for number, member in enumerate(exc.members, 1):
            yield f"{indent}  +---------------- {number} ----------------\n"
            yield from self._lines(member, f"{indent}  | ")
        if exc.others:
            yield f"{indent}  +---------------- and {exc.others} more\n"

    def _frame(self, position: Position) -> Frame:
        code, instruction, name = position
        module = name if type(name) is str else ""
        key = (id(code), instruction)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= 4096:
                self._known.clear()
            known = self._known[key] = (code, self._resolve(code, instruction, module))
        return known[1]

    def _resolve(self, code: CodeType, instruction: int, module: str) -> Frame:
        file, line = code.co_filename, _line_of(code, instruction)
        source = linecache.getline(file, line).strip()[:_LONGEST_LINE]
        place = f"{module_name(module, file)}:{_function(code.co_qualname)}"
        in_app, owner = self._is_in_app(file, module), self._ownership.owner(file, module)
        return Frame(file, line, module, code.co_qualname, source, in_app, owner, place)

    def _is_in_app(self, file: str, module: str) -> bool:
        if self._in_app:
            return any(module == prefix or module.startswith(f"{prefix}.") for prefix in self._in_app)
        if file.startswith("<"):
            return module == "__main__"
        return not is_library(file)


_SCOPES = re.compile(r"(?:\.?<locals>)?\.?<(?:list|set|dict)comp>|\.?<locals>|(?:\.<locals>)?\.<genexpr>\Z")


def _function(name: str) -> str:
    """Return a function's qualified name without its scopes: `f.<locals>.<listcomp>.<lambda>` is `f.<lambda>`."""
    return _SCOPES.sub("", name).lstrip(".") or "<module>"


def _line_of(code: CodeType, instruction: int) -> int:
    for start, end, line in code.co_lines():
        if start <= instruction < end and line is not None:
            return line
    return code.co_firstlineno
