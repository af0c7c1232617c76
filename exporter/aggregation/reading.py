"""Define what a state query gives."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """Hold one value: its metric, labels in order of the metric's declaration, and the value.

    `created` is when a counter began, in Unix seconds; None for a gauge.
    """

    metric: str
    labels: tuple[str, ...]
    value: float
    created: float | None = None
