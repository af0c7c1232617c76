"""Sampling: merge some of the successful requests while there are very many, and lose none from any number.

Per route, method, status and bucket of the duration histogram: of `factor` requests one row is stored, the last of
them, with weight `factor` and their mean duration and size. What waits when a second has passed, or at a flush, is
stored with the weight of what it stands for. So counts, the histogram's buckets and sums of durations are those of all
requests, exactly (a mean is in the bucket of what it is the mean of), and each is true within about a second. Who it
was, address and user agent are those of the last: requests of users are never merged with those of nobody.

Rows of their own have those that someone may look for: slow requests, and the first of each user and session in half a
minute. These are at most as many again as sampling lets through; where more than that come in a second, as when a
scanner makes sessions up, the others are merged.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from math import inf
from operator import itemgetter
from typing import Any

from platform_sdk.delivery import kinds
from platform_sdk.delivery.intake import Event
from platform_sdk.delivery.kinds import AT, KIND
from platform_sdk.events import EVENTS
from platform_sdk.events.base import ACTORS
from platform_sdk.events.http_request import BOUNDS, LONGEST_SECONDS

Key = tuple[Any, ...]

_KIND, _RULE = next((number, kind.sampled) for number, kind in enumerate(EVENTS) if kind.sampled)
(_VALUE,) = kinds.positions(_KIND, _RULE.column)
_BELOW = _RULE.below
_alike = itemgetter(*kinds.positions(_KIND, *_RULE.alike))
_DURATION, _FIRST_BYTE, _SIZE = kinds.positions(_KIND, "duration_seconds", "first_byte_seconds", "response_bytes")
_USER, _SESSION = kinds.positions(_KIND, ACTORS["user"], ACTORS["session"])
_read = itemgetter(AT, _DURATION, _FIRST_BYTE, _SIZE, _USER, _SESSION)

HELD_SECONDS = 1.0

MOST_HELD = 5_000
"""How many rows may wait: an application may make routes up."""

ACTORS_SECONDS = 30
"""How long it is enough to have stored one request of a user."""

SLOW_SECONDS = 1.0
"""From which duration on a request has a row of its own."""

ALONE_PER_SECOND = 200.0
"""How many have rows of their own where everything is merged."""


@dataclass(slots=True)
class Group:
    """Requests that are held back: the newest, since when, how many, and the sums of their values, 0 for None."""

    key: Key
    newest: Event
    since: float
    count: int
    duration: float
    first_byte: float
    size: int

    def merged(self) -> Event:
        """Return the request that stands for all of them."""
        if self.count == 1:
            return self.newest
        request = list(self.newest)
        request[_DURATION] = self._mean(request[_DURATION], self.duration)
        if request[_FIRST_BYTE] is not None:
            request[_FIRST_BYTE] = self._mean(request[_FIRST_BYTE], self.first_byte)
        if request[_SIZE] is not None:
            request[_SIZE] = round(self.size / self.count)
        return tuple(request)

    def _mean(self, own: float, total: float) -> float:
        # Of values at the very edge of a bucket the mean may be rounded out of it.
        mean = total / self.count
        return mean if bisect_left(BOUNDS, mean) == bisect_left(BOUNDS, own) else own


@dataclass(slots=True)
class Sampler:
    """The decision about each request. `copy` it before a round, so that a round that fails can be repeated.

    `above_per_second` None merges nothing, less than 1 everything that may be merged.
    """

    above_per_second: float | None
    next_second: int = 0
    seen: int = 0
    factor: float = 1
    more_above: float = inf
    held: dict[Key, Group] = field(default_factory=dict)
    actors: set[int] = field(default_factory=set)
    actors_since: int = 0
    alone: int = 0

    def copy(self) -> "Sampler":
        """Return a sampler that goes on from here by itself."""
        held = {key: replace(group) for key, group in self.held.items()}
        return replace(self, held=held, actors=set(self.actors))

    @property
    def events(self) -> int:
        """Return how many requests are held back."""
        return sum(group.count for group in self.held.values())

    def chosen(self, events: Iterable[Event]) -> Iterator[tuple[Event, int]]:
        """Yield what to store now, each with its weight; hold the other successful requests back."""
        held, above = self.held, self.above_per_second
        for event in events:
            if above is None or event[KIND] != _KIND or not event[_VALUE] < _BELOW:
                yield event, 1
                continue
            if event[AT] >= self.next_second:
                self._begin(int(event[AT]), above)
            self.seen += 1
            if self.seen > self.more_above:
                self.factor, self.more_above = self.factor + 1, self.more_above + above
            if self.factor == 1 and not held:
                yield event, 1
                continue
            try:
                group = self._hold(event)
            except TypeError:  # values of odd types: the encoder sees to them
                group = None
            if group is None:
                yield event, 1
            elif group.count >= self.factor:
                del held[group.key]
                yield group.merged(), group.count

    def release(self, before: float | None = None) -> Iterator[tuple[Event, int]]:
        """Yield the requests to store for those held back, with weights: all, or those older than `before`."""
        for key, group in list(self.held.items()):
            if before is None or group.since < before:
                del self.held[key]
                yield group.merged(), group.count

    def _begin(self, second: int, above: float) -> None:
        """Begin a second: with the rate of the one before, if there was one."""
        if above < 1:
            self.factor = inf
        else:
            self.factor = (self.seen if second == self.next_second else 0) // above + 1
            self.more_above = self.factor * above
        self.next_second, self.seen, self.alone = second + 1, 0, 0

    def _hold(self, request: Event) -> Group | None:
        """Add a request to those like it and return them; None if it is to have a row of its own."""
        at, duration, first_byte, size, user_id, session_id = _read(request)
        noticed = user_id is not None or session_id is not None or first_byte is not None
        if (noticed or not 0.0 <= duration < SLOW_SECONDS) and self._is_alone(request):
            return None
        bucket = bisect_left(BOUNDS, duration if first_byte is None else first_byte)
        key = (_alike(request), bucket, first_byte is None, size is None, user_id is None)
        group = self.held.get(key)
        if group is None and len(self.held) >= MOST_HELD:
            return None
        if group is None:
            group = self.held[key] = Group(
                key, request, at, 1, 0.0 + duration, 0.0 + (first_byte or 0.0), 0 + (size or 0)
            )
            return group
        # All sums before any is kept: one may raise.
        sums = group.duration + duration, group.first_byte + (first_byte or 0.0), group.size + (size or 0)
        group.duration, group.first_byte, group.size = sums
        group.newest = request
        group.count += 1
        return group

    def _is_alone(self, request: Event) -> bool:
        """Tell whether a request has a row of its own: slow, of a user not seen for a while, or one to be rejected."""
        durations = [seconds for seconds in (request[_FIRST_BYTE], request[_DURATION]) if seconds is not None]
        if not all(0.0 <= seconds <= LONGEST_SECONDS for seconds in durations):
            return True
        limit = self.above_per_second or 0.0
        if self.alone >= (limit if limit >= 1 else ALONE_PER_SECOND):
            return False
        if durations[0] < SLOW_SECONDS and not self._is_new(request[_USER], request[_SESSION]):
            return False
        self.alone += 1
        return True

    def _is_new(self, user_id: object, session_id: object) -> bool:
        """Tell whether no row of a user and session was stored for a while; from now on one was."""
        if user_id is None and session_id is None:
            return False
        if self.next_second - self.actors_since > ACTORS_SECONDS:
            self.actors, self.actors_since = set(), self.next_second
        actor = hash((user_id, session_id))
        if actor in self.actors:
            return False
        self.actors.add(actor)
        return True
