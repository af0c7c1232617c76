"""Whose address a request came from, behind proxies that may be believed and before clients that may not."""

import pytest

from platform_sdk.web.address import client_address

PEER = "10.0.0.2"


@pytest.mark.parametrize(
    ("forwarded_for", "trusted", "expected"),
    [
        (None, 0, PEER),
        ("6.6.6.6", 0, PEER),
        (None, 1, PEER),
        ("203.0.113.9", 1, "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9", 1, "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9, 10.0.0.1", 2, "203.0.113.9"),
        ("203.0.113.9,10.0.0.1", 2, "203.0.113.9"),
        ("203.0.113.9", 2, "203.0.113.9"),
        ("a,b,c,203.0.113.9,10.0.0.1,10.0.0.3", 3, "203.0.113.9"),
        ("203.0.113.9:4711", 1, "203.0.113.9"),
        ("2001:db8::1", 1, "2001:db8::1"),
        ("[2001:db8::1]", 1, "2001:db8::1"),
        ("[2001:db8::1]:4711", 1, "2001:db8::1"),
        ("unknown", 1, "unknown"),
        ("", 1, None),
        (" , ", 1, None),
        ("6.6.6.6,", 1, None),
        ("x" * 100_000, 1, "x" * 64),
        ("," * 100_000 + "203.0.113.9", 1, "203.0.113.9"),
    ],
)
def test_x_forwarded_for(forwarded_for: str | None, trusted: int, expected: str | None) -> None:
    """The Nth entry from the right, N being the trusted proxies; what is left of it may be made up."""
    assert client_address(PEER, forwarded_for, None, trusted) == expected


@pytest.mark.parametrize(
    ("forwarded", "trusted", "expected"),
    [
        ("for=203.0.113.9", 0, PEER),
        ("for=203.0.113.9", 1, "203.0.113.9"),
        ("for=6.6.6.6, for=203.0.113.9;proto=https;by=10.0.0.1", 1, "203.0.113.9"),
        ('For="[2001:db8::1]:4711"', 1, "2001:db8::1"),
        ('proto=https; FOR="203.0.113.9:80"', 1, "203.0.113.9"),
        ("for=203.0.113.9, for=10.0.0.1", 2, "203.0.113.9"),
        ('for="6.6.6.6, for=203.0.113.9', 1, "203.0.113.9"),
        ("for=_hidden", 1, "_hidden"),
        ("proto=https", 1, None),
        ("", 1, None),
    ],
)
def test_forwarded(forwarded: str, trusted: int, expected: str | None) -> None:
    """RFC 7239 is understood, quotes, ports, brackets and all."""
    assert client_address(PEER, None, forwarded, trusted) == expected


def test_x_forwarded_for_wins() -> None:
    """A Forwarded that a client made up passes through most proxies."""
    assert client_address(PEER, "203.0.113.9", "for=6.6.6.6", 1) == "203.0.113.9"


@pytest.mark.parametrize("trusted", [0, 1])
def test_no_peer(trusted: int) -> None:
    """Behind a Unix socket there is none."""
    assert client_address("", None, None, trusted) is None
