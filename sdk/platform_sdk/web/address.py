"""The client's address behind proxies, and its user agent."""

from collections.abc import Mapping
from typing import Any


def address_and_agent(environ: Mapping[str, Any], trusted_proxies: int) -> tuple[str | None, str | None]:
    """Return the client's address and its user agent, by a WSGI environ or Django's META."""
    address = environ.get("REMOTE_ADDR") or None
    if trusted_proxies:
        forwarded_for, forwarded = environ.get("HTTP_X_FORWARDED_FOR"), environ.get("HTTP_FORWARDED")
        address = client_address(address, forwarded_for, forwarded, trusted_proxies)
    return address, environ.get("HTTP_USER_AGENT")


def client_address(
    peer: str | None, forwarded_for: str | None, forwarded: str | None, trusted_proxies: int
) -> str | None:
    """Return the client's address, or the text in its place ("unknown", garbage), which the writer does not store.

    `peer` is the other end of the connection. Each proxy appends its own peer to the right of X-Forwarded-For, so with
    N trusted proxies the Nth entry from the right was written by one of them, and all to the left of it may be forged.
    With fewer entries it is the leftmost. `forwarded` (RFC 7239) is read only without X-Forwarded-For: most proxies
    write that one, and pass on a Forwarded that the client forged.
    """
    if trusted_proxies <= 0:
        return peer or None
    if forwarded_for is not None:
        return _bare(_nth_from_right(forwarded_for, trusted_proxies))
    if forwarded is not None:
        return _bare(_parameter_for(_nth_from_right(forwarded, trusted_proxies)))
    return peer or None


def _nth_from_right(entries: str, number: int) -> str:
    # Split from the right: an unbalanced quote or a million commas that a client put further left do no harm.
    parts = entries.rsplit(",", number)
    return parts[-number] if len(parts) >= number else parts[0]


def _parameter_for(element: str) -> str:
    """Return the value of `for` in an element of Forwarded, e.g. for="[2001:db8::1]:4711";proto=https."""
    for pair in element.split(";"):
        name, _, value = pair.partition("=")
        if name.strip().lower() == "for":
            return value.strip().strip('"')
    return ""


def _bare(address: str) -> str | None:
    """Return an address without its port and brackets."""
    address = address.strip()[:64]
    if address.startswith("["):
        address = address[1:].partition("]")[0]
    elif address.count(":") == 1:
        address = address.partition(":")[0]
    return address or None
