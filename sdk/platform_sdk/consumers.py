"""Names of consumers: on whose behalf a request is served, by the option `consumer`; keys become digests."""

import re
from base64 import b64decode
from binascii import Error
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

from platform_sdk.actor import plain_id
from platform_sdk.diagnostics import note

if TYPE_CHECKING:
    from platform_sdk.options import Consumer

_NAMING = re.compile(r"consumer|customer|client|tenant|organi[sz]ation|account|partner|user|name", re.IGNORECASE)
_SECRET = re.compile(r"key|token|secret|passw|auth|cookie|session|credential|signature|jwt", re.IGNORECASE)


def named(value: object) -> str | None:
    """Return a consumer's name: a text, a number, a UUID; None for nothing, and for any other object."""
    found = plain_id(value)
    return None if found is None else str(found).strip() or None


@lru_cache(maxsize=1024)
def digest(key: str) -> str:
    """Return what a key is called where anyone may read it."""
    return f"key-{blake2b(key.encode('utf-8', 'replace'), digest_size=5).hexdigest()}"


def of_header(name: str, value: str | None) -> str | None:
    """Return the consumer that a header names: its value where its name says that it is a name, or else a digest.

    Of a user with a password only the user is read.
    """
    if not value or not (value := value.strip()):
        return None
    if _NAMING.search(name) and not _SECRET.search(name):
        return named(value)
    scheme, _, credentials = value.partition(" ")
    if name.lower() == "authorization" and credentials:
        value = _user_of(credentials) if scheme.lower() == "basic" else credentials.strip()
    return digest(value) if value else None


def _user_of(credentials: str) -> str | None:
    try:
        return b64decode(credentials, validate=True).decode("utf-8", "replace").partition(":")[0]
    except Error:
        return None


def found(
    option: "Consumer", header: Callable[[str], str | None], headers: Callable[[], Mapping[str, str]]
) -> str | None:
    """Return the consumer of a request by the option, given what looks one header up, or all. Never raises."""
    try:
        if isinstance(option, str):
            return of_header(option, header(option.lower()))
        return named(option(headers()))
    except Exception as error:  # noqa: BLE001 - the application's code, called by us
        note("consumer", error)
        return None


def headers_of(environ: Mapping[str, object]) -> dict[str, str]:
    """Return the headers of a WSGI environ, or of Django's META."""
    return {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if isinstance(value, str) and (name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH"))
    }


def header_of(environ: Mapping[str, object], name: str) -> str | None:
    """Return one header of a WSGI environ, or of Django's META."""
    value = environ.get(f"HTTP_{name.upper().replace('-', '_')}")
    return value if isinstance(value, str) else None
