"""Proxies that scrapers go through: who provides them, and what requests through them cost.

    platform_sdk.init(proxy_providers={"acme": {"hosts": ["*.acme.example"], "request": 0.0005, "gigabyte": 4.2}})

A provider has the hosts of its proxies, as HOST, HOST:PORT or *.DOMAIN, and may have prices: of a `request`, of a
`page` (a response below 400 that nothing blocked), and of a `gigabyte` (1e9 bytes received). Only host and port of a
proxy's address are looked at: its user and password go nowhere.
"""

from platform_sdk import client
from platform_sdk.diagnostics import note
from platform_sdk.options import Options
from platform_sdk.outgoing.hooks import Rules
from platform_sdk.parsing import split_url, url_text

OTHER = "other"
"""The provider of a proxy that is nobody's of the option."""

_names: tuple[Options, Rules] | None = None


def provider_of(proxy: object) -> str | None:
    """Return who provides a proxy, by its address in whatever form its library has it; None where there is none."""
    try:
        options = client.active_options()
        if not proxy or options is None:
            return None
        address = url_text(proxy) or ""
        to = split_url(address if "//" in address else f"//{address}")
        return _rules(options).api_of(to.host, to.port) or OTHER
    except Exception as error:  # noqa: BLE001 - never into the application
        note("proxies", error)
        return OTHER


def cost_of(provider: str | None, requests: int, pages: int, size_bytes: int) -> float | None:
    """Return what requests through a provider's proxies cost, None where no price is known."""
    options = client.active_options()
    prices = {} if options is None or provider is None else options.proxy_providers.get(provider, {})
    amounts = {"request": requests, "page": pages, "gigabyte": size_bytes / 1e9}
    paid = [amount * prices[name] for name, amount in amounts.items() if name in prices]
    return sum(paid) if paid else None


def _rules(options: Options) -> Rules:
    """Return the names of hosts by these options; made once for them."""
    global _names
    if _names is None or _names[0] is not options:
        hosts = {host: name for name, one in options.proxy_providers.items() for host in one["hosts"]}
        _names = options, Rules(hosts, only_named=True)
    return _names[1]
