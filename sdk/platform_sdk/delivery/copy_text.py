"""Values converted to PostgreSQL's COPY text format, whatever they are. For the writer thread.

What can be corrected is: NUL bytes, lone surrogates, texts too long, numbers out of range, invalid addresses. NULL is
\\N. https://www.postgresql.org/docs/current/sql-copy.html, "Text Format".
"""

import ipaddress
import json
import math
from collections.abc import Callable
from time import gmtime, strftime
from typing import Any

from platform_sdk.capture.context import plain_text

NULL = "\\N"

Converter = Callable[[Any], str]

_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\ufffd"})


class UnwritableError(Exception):
    """Raised when a required value is missing or of a wrong type."""


def escaped(text: str) -> str:
    """Return any text as one field."""
    # Most texts need nothing: this check takes some tens of nanoseconds. Surrogates and NUL are not printable.
    if text.isprintable() and "\\" not in text:
        return text
    return text.translate(_ESCAPES).encode("utf-8", "replace").decode()


def text_of(longest: int, otherwise: str = NULL) -> Converter:
    """Return the converter of a text column; `otherwise` is the field for None."""

    def convert(value: Any) -> str:
        if value is None:
            return otherwise
        if type(value) is not str:
            value = plain_text(value)
        if len(value) > longest:
            value = value[:longest]
        return escaped(value)

    return convert


def json_text(value: Any, longest: int) -> str:
    """Return a text as JSON may hold it: jsonb takes neither NUL bytes nor lone surrogates. None is empty."""
    if value is None:
        return ""
    text = value if type(value) is str else plain_text(value)
    return text[:longest].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def integer_of(bits: int, *, required: bool) -> Converter:
    """Return the converter of an integer column of 32 or 64 bits."""
    bound = 2 ** (bits - 1)

    def convert(value: Any) -> str:
        if type(value) is not int and value is not None:
            try:
                value = int(value)
            except (TypeError, ValueError, OverflowError):
                value = None
        if value is None or not -bound <= value < bound:
            return _none(value, required)
        return str(value)

    return convert


def number_of(*, required: bool) -> Converter:
    """Return the converter of a double precision column; NaN and infinities are written as they are."""

    def convert(value: Any) -> str:
        if type(value) is float:
            return repr(value)
        try:
            return NULL if value is None and not required else repr(float(value))
        except (TypeError, ValueError, OverflowError):
            return _none(value, required)

    return convert


def boolean(value: Any) -> str:
    """Return a boolean's field; None is NULL, anything but a boolean or number counts as true."""
    if value is None:
        return NULL
    return "f" if value is False or (isinstance(value, int | float) and value == 0) else "t"


class Moments:
    """The converter of Unix seconds to timestamps in UTC; it remembers the last whole second."""

    def __init__(self) -> None:
        self._second = -1
        self._prefix = ""

    def __call__(self, value: Any) -> str:
        if value is None:
            return NULL
        try:
            second = math.floor(value)
            if second != self._second:
                # Beyond these PostgreSQL and gmtime disagree on years; no event is from there.
                if not 0 <= second < 4_000_000_000:
                    return NULL
                self._second, self._prefix = second, strftime("%Y-%m-%d %H:%M:%S.", gmtime(second))
            return f"{self._prefix}{int((value - second) * 1e6):06d}+00"
        except (TypeError, ValueError, OverflowError):
            return NULL


class Addresses:
    """The converter of client addresses, truncated to /24 (IPv4) or /48 (IPv6); an invalid one is NULL."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def __call__(self, value: Any) -> str:
        if value is None:
            return NULL
        text = value if type(value) is str else plain_text(value)
        known = self._known.get(text)
        if known is None:
            if len(self._known) >= 4096:
                self._known.clear()
            known = _truncated(text)
            if len(text) < 64:
                self._known[text] = known
        return known


def _truncated(text: str) -> str:
    try:
        address = ipaddress.ip_address(text.strip()[:64].split("%")[0])
    except ValueError:
        return NULL
    if address.version == 6 and address.ipv4_mapped:
        address = address.ipv4_mapped
    network = ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False)
    return str(network.network_address)


def document(value: Any) -> str:
    """Return the field of a jsonb column from plain nested values, as `freeze` makes them."""
    if value is None:
        return NULL
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if "\\u0000" in text:  # jsonb does not take it, though JSON can spell it
        text = json.dumps(_without_nul(value), ensure_ascii=False, allow_nan=False)
    return escaped(text)


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return [_without_nul(item) for item in value] if isinstance(value, list) else value


def _none(value: Any, required: bool) -> str:
    if required:
        raise UnwritableError(f"{type(value).__name__} where a number in range was expected")
    return NULL
