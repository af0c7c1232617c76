"""When jobs are expected: a section of the configuration, and the arithmetic of cron and of time zones."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from msgspec import Meta

from exporter.errors import TimeTextError
from exporter.sections import Problem, Section
from exporter.times import parse_duration

LabelValue = Annotated[str, Meta(min_length=1, max_length=200)]

FIELDS = {
    "minute": "a minute from 0 to 59 as first field",
    "hour": "an hour from 0 to 23 as second field",
    "day-of-month": "a day from 1 to 31, or L, which its month has, as third field",
    "month": "a month from 1 to 12, or jan to dec, as fourth field",
    "day-of-week": "a day of the week from 0 (Sunday) to 7, or sun to sat, as fifth field",
}
"""What is expected of a field of cron, by its name in cronsim's errors."""

NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
"""Cron's names of schedules; `@reboot` is not a time."""

DAY = timedelta(days=1)
TIME_ZONE = "a name of the time zone database such as Europe/Berlin"


def is_time_zone(name: str) -> bool:
    """Return whether there is a time zone of this name."""
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        return False
    return True


class Job(Section, frozen=True):
    """A scraper, or a background task, that must succeed on a schedule: `every` so often, or at the times of `cron`.

    A run that has not succeeded `grace` after it was expected is missed. `time_zone` is that of cron's times, and of
    whole days in `every`. A scraper's successful run has `least_items` and takes from `shortest` to `longest`.
    """

    app: LabelValue
    scraper: LabelValue | None = None
    task: LabelValue | None = None
    every: str | None = None
    cron: str | None = None
    time_zone: str = "UTC"
    grace: str = "1h"
    least_items: Annotated[int, Meta(ge=1)] | None = None
    shortest: str | None = None
    longest: str | None = None

    @property
    def labels(self) -> dict[str, str]:
        """Return the labels that identify the job."""
        return {"app": self.app} | ({"scraper": self.scraper} if self.scraper else {"task": self.task or ""})

    @property
    def schedule(self) -> str:
        """Return the schedule for a person, without its time zone."""
        return self.cron or f"every {self.every}"

    @property
    def grace_seconds(self) -> float:
        return parse_duration(self.grace).total_seconds()

    @property
    def expectations(self) -> dict[str, str | int]:
        """Return what is expected of a scraper's successful runs, by the key that says so."""
        given = {"least_items": self.least_items, "shortest": self.shortest, "longest": self.longest}
        return {key: value for key, value in given.items() if value is not None}

    @property
    def expected_values(self) -> dict[str, float]:
        """Return what is expected of runs by the gauge that says so, in seconds and items."""
        return {
            f"{key}_run_seconds" if isinstance(value, str) else key: _amount(value)
            for key, value in self.expectations.items()
        }

    def expected_after(self, at: float) -> float:
        """Return when the first run after a time is expected; both in Unix seconds."""
        return _next(self.cron, self.every, self.time_zone, at)

    def utc_offset_seconds(self, at: float) -> float:
        """Return how far the job's time zone is ahead of UTC at a time."""
        return (datetime.fromtimestamp(at, ZoneInfo(self.time_zone)).utcoffset() or timedelta()).total_seconds()

    def problems(self) -> Iterator[Problem]:
        if (self.scraper is None) == (self.task is None):
            yield Problem("scraper", "either `scraper` or `task`, the job's name in its events", self.scraper)
        for key, value in self.expectations.items():
            if self.task is not None:
                yield Problem(key, "no expectation of runs beside `task`: only of a scraper's", value)
        if (self.every is None) == (self.cron is None):
            yield Problem("every", "either `every`, such as 1d, or `cron`, such as '0 3 * * 0'", self.every)
        for key, duration in (
            *(("every", self.every), ("grace", self.grace)),
            *(("shortest", self.shortest), ("longest", self.longest)),
        ):
            try:
                parse_duration(duration or "1d")
            except TimeTextError as error:
                yield Problem(key, str(error).partition("expected ")[2], duration)
        zone = ZoneInfo(self.time_zone if is_time_zone(self.time_zone) else "UTC")
        if zone.key != self.time_zone:
            yield Problem("time_zone", TIME_ZONE, self.time_zone)
        if self.cron is not None and (expected := _expected(self.cron, zone)):
            yield Problem("cron", expected, self.cron)


def _amount(value: str | int) -> float:
    return parse_duration(value).total_seconds() if isinstance(value, str) else float(value)


def _expected(cron: str, zone: ZoneInfo) -> str:
    """Return what is expected instead of an invalid schedule; nothing where it is valid."""
    if len(NICKNAMES.get(cron, cron).split()) != 5:  # a sixth would be seconds
        return "five fields of cron, such as '0 3 * * 0', or a name such as @daily"
    try:
        next(_times(cron, datetime.now(zone)))
    except CronSimError as error:
        return FIELDS.get(str(error).removeprefix("Bad "), "five fields of cron, such as '0 3 * * 0'")
    except StopIteration:
        return "a time that some day fits"
    return ""


def _times(cron: str, after: datetime) -> CronSim:
    return CronSim(NICKNAMES.get(cron, cron), after)


@lru_cache(maxsize=1024)
def _next(cron: str | None, every: str | None, time_zone: str, at: float) -> float:
    local = datetime.fromtimestamp(at, ZoneInfo(time_zone))
    if cron is not None:
        return next(_times(cron, local)).timestamp()
    duration = parse_duration(every or "")
    # Whole days are those of the calendar: one of them has 23 hours, another 25. Parts of days are a duration.
    return ((local + duration) if duration % DAY == timedelta() else (local.astimezone(UTC) + duration)).timestamp()
