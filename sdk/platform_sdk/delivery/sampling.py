"""Sampling: hold some of the successful requests back while there are very many, and lose none from the count.

Systematic, per route, method and status: of `factor` requests the last is stored, with weight `factor`. What is held
back when a second has passed, or at a flush, is stored with the weight of what it stands for. So the weights stored
add up to the requests served, exactly, and each label's counter is true within about a second.

Who made a request is not lost either: the first of each user and session in half a minute is stored at once, with the
weight of what was held back until then. These rows are at most as many again as sampling lets through; where more
than that are new in a second, as when a scanner makes sessions up, some come later or not at all.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any

from platform_sdk.delivery import kinds
from platform_sdk.delivery.intake import Event
from platform_sdk.delivery.kinds import AT, KIND
from platform_sdk.events import EVENTS
from platform_sdk.events.base import ACTORS

Key = tuple[Any, ...]

_KIND, _RULE = next((number, kind.sampled) for number, kind in enumerate(EVENTS) if kind.sampled)
(_VALUE,) = kinds.positions(_KIND, _RULE.column)
_BELOW = _RULE.below
_alike = itemgetter(*kinds.positions(_KIND, *_RULE.alike))
_USER, _SESSION = kinds.positions(_KIND, ACTORS["user"], ACTORS["session"])

HELD_SECONDS = 1.0

ACTORS_SECONDS = 30
"""How long it is enough to have stored one request of a user."""


@dataclass(slots=True)
class Sampler:
    """The decision about each request. `copy` it before a round, so that a round that fails can be repeated."""

    above_per_second: float | None
    second: int = 0
    seen: int = 0
    seen_before: int = 0
    held: dict[Key, tuple[int, Event]] = field(default_factory=dict)
    actors: set[int] = field(default_factory=set)
    actors_since: int = 0
    introduced: int = 0

    def copy(self) -> "Sampler":
        """Return a sampler that goes on from here by itself."""
        return replace(self, held=dict(self.held), actors=set(self.actors))

    @property
    def events(self) -> int:
        """Return how many requests are held back."""
        return sum(count for count, _ in self.held.values())

    def weigh(self, event: Event) -> int:
        """Return the weight to store an event with; 0 means that it is held back: a successful request."""
        if self.above_per_second is None or event[KIND] != _KIND or not event[_VALUE] < _BELOW:
            return 1
        second = int(event[AT])
        if second > self.second:
            self.seen_before = self.seen if second == self.second + 1 else 0
            self.second, self.seen, self.introduced = second, 0, 0
        self.seen += 1
        factor = int(max(self.seen_before, self.seen) / max(self.above_per_second, 1.0)) + 1
        if factor == 1 and not self.held:
            return 1
        key = _alike(event)
        try:
            count = self.held[key][0] + 1 if key in self.held else 1
            if count < factor and not self._introduces(event):
                self.held[key] = (count, event)
                return 0
            self.held.pop(key, None)
        except TypeError:  # a route of an odd type cannot be a key
            return 1
        return count

    def _introduces(self, request: Event) -> bool:
        """Tell whether a request is to be stored for the sake of its user or session, who then is known for a while."""
        if self.second - self.actors_since >= ACTORS_SECONDS:
            self.actors, self.actors_since = set(), self.second
        user_id, session_id = request[_USER], request[_SESSION]
        if (user_id is None and session_id is None) or self.introduced >= (self.above_per_second or 0):
            return False
        actor = hash((user_id, session_id))
        if actor in self.actors:
            return False
        self.actors.add(actor)
        self.introduced += 1
        return True

    def release(self, before: float | None = None) -> Iterator[tuple[Event, int]]:
        """Yield the requests to store for those held back, with weights: all, or those older than `before`."""
        for key, (count, request) in list(self.held.items()):
            if before is None or request[AT] < before:
                del self.held[key]
                yield request, count
