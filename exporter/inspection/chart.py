"""What Prometheus has of counters, and what its `increase()` misses of them."""

from collections.abc import Iterable
from dataclasses import dataclass

import requests

from exporter.errors import PlatformError

TIMEOUT_SECONDS = 10
WINDOW = "1d"


@dataclass(frozen=True, slots=True)
class Chart:
    """A metric in Prometheus: the newest values of all its series, and with what those of the last day began.

    `increase()` does not show what a series began with, unless that is 0.
    """

    metric: str
    counter: float
    value: float
    began_with: float


def read(url: str, counters: dict[str, float]) -> Iterable[Chart]:
    """Return each metric as Prometheus has it, beside its counter. Raises PlatformError where it does not answer."""
    with requests.Session() as session:
        for metric, counter in counters.items():
            # Replicas show the same totals, which stand in Prometheus once each.
            newest = f"sum(max without (instance, job) ({metric}))"
            began = f"min_over_time({metric}[{WINDOW}]) unless {metric} offset {WINDOW}"
            first = f"sum(max without (instance, job) ({began}))"
            yield Chart(metric, counter, _query(session, url, newest), _query(session, url, first))


def _query(session: requests.Session, url: str, query: str) -> float:
    try:
        answer = session.get(f"{url.rstrip('/')}/api/v1/query", params={"query": query}, timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
        result = answer.json()["data"]["result"]
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        raise PlatformError(
            f"`stack.prometheus_url`: Prometheus did not answer a query ({type(error).__name__}): is it running there?"
        ) from error
    return float(result[0]["value"][1]) if result else 0.0
