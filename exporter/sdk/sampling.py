"""Hold some of the successful requests back while there are very many, and lose none from the count.

Systematic, per route, method and status: of `factor` requests the last is stored, with weight `factor`. What is held
back when a second has passed, or at a flush, is stored with the weight of what it stands for. So the weights stored
add up to the requests served, exactly, and each label's counter is true within about a second.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from exporter.sdk.intake import Event

Key = tuple[Any, Any, Any]

HELD_SECONDS = 1.0


@dataclass(slots=True)
class Sampler:
    """Decide about requests one by one. `copy` it before a round, so that a round that fails can be repeated."""

    above_per_second: float | None
    second: int = 0
    seen: int = 0
    seen_before: int = 0
    held: dict[Key, tuple[int, Event]] = field(default_factory=dict)

    def copy(self) -> "Sampler":
        """Return a sampler that goes on from here by itself."""
        return Sampler(self.above_per_second, self.second, self.seen, self.seen_before, dict(self.held))

    @property
    def events(self) -> int:
        """Return how many requests are held back."""
        return sum(count for count, _ in self.held.values())

    def weigh(self, request: Event) -> int:
        """Return the weight to store a successful request with; 0 means that it is held back."""
        if self.above_per_second is None:
            return 1
        second = int(request[1])
        if second > self.second:
            self.seen_before = self.seen if second == self.second + 1 else 0
            self.second, self.seen = second, 0
        self.seen += 1
        factor = int(max(self.seen_before, self.seen) / max(self.above_per_second, 1.0)) + 1
        if factor == 1 and not self.held:
            return 1
        key = (request[2], request[3], request[4])
        try:
            count = self.held[key][0] + 1 if key in self.held else 1
            if count < factor:
                self.held[key] = (count, request)
                return 0
            self.held.pop(key, None)
        except TypeError:  # a route that is no text cannot be a key
            return 1
        return count

    def release(self, before: float | None = None) -> Iterator[tuple[Event, int]]:
        """Yield the requests to store for those held back, with weights: all, or those older than `before`."""
        for key, (count, request) in list(self.held.items()):
            if before is None or request[1] < before:
                del self.held[key]
                yield request, count
