"""Responses of any HTTP library as the pages that blocks are recognised by."""

import zlib
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from platform_sdk.outgoing.blocks import START_BYTES, Page, headers_of
from platform_sdk.outgoing.gen_ai import decoder_of
from platform_sdk.outgoing.outcomes import status_of
from platform_sdk.parsing import split_url

_PART_BYTES = 512
"""How much is decoded at a time where a decoder has no bound of its own: it may become a thousand times as long."""


def page_of(response: object, url: object = None, size_bytes: int | None = None) -> tuple[str, Page]:
    """Return the host and the page of a response of requests, httpx or aiohttp, or of a status (0: none came).

    Of a body only what the library has already read for the application is looked at.
    """
    to = split_url(getattr(response, "url", None) if url is None else url)
    if response is None or isinstance(response, int):
        return to.host, Page("GET", to.path, int(response or 0), {}, None, size_bytes)
    body = loaded_body(response)
    headers = getattr(response, "headers", None)
    request = getattr(response, "request", None) or getattr(response, "request_info", None)
    return to.host, Page(
        str(getattr(request, "method", None) or "GET"), to.path, status_of(response) or 0,
        headers_of(headers.items()) if isinstance(headers, Mapping) else {},
        None if body is None else body[:START_BYTES], size_bytes if body is None else len(body),
    )  # fmt: skip


def elapsed_seconds(response: object) -> float:
    """Return how long a response of requests or httpx took, 0 where that is not known."""
    try:
        elapsed = getattr(response, "elapsed", None)
    except RuntimeError:  # httpx's, of one that is not read
        return 0.0
    return elapsed.total_seconds() if isinstance(elapsed, timedelta) else 0.0


def loaded_body(response: object) -> bytes | None:
    """Return the body that the library holds in memory; reading it any other way might consume or wait."""
    for name in ("_content", "_body"):  # of requests and httpx; of aiohttp
        body = getattr(response, name, None)
        if isinstance(body, bytes):
            return body
    return None


def decoded(body: bytes, encoding: str, most: int = START_BYTES) -> bytes | None:
    """Return the beginning of a compressed body, None where that cannot be read. Raises its library's errors."""
    if not encoding or encoding == "identity":
        return body[:most]
    if encoding in ("gzip", "x-gzip", "deflate"):
        raw = encoding == "deflate" and body[:1] != b"\x78"
        return zlib.decompressobj(-zlib.MAX_WBITS if raw else zlib.MAX_WBITS | 32).decompress(body, most)
    if (decode := decoder_of(encoding)) is None:
        return None
    start = b""
    for place in range(0, len(body), _PART_BYTES):
        start += decode(body[place : place + _PART_BYTES])
        if len(start) >= most:
            break
    return start[:most]


def pairs(headers: Iterable[tuple[bytes, list[bytes]]]) -> Iterable[tuple[Any, Any]]:
    """Return names and values of Scrapy's headers."""
    return ((name, values[-1]) for name, values in headers if values)
