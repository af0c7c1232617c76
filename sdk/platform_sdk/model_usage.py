"""What a call to a language model used, named after OpenTelemetry's gen_ai conventions, and what it costs.

https://opentelemetry.io/docs/specs/semconv/gen-ai/: `model` is gen_ai.response.model (of a call that failed
gen_ai.request.model), `operation` gen_ai.operation.name, `input_tokens` gen_ai.usage.input_tokens, and so on.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

PLAIN_TIERS = ("default", "standard", "auto", "on_demand")
"""What providers call the tier that has the list's price."""

PER_TOKENS = 1e6
KINDS = ("input", "cache_read", "cache_creation", "output")
"""The kinds of tokens that have a price."""

COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens", "reasoning_tokens")

_DATED = re.compile(r"[-@](?:\d{8}|\d{4}-\d{2}-\d{2}|latest)$")

Price = Mapping[str, float]
"""What a million tokens cost by kind (see `KINDS`), and by what each tier multiplies it, such as batch: 0.5."""


class ModelUsage(NamedTuple):
    """What one call to a model used; None where nobody knows.

    `input_tokens` contain those read from and written to a cache, `output_tokens` those of reasoning. `service_tier`
    may be batch, flex, priority ...; `first_token_seconds` is the time to the first part of a streamed answer;
    `error_type` what the provider calls the error.
    """

    model: str
    operation: str = "chat"
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_creation_tokens: int | None = None
    reasoning_tokens: int | None = None
    service_tier: str | None = None
    first_token_seconds: float | None = None
    error_type: str | None = None

    def cost(self, prices: Mapping[str, Price]) -> float | None:
        """Return what a call costs by a price table, None where the price, the tier's or a number of tokens is unknown.

        A model's name is looked up as it is, and without the date or `latest` at its end.
        """
        price = prices.get(self.model) or prices.get(_DATED.sub("", self.model))
        if price is None or self.input_tokens is None:
            return None
        tier = self.service_tier
        factor = 1.0 if tier is None or tier in PLAIN_TIERS else price.get(tier)
        if factor is None or (self.output_tokens is None and self.operation != "embeddings"):
            return None
        read, written = self.cache_read_tokens or 0, self.cache_creation_tokens or 0
        tokens = {
            "input": max(self.input_tokens - read - written, 0), "cache_read": read, "cache_creation": written,
            "output": self.output_tokens or 0,
        }  # fmt: skip
        if any(count and kind not in price for kind, count in tokens.items()):
            return None
        return factor * sum(count * price[kind] for kind, count in tokens.items() if count) / PER_TOKENS


class Bill(NamedTuple):
    """What the calls within a monitor used and cost, which are one row; each has the price of its own model.

    The row is named after the call that cost most, or after one whose cost is unknown, as the sum is then: that model
    is the one that needs a price.
    """

    usage: ModelUsage
    cost: float | None
    largest: float
    """What the call that it is named after cost; infinite where nobody knows, below 0 where it was not billed."""

    @classmethod
    def of(cls, usage: ModelUsage, cost: float | None, *, failed: bool) -> "Bill":
        """Return the bill of one call. One that failed without a number of tokens was not billed."""
        if failed and usage.input_tokens is None:
            return cls(usage, None, -1.0)
        return cls(usage, cost, math.inf if cost is None else cost)

    def then(self, later: "Bill") -> "Bill":
        """Return the bill of these calls and a later one, whose error is that of the row."""
        named = max(later, self, key=lambda bill: bill.largest).usage
        counts: dict[str, Any] = {name: _sum(getattr(self.usage, name), getattr(later.usage, name)) for name in COUNTS}
        usage = later.usage._replace(
            model=named.model, operation=named.operation, service_tier=named.service_tier, **counts
        )
        unknown = math.inf in (self.largest, later.largest)
        return Bill(usage, None if unknown else _sum(self.cost, later.cost), max(self.largest, later.largest))


Number = TypeVar("Number", int, float)


def _sum(one: Number | None, other: Number | None) -> Number | None:
    return other if one is None else one if other is None else one + other
