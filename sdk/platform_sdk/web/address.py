"""Tell a client's address behind proxies, believing only those that are the application's own."""


def client_address(
    peer: str | None, forwarded_for: str | None, forwarded: str | None, trusted_proxies: int
) -> str | None:
    """Return the client's address, or whatever stands in its place: "unknown", garbage; the writer stores no such.

    `peer` is who is connected. Every proxy appends to the right of X-Forwarded-For whom it was connected to, so with N
    trusted proxies the Nth entry from the right was written by one of them, and all to the left of it may be made up.
    Where there are fewer entries, it is the leftmost. `forwarded` (RFC 7239) is read only where there is no
    X-Forwarded-For: most proxies write that one, and let a Forwarded that the client made up pass.
    """
    if trusted_proxies <= 0:
        return peer or None
    if forwarded_for is not None:
        return _bare(_nth_from_right(forwarded_for, trusted_proxies))
    if forwarded is not None:
        return _bare(_parameter_for(_nth_from_right(forwarded, trusted_proxies)))
    return peer or None


def _nth_from_right(entries: str, number: int) -> str:
    # Split from the right: an unbalanced quote or a million commas further left, made up by a client, do no harm.
    parts = entries.rsplit(",", number)
    return parts[-number] if len(parts) >= number else parts[0]


def _parameter_for(element: str) -> str:
    """Return what `for` is in an element of Forwarded: for="[2001:db8::1]:4711";proto=https."""
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
