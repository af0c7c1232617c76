"""Be the shop's code, bugs included. Nothing but the demo calls it, and only to see it fail."""

import json
from typing import Any


class PaymentDeclinedError(Exception):
    """Say that the provider refused a payment."""


class OutOfStockError(Exception):
    """Say that a product that is in a cart cannot be delivered."""


def checkout(chance: int) -> None:
    """Place an order whose payment is declined."""
    order = {"number": 10_000 + chance % 9_000, "total": 19.9 + chance % 80}
    place_order(order)


def place_order(order: dict[str, Any]) -> None:
    """Charge, then confirm."""
    charge(order["number"], order["total"])


def charge(number: int, total: float) -> None:
    """Have the provider take the money."""
    raise PaymentDeclinedError(f"payment of {total:.2f} for order {number} was declined: insufficient funds")


def price_in_currency(chance: int) -> None:
    """Show a price in the visitor's currency; the new release knows fewer of them."""
    rates = {"EUR": 1.0, "USD": 1.16}
    convert(10.0, ("CHF", "SEK")[chance % 2], rates)


def convert(price: float, currency: str, rates: dict[str, float]) -> float:
    """Return a price in another currency."""
    return price * rates[currency]


def sales_report(chance: int) -> None:
    """Divide by the visitors of a day that had none."""
    average_order({"orders": chance % 7, "visitors": 0})


def average_order(day: dict[str, int]) -> float:
    """Return orders per visitor."""
    return day["orders"] / day["visitors"]


def read_stock(chance: int) -> None:
    """Read the warehouse's answer, which is a page of HTML when it is closed."""
    parse_stock(f"<html><!-- {chance} --></html>")


def parse_stock(answer: str) -> object:
    """Return the stock from the warehouse's JSON."""
    return json.loads(answer)


def cart(chance: int) -> None:
    """Show a cart with something in it that is gone."""
    reserve(f"product-{chance % 300}")


def reserve(product: str) -> None:
    """Put a product aside."""
    raise OutOfStockError(f"{product} is not in stock")


def show_profile(chance: int) -> None:
    """Greet a user whose profile was never made."""
    profiles: dict[int, Any] = {}
    greeting(profiles.get(chance))


def greeting(profile: Any) -> str:
    """Return how a user is greeted."""
    return f"Hello {profile.first_name}"


def search(chance: int) -> None:
    """Wait for the search engine for longer than it is allowed to take."""
    try:
        ask_index(chance)
    except OSError as error:
        raise TimeoutError("search did not answer within 2 s") from error


def ask_index(chance: int) -> None:
    """Send a query to the search engine."""
    raise ConnectionResetError(104, f"connection reset by peer (query {chance % 10_000})")
