"""Hold what every player needs: its chance, the schedule, how much traffic, and where in time it is.

Players emit through the SDK alone, whose events are of now. What is made of the past goes another way behind the SDK
(`recorder.py`), which has to be told when an event happened: so they say `stage.at = ...` before they emit.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from exporter.demo.schedule import Schedule

T = TypeVar("T")


@dataclass
class Stage:
    """Be what a player plays on.

    `now` is where the past ends and the live part begins, `speed` the factor of all traffic, `request_weight` how many
    requests each that is emitted stands for, `sample_seconds` the time between two values of a sample.
    """

    schedule: Schedule
    random: Random
    now: float
    speed: float = 1.0
    request_weight: int = 1
    sample_seconds: float = 15.0
    at: float = 0.0
    active: frozenset[str] = field(default_factory=frozenset)

    def times(self, per_second: float, begins: float, ends: float) -> Iterator[float]:
        """Yield the times at which something that happens so often happens; the stage is moved to each of them."""
        per_second *= self.speed
        if per_second <= 0:
            return
        at = begins + self.random.expovariate(per_second)
        while at < ends:
            self.at = at
            yield at
            at += self.random.expovariate(per_second)

    def is_on(self, kind: str) -> bool:
        """Tell whether an incident of this kind is on in the step that is played."""
        return kind in self.active

    def about(self, typical: float, spread: float = 0.4) -> float:
        """Return a value about a typical one, as durations are spread: never 0, sometimes long."""
        return self.random.lognormvariate(0, spread) * typical

    def pick(self, weights: Mapping[T, float]) -> T:
        """Return one of the keys, by weight."""
        return self.random.choices(list(weights), list(weights.values()))[0]

    def happens(self, ratio: float) -> bool:
        """Tell whether something happens that does so in this share of the cases."""
        return self.random.random() < ratio
