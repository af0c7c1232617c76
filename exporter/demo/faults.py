"""The faults of the simulated platform: a dozen issues, some permanent, some new, some resolved, some back again."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from exporter.demo import buggy_code, schedule
from exporter.demo.platform import HARVEST, SHOP
from exporter.demo.schedule import DAY
from platform_sdk import emit
from platform_sdk.typing import Severity

IN_APP = (buggy_code.__name__,)
"""The modules that the SDK takes for the apps' own code."""


class Victim(NamedTuple):
    """The user whom an error hits, as far as known."""

    user_id: str | None = None
    user_agent: str | None = None
    ip: str | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """One issue: which code fails, how often, and when. Days are counted back from the end of the past.

    It occurs from `first_days` on, not after `last_days`, but again from `again_days` on. During its `incident`
    it occurs `burst_per_second`, unless it is resolved. `status` is what users set it to, `status_days` ago.
    """

    app: str
    code: Callable[[int], object]
    endpoint: str
    severity: Severity
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
        resolved = self.status == "resolved" and 0 < ago < self.status_days
        burst = self.burst_per_second if self.incident in active and not resolved else 0.0
        occurs = ago >= self.last_days or ago < self.again_days
        return self.per_day / DAY * occurs + burst


FAULTS = (
    Fault(SHOP, buggy_code.checkout, "/checkout/", "medium", 60, incident=schedule.API_FAILING),
    Fault(SHOP, buggy_code.cart, "/cart/", "low", 90),
    Fault(SHOP, buggy_code.search, "/search/", "high", 14, incident=schedule.SLOW, burst_per_second=0.08),
    # Comes with a bad release only: new when the live part begins.
    Fault(SHOP, buggy_code.price_in_currency, "/products/", "critical", 0, first_days=0, incident=schedule.RELEASE),
    Fault(SHOP, buggy_code.sales_report, "/reports/sales/", "high", 10, first_days=1.5),
    Fault(SHOP, buggy_code.read_stock, "/api/v1/stock/<int:product>/", "medium", 20, last_days=2.5,
          status="resolved", status_days=2.4),
    # Two regressions: one in the past, one in the live part.
    Fault(SHOP, buggy_code.show_profile, "/accounts/orders/<int:order>/", "high", 12, last_days=3, again_days=0.8,
          status="resolved", status_days=2.9),
    Fault(HARVEST, buggy_code.scrape_news, "news", "high", 25, last_days=1.6, incident=schedule.RELEASE,
          burst_per_second=0.03, status="resolved", status_days=1.5),
    Fault(HARVEST, buggy_code.scrape_prices, "prices", "medium", 40),
    Fault(HARVEST, buggy_code.scrape_papers, "papers", "low", 15, status="ignored", status_days=4),
    Fault(HARVEST, buggy_code.fetch_news, "news", "medium", 4, incident=schedule.BAN),
    Fault(HARVEST, buggy_code.store_items, "papers", "critical", 20, first_days=0.4),
)  # fmt: skip


def occur(fault: Fault, chance: Random, victim: Victim) -> None:
    """Run the code, and let the SDK record how it fails."""
    try:
        fault.code(chance.randrange(100_000))
    except Exception as error:  # noqa: BLE001 - whatever it raises is what is recorded
        emit.exception(
            error, severity=fault.severity, endpoint=fault.endpoint, user_id=victim.user_id, ip=victim.ip,
            user_agent=victim.user_agent, context={"demo": True},
        )  # fmt: skip
