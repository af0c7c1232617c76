"""The simulated apps' code, with one bug in each public function, so that errors have stack traces.

Only the demo calls it, with a random number.
"""

import json
from typing import Any


class PaymentDeclinedError(Exception):
    """Raised when the provider refuses a payment."""


class OutOfStockError(Exception):
    """Raised when a product in a cart cannot be delivered."""


class LayoutError(Exception):
    """Raised when a page does not look as it used to."""


class BlockedError(Exception):
    """Raised when a site answers with a captcha."""


def checkout(number: int) -> None:
    """Place an order whose payment is declined."""
    place_order({"number": 10_000 + number % 9_000, "total": 19.9 + number % 80})


def place_order(order: dict[str, Any]) -> None:
    charge(order["number"], order["total"])


def charge(order: int, total: float) -> None:
    raise PaymentDeclinedError(f"payment of {total:.2f} for order {order} was declined: insufficient funds")


def price_in_currency(number: int) -> None:
    """Show a price in the visitor's currency, of which the new release knows too few."""
    convert(10.0, ("CHF", "SEK")[number % 2], {"EUR": 1.0, "USD": 1.16})


def convert(price: float, currency: str, rates: dict[str, float]) -> float:
    return price * rates[currency]


def sales_report(number: int) -> None:
    """Divide by the visitors of a day that had none."""
    average_order({"orders": number % 7, "visitors": 0})


def average_order(day: dict[str, int]) -> float:
    return day["orders"] / day["visitors"]


def read_stock(number: int) -> None:
    """Parse the warehouse's answer, which is HTML while it is closed."""
    parse_stock(f"<html><!-- {number} --></html>")


def parse_stock(answer: str) -> object:
    return json.loads(answer)


def cart(number: int) -> None:
    """Show a cart with a product that is sold out."""
    reserve(f"product-{number % 300}")


def reserve(product: str) -> None:
    raise OutOfStockError(f"{product} is not in stock")


def show_profile(number: int) -> None:
    """Greet a user who has no profile."""
    profiles: dict[int, Any] = {}
    greeting(profiles.get(number))


def greeting(profile: Any) -> str:
    return f"Hello {profile.first_name}"


def search(number: int) -> None:
    """Wait too long for the search engine."""
    try:
        ask_index(number)
    except OSError as error:
        raise TimeoutError("search did not answer within 2 s") from error


def ask_index(number: int) -> None:
    raise ConnectionResetError(104, f"connection reset by peer (query {number % 10_000})")


def scrape_news(number: int) -> None:
    """Read an article whose headline has moved."""
    headline({"body": f"article {number}"})


def headline(page: dict[str, str]) -> str:
    if "h1" not in page:
        raise LayoutError("no element matches 'h1.headline'")
    return page["h1"]


def scrape_prices(number: int) -> None:
    """Read a price that is not a number."""
    price(("on request", "sold out", "n/a")[number % 3])


def price(text: str) -> float:
    return float(text.replace(",", "."))


def scrape_papers(number: int) -> None:
    """Decode a title that is not UTF-8."""
    title(bytes([0xC3, 0x28 + number % 8]))


def title(raw: bytes) -> str:
    return raw.decode("utf-8")


def fetch_news(number: int) -> None:
    """Fetch a page from a site that has blocked the scraper."""
    fetch(f"https://news.example/article/{number % 100_000}")


def fetch(url: str) -> None:
    raise BlockedError(f"403 Forbidden: {url}")


def store_items(number: int) -> None:
    """Read past the end of a list that is shorter than announced."""
    last_of([number], 2)


def last_of(items: list[Any], announced: int) -> Any:
    return items[announced - 1]
