"""Building blocks of the configuration's sections: the base class, secrets, paths, and checks that several share."""

import hmac
import re
from collections.abc import Iterator
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated, NamedTuple
from urllib.parse import SplitResult, urlsplit

from msgspec import Meta, Struct

from exporter.errors import UnreadableError
from exporter.files import AUTHORITY_BYTES, read_text

Ratio = Annotated[float, Meta(gt=0, le=1)]
Name = Annotated[str, Meta(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9_.:-]+$")]


class Problem(NamedTuple):
    """What is wrong with a section: the key, what is expected of it, and its value unless that may hold a secret."""

    key: str
    expected: str
    value: object = None


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base class of every section: immutable, and an unknown key is an error."""

    def problems(self) -> Iterator[Problem]:
        """Yield what is wrong across keys, or cannot be said by a type."""
        yield from ()


class FilePath(str):
    """A file or folder; a relative path starts at the configuration's folder."""

    __slots__ = ()


class Secret:
    """A value that must never be printed: `repr`, `str` and formatting show asterisks."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value itself; call it only where a connection is made."""
        return self._value

    def equals(self, given: bytes) -> bool:
        """Compare with what a client sent, in constant time."""
        return hmac.compare_digest(given, self._value.encode("utf-8"))

    def __repr__(self) -> str:
        return "Secret(********)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def is_port(text: str) -> bool:
    """Tell whether a text is the number of a port."""
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= 65535


def is_host(text: str) -> bool:
    """Tell whether a text is a name that can be looked up, or an address, of IPv6 in brackets."""
    try:
        if text.startswith("["):
            IPv6Address(text[1:-1])
            return text.endswith("]")
        text.encode("idna")  # as whoever looks it up does
    except ValueError:
        return False
    return text != ""


def duplicates(key: str, names: list[str]) -> Iterator[Problem]:
    """Yield the names that several entries of a list have."""
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Problem(key, "one entry per name (set `name`)", name)


_PLAIN_URL = re.compile(
    r"postgres(?:ql)?://(?:(?P<user>[\w.-]+)(?::(?P<password>[\w.-]+))?@)?(?P<host>[\w.-]+)"
    r"(?::(?P<port>[0-9]+))?(?:/(?P<dbname>[\w.-]+)?)?",
    re.ASCII,
)


def dsn_parts(dsn: Secret) -> dict[str, str]:
    """Return the parts of a DSN by libpq's names, those of its service too. Raises ValueError if libpq cannot read it.

    Plain URLs are read here, anything else by libpq: importing psycopg takes longer than all else of `check-config`.
    """
    if plain := _PLAIN_URL.fullmatch(dsn.reveal()):
        return {name: part for name, part in plain.groupdict().items() if part}
    from psycopg import ProgrammingError

    from platform_sdk import libpq

    try:
        return libpq.parameters(dsn.reveal())
    except ProgrammingError:
        raise ValueError("invalid DSN") from None  # libpq's message quotes it, password and all


def dsn_problems(dsn: Secret) -> Iterator[Problem]:
    """Yield what is wrong with a DSN, without quoting it."""
    try:
        parts = dsn_parts(dsn)
    except ValueError:
        yield Problem("dsn", "postgresql://USER@HOST:PORT/DATABASE or key=value")
        return
    # A password with @ or / in it makes libpq take its end for the host, and show it in every message.
    hosts, ports = parts.get("host", "").split(","), parts.get("port", "").split(",")
    if (
        "@" in parts.get("dbname", "")
        or any("@" in host[1:] for host in hosts)
        or not all(port == "" or is_port(port) for port in ports)
    ):
        yield Problem(
            "dsn",
            "postgresql://USER@HOST:PORT/DATABASE, and in a password %40 for @, %2F for / and %3A for : "
            "(or put it into `password_file`, as it is)",
        )


def authority_problems(ca_file: FilePath | None) -> Iterator[Problem]:
    """Yield that a file of certificates cannot be read, or holds none."""
    if ca_file is None:
        return
    import ssl  # where there is such a file

    try:
        # Comments hold names in any language.
        text = read_text(Path(ca_file), AUTHORITY_BYTES, "replace").encode("ascii", "ignore")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text.decode())
    except (UnreadableError, ssl.SSLError, ValueError):
        yield Problem("ca_file", "a PEM file of certificates that can be read", ca_file)


def sign_in_problems(username: str | None, password: Secret | None, bearer_token: Secret | None) -> Iterator[Problem]:
    """Yield that the ways to sign in to a web server are incomplete, or are two."""
    if (username is None) != (password is None):
        yield Problem("username", "both `username` and `password_file`, or neither", username)
    if bearer_token and username:
        yield Problem("bearer_token", "either `bearer_token_file`, or `username` and `password_file`")


def http_parts(url: str) -> SplitResult | None:
    """Return the parts of an address of http or https with a host, None for anything else."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    host = parts.hostname or ""
    return parts if good and is_host(f"[{host}]" if ":" in host else host) else None
