"""Version 1 of the fingerprint, which issues from before version 2 have. It never changes.

Of each exception in the chain, and of each member of a group, its type and its frames: the application's own where
there are any, as module and function, without line numbers, a repeated one (a recursion) once; then the source line
that failed, without surrounding blanks. Where there is no stack, the message with what varies in it left out. A type
that the application named itself comes first.
"""

import hashlib
import re
from collections.abc import Iterator

from platform_sdk.capture.exceptions import Captured, CapturedException
from platform_sdk.capture.stacktrace import Stacks

_CHAIN, _MEMBERS = 8, 8

_VARYING = re.compile(
    r"(?P<uuid>\b[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\b)"
    r"|(?P<url>\b[a-z][a-z0-9+.-]*://\S+)"
    r"|(?P<mail>[\w.+-]+@[\w-]+\.[\w.-]+)"
    r"|(?P<time>\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?)"
    r"|(?P<address>\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b)"
    r"|(?P<quoted>\"[^\"\n]*\"|'[^'\n]*')"
    r"|(?P<hex>\b0x[0-9a-f]+\b|\b(?=[a-f]*\d)[0-9a-f]{8,}\b)"
    r"|(?P<number>[-+]?\d+(?:[.,]\d+)*)",
    re.IGNORECASE,
)


def fingerprint(captured: Captured, stacks: Stacks) -> str:
    """Return "v1:" and 16 hexadecimal digits."""
    chain = captured.chain[:_CHAIN]
    parts = [part for exc in chain for part in _parts(exc, stacks)]
    if captured.error_type is not captured.chain[0].name:
        parts.insert(0, f"{captured.error_type}")
    if not any(exc.positions or exc.members for exc in chain):
        parts += [_normalised(exc.message) for exc in chain]
    digest = hashlib.blake2b("\x1f".join(parts).encode("utf-8", "replace"), digest_size=8)
    return f"v1:{digest.hexdigest()}"


def _normalised(message: str) -> str:
    return _VARYING.sub(lambda match: f"<{match.lastgroup}>", message[:1000]).strip()


def _parts(exc: CapturedException, stacks: Stacks) -> Iterator[str]:
    yield f"{exc.module}.{exc.name}"
    frames = stacks.frames(exc)
    own = [frame for frame in frames if frame.in_app] or frames
    previous: tuple[str, str] | None = None
    for frame in own:
        place = (frame.module, frame.function)
        if place != previous:
            yield f"{frame.module}:{frame.function}"
        previous = place
    if own:
        yield " ".join(own[-1].source.split())
    yield from sorted({"(" + "\x1e".join(_parts(member, stacks)) + ")" for member in exc.members[:_MEMBERS]})
