"""The simulated apps' code, with one bug in each function that `faults` uses, so that errors have stack traces.

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
    charge({"number": 10_000 + number % 9_000, "total": 19.9 + number % 80})


def charge(order: dict[str, Any]) -> None:
    raise PaymentDeclinedError(
        f"payment of {order['total']:.2f} for order {order['number']} was declined: insufficient funds"
    )


def price_in_currency(number: int) -> None:
    convert(10.0, ("CHF", "SEK")[number % 2], {"EUR": 1.0, "USD": 1.16})  # too few currencies


def convert(price: float, currency: str, rates: dict[str, float]) -> float:
    return price * rates[currency]


def sales_report(number: int) -> float:
    day = {"orders": number % 7, "visitors": 0}
    return day["orders"] / day["visitors"]


def read_stock(number: int) -> object:
    answer = f"<html><!-- {number} --></html>"  # while the warehouse is closed
    return json.loads(answer)


def cart(number: int) -> None:
    raise OutOfStockError(f"product-{number % 300} is not in stock")


def show_profile(number: int) -> str:
    profiles: dict[int, Any] = {}
    return greeting(profiles.get(number))


def greeting(profile: Any) -> str:
    return f"Hello {profile.first_name}"


def search(number: int) -> None:
    try:
        ask_index(number)
    except OSError as error:
        raise TimeoutError("search did not answer within 2 s") from error


def ask_index(number: int) -> None:
    raise ConnectionResetError(104, f"connection reset by peer (query {number % 10_000})")


def scrape_news(number: int) -> str:
    page = {"body": f"article {number}"}  # the headline has moved
    if "h1" not in page:
        raise LayoutError("no element matches 'h1.headline'")
    return page["h1"]


def scrape_prices(number: int) -> float:
    text = ("on request", "sold out", "n/a")[number % 3]
    return float(text.replace(",", "."))


def scrape_papers(number: int) -> str:
    title = bytes([0xC3, 0x28 + number % 8])  # not UTF-8
    return title.decode("utf-8")


def fetch_news(number: int) -> None:
    raise BlockedError(f"403 Forbidden: https://news.example/article/{number % 100_000}")


def store_items(number: int) -> int:
    items, announced = [number], 2
    return items[announced - 1]
