"""List what fails on the played platform: a dozen issues, some always there, some new, some mended, some back again."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from exporter.demo import schedule
from exporter.demo.code import harvest, shop
from exporter.demo.platform import HARVEST, SHOP
from exporter.demo.schedule import DAY
from platform_sdk import emit

IN_APP = ("exporter.demo.code",)
"""What the SDK is to take for the apps' own code."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Describe an issue: what fails, how often, and when; days are counted back from the end of the past.

    It occurs from `first_days` on, and no more after `last_days`, but again from `again_days` on. With an `incident`
    it occurs `burst_per_second` while that is on, if it is not resolved. `status` is what people made of it
    `status_days` ago.
    """

    app: str
    fails: Callable[[int], None]
    endpoint: str
    severity: str
    per_day: float
    first_days: float = 60.0
    last_days: float = 0.0
    again_days: float = 0.0
    incident: str = ""
    burst_per_second: float = 0.1
    status: str = "open"
    status_days: float = 0.0

    def per_second(self, at: float, now: float, active: frozenset[str]) -> float:
        """Return how often it occurs; `now` is where the days are counted back from."""
        ago = (now - at) / DAY
        if ago > self.first_days:
            return 0.0
        mended = self.status == "resolved" and 0 < ago < self.status_days
        burst = self.burst_per_second if self.incident in active and not mended else 0.0
        goes_on = ago >= self.last_days or ago < self.again_days
        return self.per_day / DAY * goes_on + burst


TROUBLES = (
    Trouble(SHOP, shop.checkout, "/checkout/", "medium", 60, incident=schedule.API_FAILING),
    Trouble(SHOP, shop.cart, "/cart/", "low", 90),
    Trouble(SHOP, shop.search, "/search/", "high", 14, incident=schedule.SLOW, burst_per_second=0.08),
    # Comes with a bad release only; where the live part begins it is new.
    Trouble(SHOP, shop.price_in_currency, "/products/", "critical", 0, first_days=0, incident=schedule.RELEASE),
    Trouble(SHOP, shop.sales_report, "/reports/sales/", "high", 10, first_days=1.5),
    Trouble(SHOP, shop.read_stock, "/api/v1/stock/<int:product>/", "medium", 20, last_days=2.5, status="resolved",
            status_days=2.4),
    # Resolved, and back: once in the past, and once while somebody watches.
    Trouble(SHOP, shop.show_profile, "/accounts/orders/<int:order>/", "high", 12, last_days=3, again_days=0.8,
            status="resolved", status_days=2.9),
    Trouble(HARVEST, harvest.scrape_news, "news", "high", 25, last_days=1.6, incident=schedule.RELEASE,
            burst_per_second=0.03, status="resolved", status_days=1.5),
    Trouble(HARVEST, harvest.scrape_prices, "prices", "medium", 40),
    Trouble(HARVEST, harvest.scrape_papers, "papers", "low", 15, status="ignored", status_days=4),
    Trouble(HARVEST, harvest.fetch_news, "news", "medium", 4, incident=schedule.BAN),
    Trouble(HARVEST, harvest.store_items, "papers", "critical", 20, first_days=0.4),
)  # fmt: skip


def occur(trouble: Trouble, chance: Random, user_id: str | None, agent: str | None, ip: str | None) -> None:
    """Let it fail, and have the SDK record that."""
    try:
        trouble.fails(chance.randrange(100_000))
    except Exception as error:  # noqa: BLE001 - whatever it raises is the point
        emit.exception(
            error, severity=trouble.severity, endpoint=trouble.endpoint, user_id=user_id, ip=ip, user_agent=agent,
            context={"demo": True},
        )  # fmt: skip
