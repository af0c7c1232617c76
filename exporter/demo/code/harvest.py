"""Be the scrapers' code, bugs included. Nothing but the demo calls it, and only to see it fail."""

from typing import Any


class LayoutError(Exception):
    """Say that a page does not look as it used to."""


class BlockedError(Exception):
    """Say that a site answers with a captcha."""


def scrape_news(chance: int) -> None:
    """Read an article whose headline is no longer where it was."""
    headline({"body": f"article {chance}"})


def headline(page: dict[str, str]) -> str:
    """Return an article's headline."""
    if "h1" not in page:
        raise LayoutError("no element matches 'h1.headline'")
    return page["h1"]


def scrape_prices(chance: int) -> None:
    """Read a price that is no number."""
    price(("on request", "sold out", "n/a")[chance % 3])


def price(text: str) -> float:
    """Return a price from a page's text."""
    return float(text.replace(",", "."))


def scrape_papers(chance: int) -> None:
    """Decode a title in an encoding that its page does not tell."""
    title(bytes([0xC3, 0x28 + chance % 8]))


def title(raw: bytes) -> str:
    """Return a paper's title."""
    return raw.decode("utf-8")


def fetch_news(chance: int) -> None:
    """Fetch a page from a site that has had enough of us."""
    fetch(f"https://news.example/article/{chance % 100_000}")


def fetch(url: str) -> None:
    """Fetch a page."""
    raise BlockedError(f"403 Forbidden: {url}")


def store_items(chance: int) -> None:
    """Store items into a list that is shorter than it was announced to be."""
    items: list[Any] = [chance]
    last_of(items, 2)


def last_of(items: list[Any], announced: int) -> Any:
    """Return the last item."""
    return items[announced - 1]
