"""Say what time of day it is on the played platform: how busy it is, what goes wrong, which release runs.

All of it follows from the seed and the time alone, so that what is made for the past and what is played live agree.
"""

import math
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from random import Random

DAY = 86_400.0

API_FAILING = "api_failing"
QUOTA = "quota"
SLOW = "slow"
RELEASE = "release"
LOGINS = "logins"
BAN = "ban"
SILENT_JOB = "silent_job"
STILL_JOB = "still_job"

OPENING: dict[str, tuple[float, float]] = {
    API_FAILING: (60, 540),
    SILENT_JOB: (60, 480),
    BAN: (90, 600),
    SLOW: (120, 600),
    STILL_JOB: (120, 1500),
    RELEASE: (180, 600),
    LOGINS: (240, 540),
    QUOTA: (60, 900),
}
"""What goes wrong after a start, from and to so many seconds: all within ten minutes, while somebody watches."""

OPENING_SECONDS, OPENING_RHYTHM = 3600, 1.3
KINDS = tuple(OPENING)
A_DAY = 5
"""How many incidents a day has otherwise: a kind each, at a time by chance."""

RELEASE_DAYS, RELEASE_HOUR = 2, 10


@dataclass(frozen=True, slots=True)
class Incident:
    """Hold what goes wrong and when, in Unix seconds."""

    kind: str
    begins: float
    ends: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """Tell by the time. `opened_at` is when the live part began, None for a past without one."""

    seed: int
    opened_at: float | None = None

    def rhythm(self, at: float) -> float:
        """Return how busy users are, about 1 by day: they sleep, and rest on weekends.

        After a start it is busy at any time, so that what goes wrong is enough to be told from chance.
        """
        if self.opened_at is not None and 0 <= at - self.opened_at < OPENING_SECONDS:
            return OPENING_RHYTHM
        moment = datetime.fromtimestamp(at, UTC)
        hour = moment.hour + moment.minute / 60
        day = (0.5 - 0.5 * math.cos(2 * math.pi * (hour - 3) / 24)) ** 1.5
        return float(0.4 + 0.6 * day) * (0.7 if moment.weekday() >= 5 else 1.0)

    def active(self, at: float) -> frozenset[str]:
        """Return the kinds of incidents that are on."""
        today = datetime.fromtimestamp(at, UTC).date()
        days = (*_incidents(self.seed, today - timedelta(days=1)), *_incidents(self.seed, today), *self._opening())
        return frozenset(one.kind for one in days if one.begins <= at < one.ends)

    def release(self, at: float) -> str:
        """Return the release that runs: named by when it came out."""
        known = _releases(self.seed, int(at // DAY), self.opened_at)
        return known[bisect([out for out, _ in known], at) - 1][1]

    def _opening(self) -> Iterator[Incident]:
        if self.opened_at is not None:
            for kind, (begins, ends) in OPENING.items():
                yield Incident(kind, self.opened_at + begins, self.opened_at + ends)


@lru_cache(maxsize=64)
def _releases(seed: int, day_number: int, opened_at: float | None) -> tuple[tuple[float, str], ...]:
    """Return the releases of a day since 1970 and of the days before it, oldest first: when each came out, its name."""
    today = datetime.fromtimestamp(day_number * DAY, UTC).date()
    moments = {_midnight(today - timedelta(days=4))}
    if opened_at is not None:
        moments.add(opened_at + OPENING[RELEASE][0])
    for ago in range(4):
        day = today - timedelta(days=ago)
        if day.toordinal() % RELEASE_DAYS == 0:
            moments.add(_midnight(day) + RELEASE_HOUR * 3600)
        # Errors come with a release: so does one with every such incident.
        moments.update(one.begins for one in _incidents(seed, day) if one.kind == RELEASE)
    return tuple((out, f"{datetime.fromtimestamp(out, UTC):%y.%m.%d-%H%M}") for out in sorted(moments))


@lru_cache(maxsize=64)
def _incidents(seed: int, day: date) -> tuple[Incident, ...]:
    chance = Random(f"{seed}/{day}")  # noqa: S311 - invented data, no secret
    begins = [_midnight(day) + chance.uniform(1, 23) * 3600 for _ in range(A_DAY)]
    kinds = chance.sample(KINDS, A_DAY)
    return tuple(
        Incident(kind, at, at + chance.uniform(600, 2400)) for kind, at in zip(kinds, sorted(begins), strict=True)
    )


def _midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
