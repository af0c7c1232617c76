"""URLs and headers as applications have them: what is malformed costs its meaning, and no event."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yarl

import platform_sdk
from platform_sdk import APIMonitor
from platform_sdk.outgoing import rate_limits
from platform_sdk.outgoing.exchange import begin
from platform_sdk.outgoing.hooks import Rules
from platform_sdk.parsing import size_of, split_url
from tests.sdk.events import Store, difference

Start = Callable[..., None]

MALFORMED = [
    ("//a[b?q=1&token=hunter2", "//a[b", {"q": "1", "token": "********"}),
    ("http://[::1/x?token=hunter2#f", "http://[::1/x", {"token": "********"}),
    ("http://[::g]/x?token=hunter2", "http://[::g]/x", {"token": "********"}),
    ("http://me:hunter2@[::1/x", "http://********@[::1/x", None),
    ("http://example.org:99999/x?token=hunter2", "http://example.org:99999/x", {"token": "********"}),
    ("http://example.org:port/x?token=hunter2", "http://example.org:port/x", {"token": "********"}),
    ("http://exa\0mple.org/x?token=hunter2", "http://exa\ufffdmple.org/x", {"token": "********"}),
    ("http://example.org/\udcff?token=hunter2", "http://example.org/?", {"token": "********"}),
    ("http://ex\u2100mple.org/x?token=hunter2", "http://ex\u2100mple.org/x", {"token": "********"}),
    (b"http://example.org/\xff?token=hunter2", "http://example.org/\ufffd", {"token": "********"}),
    (bytearray(b"http://example.org/x?token=hunter2"), "http://example.org/x", {"token": "********"}),
    (yarl.URL("http://example.org/x?token=hunter2"), "http://example.org/x", {"token": "********"}),
    (httpx.URL("http://example.org/x?token=hunter2"), "http://example.org/x", {"token": "********"}),
    (urlsplit("http://example.org/x?token=hunter2"), "http://example.org/x", {"token": "********"}),
    ("/x#frag?token=hunter2", "/x", None),
]  # fmt: skip


@pytest.mark.parametrize("way", ["monitor", "usage"])
@pytest.mark.parametrize(("url", "endpoint", "query"), MALFORMED)
def test_endpoints_are_stored(store: Store, start: Start, url: Any, endpoint: str, query: Any, way: str) -> None:
    """Whatever a URL is made of, the call is recorded, its endpoint as text and its query redacted."""
    start()
    if way == "monitor":
        with APIMonitor("arxiv", url):
            pass
    else:
        platform_sdk.log_api_usage("arxiv", url)
    assert platform_sdk.flush(60)

    assert store.rows("endpoint, query", "api_call") == [(endpoint, query)]
    assert difference() == 0


class Broken:
    """An object of a library's whose text cannot be made."""

    def __str__(self) -> str:
        raise ValueError


class BrokenUrl(Broken):
    """One that looks like a URL."""


@pytest.mark.parametrize("url", [Broken(), BrokenUrl(), 7, ("a", "b"), object])
def test_what_is_no_url(store: Store, start: Start, url: Any) -> None:
    """It costs the endpoint at most."""
    start()
    platform_sdk.log_api_usage("arxiv", url)
    assert platform_sdk.flush(60)

    assert store.count("api_call") == 1
    assert platform_sdk.stats()["dropped"] == {}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://Example.ORG.:8080/x?q=1#f", ("example.org", 8080, "/x", "q=1")),
        (b"http://example.org/x", ("example.org", None, "/x", "")),
        ("http://[::1]:80/x", ("::1", 80, "/x", "")),
        ("//a[b?q=1", ("unknown", None, "", "q=1")),
        ("http://[::1", ("unknown", None, "", "")),
        ("http://me:pw@Example.org:99999/x?q=1", ("example.org", None, "/x", "q=1")),
        ("http://example.org:x/y", ("example.org", None, "/y", "")),
        ("mailto:a@b", ("", None, "a@b", "")),
        (None, ("", None, "", "")),
        (BrokenUrl(), ("", None, "", "")),
    ],
)
def test_parts_of_a_url(url: object, expected: tuple[Any, ...]) -> None:
    """Also of one that urlsplit refuses: its host where it is plain, its path and its query."""
    assert split_url(url) == expected


@pytest.mark.parametrize("url", ["http://[::1/x", "http://example.org:99999/x", b"http://example.org/x", "//a[b?q=1"])
def test_a_hook_records_any_url(start: Start, url: object) -> None:
    """A library that takes such a URL has its call recorded."""
    start()

    assert begin(Rules(), "GET", url) is not None


@pytest.mark.parametrize(
    ("header", "size"),
    [("12", 12), (" 12 ", 12), (b"12", 12), ("", None), (None, None), ("-1", None), ("1.5", None), ("\u00b2", None),
     ("9" * 5000, None), ("12, 12", None), (12, 12)],
)  # fmt: skip
def test_sizes(header: object, size: int | None) -> None:
    """What is not a size is none."""
    assert size_of(header) == size


@pytest.mark.parametrize("number", ["9" * 400, "nan", "inf", "\u0661", "1e999", "-", "\udcff", "\0"])
@pytest.mark.parametrize("header", ["x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit", "retry-after"])
def test_rate_limits_are_finite(header: str, number: str) -> None:
    """A provider's nonsense is not a limit: a row with an infinite number would be rejected."""
    text = f"remaining={number}, reset={number}" if header == "ratelimit" else number

    assert all(value is None or abs(value) < 1e15 for value in rate_limits.read({header: text}))
