"""The simulated platform's schedule: how busy it is, which incidents are under way, which release runs.

All of it follows from the seed and the time alone, so that the generated past and the live part agree.
"""

import math
from bisect import bisect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from random import Random
from typing import TypeVar

T = TypeVar("T")

DAY = 86_400.0

API_FAILING = "api_failing"
QUOTA = "quota"
SLOW = "slow"
RELEASE = "release"
LOGINS = "logins"
BAN = "ban"
SILENT_JOB = "silent_job"
STILL_JOB = "still_job"
LAYOUT = "layout"
PROXY = "proxy"
HASTE = "haste"

OPENING: dict[str, tuple[float, float]] = {
    API_FAILING: (60, 540),
    SILENT_JOB: (60, 480),
    BAN: (90, 600),
    SLOW: (120, 600),
    STILL_JOB: (120, 1500),
    RELEASE: (180, 600),
    LOGINS: (240, 540),
    QUOTA: (60, 900),
    LAYOUT: (1500, 2700),
    PROXY: (300, 900),
    HASTE: (600, 1200),
}
"""The incidents after a start, from and to so many seconds: all begin within minutes, while people watch; a
layout changes when a quarter of an hour says what is usual."""

OPENING_SECONDS, OPENING_RHYTHM = 3600, 1.3
INCIDENTS_PER_DAY = 5
"""After that: of different kinds, at random times."""

RELEASE_DAYS, RELEASE_HOUR = 2, 10


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident; times are Unix seconds."""

    kind: str
    begins: float
    ends: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """The schedule of one seed. `opened_at` is when the live part began; None for a past without one."""

    seed: int
    opened_at: float | None = None

    def rhythm(self, at: float) -> float:
        """Return how busy users are: about 1 by day, less at night and on weekends.

        After a start it is busy at any time, so that incidents stand out from chance.
        """
        if self.opened_at is not None and 0 <= at - self.opened_at < OPENING_SECONDS:
            return OPENING_RHYTHM
        time = datetime.fromtimestamp(at, UTC)
        hour = time.hour + time.minute / 60
        day = (0.5 - 0.5 * math.cos(2 * math.pi * (hour - 3) / 24)) ** 1.5
        return float(0.4 + 0.6 * day) * (0.7 if time.weekday() >= 5 else 1.0)

    def active(self, at: float) -> frozenset[str]:
        """Return the kinds of incidents that are under way."""
        today = datetime.fromtimestamp(at, UTC).date()
        days = (*_incidents(self.seed, today - timedelta(days=1)), *_incidents(self.seed, today), *self._opening())
        return frozenset(one.kind for one in days if one.begins <= at < one.ends)

    def release(self, at: float) -> str:
        """Return the release that runs, named by its date and time."""
        known = _releases(self.seed, int(at // DAY), self.opened_at)
        return known[bisect([released for released, _ in known], at) - 1][1]

    def _opening(self) -> Iterator[Incident]:
        if self.opened_at is not None:
            for kind, (begins, ends) in OPENING.items():
                yield Incident(kind, self.opened_at + begins, self.opened_at + ends)


@lru_cache(maxsize=64)
def _releases(seed: int, day_number: int, opened_at: float | None) -> tuple[tuple[float, str], ...]:
    """Return (time, name) of the releases of a day, counted since 1970, and of the days before it, oldest first."""
    today = datetime.fromtimestamp(day_number * DAY, UTC).date()
    moments = {_midnight(today - timedelta(days=4))}
    if opened_at is not None:
        moments.add(opened_at + OPENING[RELEASE][0])
    for ago in range(4):
        day = today - timedelta(days=ago)
        if day.toordinal() % RELEASE_DAYS == 0:
            moments.add(_midnight(day) + RELEASE_HOUR * 3600)
        # Each incident of this kind begins with a release, which brings the errors.
        moments.update(one.begins for one in _incidents(seed, day) if one.kind == RELEASE)
    return tuple((moment, f"{datetime.fromtimestamp(moment, UTC):%y.%m.%d-%H%M}") for moment in sorted(moments))


@lru_cache(maxsize=64)
def _incidents(seed: int, day: date) -> tuple[Incident, ...]:
    chance = Random(f"{seed}/{day}")  # noqa: S311 - invented data, no secret
    begins = [_midnight(day) + chance.uniform(1, 23) * 3600 for _ in range(INCIDENTS_PER_DAY)]
    kinds = chance.sample(list(OPENING), INCIDENTS_PER_DAY)
    return tuple(
        Incident(kind, at, at + chance.uniform(600, 2400)) for kind, at in zip(kinds, sorted(begins), strict=True)
    )


def _midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


@dataclass
class Simulation:
    """What all parts of a simulated app share: chance, schedule, amount of traffic, and the simulated time.

    `now` is where the past ends and the live part begins, `speed` the factor of all traffic, `request_weight` how many
    requests each that is emitted stands for, `sample_seconds` the time between two values of a sample. The SDK gives
    events the current time; for the past, `event_history.Recorder` gives them `at`, which is set before each event.
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
        """Yield random times of events with this rate; sets `at` to each of them."""
        per_second *= self.speed
        if per_second <= 0:
            return
        at = begins + self.random.expovariate(per_second)
        while at < ends:
            self.at = at
            yield at
            at += self.random.expovariate(per_second)

    def is_active(self, kind: str) -> bool:
        """Tell whether an incident of this kind is under way."""
        return kind in self.active

    def about(self, typical: float, spread: float = 0.4) -> float:
        """Return a random value about a typical one, spread as durations are: never 0, sometimes long."""
        return self.random.lognormvariate(0, spread) * typical

    def pick(self, weights: Mapping[T, float]) -> T:
        """Return one of the keys, by weight."""
        return self.random.choices(list(weights), list(weights.values()))[0]

    def happens(self, ratio: float) -> bool:
        """Return True in this share of the calls, by chance."""
        return self.random.random() < ratio
