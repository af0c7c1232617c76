"""Working hours, the digest's hour and the trial: as Alertmanager's intervals, and as rules of Prometheus.

Rules need to know what Alertmanager sends, and only Alertmanager's configuration says it.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")

Interval = dict[str, Any]
"""An entry of Alertmanager's `time_intervals`."""

FIRST, LAST = datetime(2026, 1, 1, tzinfo=UTC), datetime(2046, 1, 1, tzinfo=UTC)
"""Changes of the clock outside of these years are unknown to the rule."""

TEXT = """\
# Made by {source}: change that, not this file.
# {zone}, with each change of its clocks until {until}.
groups:
  - name: platform_hours
    interval: 30s
    rules:
      - record: platform:local_time:seconds
        expr: vector({local})
      # 1 in working hours, 0 outside.
      - record: platform:working_hours:active
        expr: |
          ({days})
          * (60 * hour(platform:local_time:seconds) + minute(platform:local_time:seconds) >= bool {begin})
          * (60 * hour(platform:local_time:seconds) + minute(platform:local_time:seconds) < bool {end})

  # The alerts of a trial, which notify no one: neither in a storm nor in the digest.
  - name: platform_trial
    interval: 5s
    rules:
      - record: alertname:platform_alerts:trial
        expr: group by (alertname) (ALERTS{{alertname=~"{trial}"}}){always}
"""

MUTING = (
    "PlatformAlertStorm",
    "PlatformComponentDown",
    "PlatformHttpErrorsHigh",
    "PlatformHttpLatencyHigh",
    "PlatformScrapingFailuresHigh",
)
"""Alerts that mute by another one, which fires before them or longer: that they are on trial must always be known."""


def working_hours(days: str, begin: str, end: str, time_zone: str) -> Interval:
    """Return the interval of working hours, e.g. monday:friday 09:00 18:00 UTC.

    Raises ValueError, which names a key of `working_hours`.
    """
    if not all(day in WEEKDAYS for part in days.split(",") for day in part.strip().split(":")):
        raise ValueError(f"invalid `working_hours.days` {days!r}: expected e.g. monday:friday or monday,wednesday")
    first, last = _minutes_of("working_hours.from", begin), _minutes_of("working_hours.to", end)
    if first >= last:
        raise ValueError(f"invalid `working_hours.to` {end}: expected a time after {begin}")
    return {
        "weekdays": [part.strip() for part in days.split(",")],
        "times": [{"start_time": _clock(first), "end_time": _clock(last)}],
        "location": _time_zone("working_hours", time_zone),
    }


def digest(begin: str, time_zone: str) -> Interval:
    """Return the interval of the digest: an hour, like `group_interval` of its route, see there.

    Raises ValueError, which names a key of `digest`.
    """
    first = _minutes_of("digest.from", begin)
    if first + 60 > 24 * 60:
        raise ValueError(f"invalid `digest.from` {begin!r}: expected at most 23:00, as the hour must end by midnight")
    times = [{"start_time": _clock(first), "end_time": _clock(first + 60)}]
    return {"times": times, "location": _time_zone("digest", time_zone)}


def rules(hours: Interval, trial: str, source: str) -> str:
    """Return a file of rules for working hours and a trial, a regular expression; `source` is what makes the file."""
    zone = ZoneInfo(hours["location"])
    [times] = hours["times"]
    days = " + ".join(f"(day_of_week(platform:local_time:seconds) == bool {day})" for day in _days(hours["weekdays"]))
    return TEXT.format(
        source=source, zone=zone.key, until=LAST.year, local=_local_time(zone), days=days,
        begin=_minutes(times["start_time"]), end=_minutes(times["end_time"]), trial=trial,
        always="".join(_always(name) for name in MUTING if re.fullmatch(trial, name)),
    )  # fmt: skip


def _always(name: str) -> str:
    return f' or label_replace(vector(1), "alertname", "{name}", "", "")'


def _local_time(zone: ZoneInfo) -> str:
    """Return the expression of the seconds since 1970 on the zone's clocks: it grows by each change from then on."""
    terms = ["time()", f"{_offset(zone, FIRST):.0f}"]
    for at in _changes(zone):
        change = _offset(zone, at) - _offset(zone, at - timedelta(seconds=1))
        terms.append(f"{change:.0f} * (time() >= bool {at.timestamp():.0f})")
    return " + ".join(terms).replace("+ -", "- ")


def _changes(zone: ZoneInfo) -> Iterator[datetime]:
    """Yield the moments from which an offset is another, in order; found in the day in which it changes."""
    day = FIRST
    while day < LAST:
        low, high = day, day + timedelta(days=1)
        if _offset(zone, low) != _offset(zone, high):
            while high - low > timedelta(seconds=1):
                middle = low + timedelta(seconds=(high - low).total_seconds() // 2)
                low, high = (middle, high) if _offset(zone, middle) == _offset(zone, day) else (low, middle)
            yield high
        day += timedelta(days=1)


def _offset(zone: ZoneInfo, at: datetime) -> float:
    offset = at.astimezone(zone).utcoffset()
    assert offset is not None  # noqa: S101 - the time is one of a zone
    return offset.total_seconds()


def _days(weekdays: list[str]) -> list[int]:
    """Return the numbers of days, Sunday is 0; "friday:monday" is not a range of Alertmanager's."""
    found: set[int] = set()
    for part in weekdays:
        first, _, last = part.partition(":")
        found |= set(range(WEEKDAYS.index(first), WEEKDAYS.index(last or first) + 1))
    return sorted(found)


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


def _minutes_of(key: str, value: object) -> int:
    # Unquoted, YAML reads 18:00 as a number of base 60.
    match = re.fullmatch(r"(\d\d):(\d\d)", str(value)) if isinstance(value, str) else None
    minutes = int(match[1]) * 60 + int(match[2]) if match else -1
    if match is None or int(match[2]) > 59 or minutes > 24 * 60:
        raise ValueError(f'invalid time {value!r} for `{key}`: expected a time in quotes, e.g. "09:00"')
    return minutes


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _time_zone(where: str, name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"invalid `{where}.time_zone` {name!r}: expected e.g. UTC or Europe/Berlin")
    return ZoneInfo(name).key
