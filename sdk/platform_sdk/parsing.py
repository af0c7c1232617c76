"""Read URLs and headers as they come. Nothing here raises: what is malformed costs its meaning, and no event."""

from typing import NamedTuple
from urllib.parse import urlsplit

UNKNOWN = "unknown"
"""The host of a URL that is too malformed to say."""

_LONGEST = 20_000  # characters of a URL that are looked at


class Url(NamedTuple):
    """A URL's parts; `host` is empty where there is none, `port` None where it is not given."""

    host: str
    port: int | None
    path: str
    query: str


def url_text(url: object) -> str | None:
    """Return the text of a URL: of bytes, of an object of any library's class; None for what is not a URL."""
    try:
        if isinstance(url, str):
            return str(url)
        if isinstance(url, bytes | bytearray):
            return url.decode("utf-8", "replace")
        if callable(joined := getattr(url, "geturl", None)):  # urllib's own results
            return str(joined())
        # By name, as no library is imported for it: yarl.URL, httpx.URL, urllib3's Url, pydantic's AnyUrl ...
        return str(url) if any("url" in kind.__name__.lower() for kind in type(url).__mro__) else None
    except Exception:  # noqa: BLE001 - code of another library
        return None


def split_url(url: object) -> Url:
    """Return the parts of a URL, also of one that `urlsplit` refuses: no bracket closed, a port out of range."""
    text = (url_text(url) or "")[:_LONGEST]
    try:
        parts = urlsplit(text)
        return Url((parts.hostname or "").rstrip("."), parts.port, parts.path, parts.query)
    except ValueError:
        return _split_malformed(text)


def split_query(url: str) -> tuple[str, str]:
    """Return what stands before a URL's query, and the query; the fragment is left out."""
    before, _, query = url.partition("#")[0].partition("?")
    return before, query


def _split_malformed(text: str) -> Url:
    before, query = split_query(text)
    _, slashes, rest = before.partition("//")
    authority, slash, path = (rest if slashes else before).partition("/")
    host, _, _ = authority.rpartition("@")[2].partition(":")
    plain = host.replace("-", "").replace(".", "").isalnum()
    return Url(host.lower().rstrip(".") if slashes and plain else UNKNOWN, None, slash + path, query)


def size_of(header: object) -> int | None:
    """Return the number in a Content-Length, None where it is not a size."""
    text = header.decode("latin-1") if isinstance(header, bytes) else str(header)
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
