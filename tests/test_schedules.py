"""When jobs are expected: cron, durations, time zones and their changes; and what a schedule is refused for."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from exporter.config import loader
from exporter.config.schedules import NICKNAMES, Job
from tests.test_config import STORE, parse, refusal

BERLIN = ZoneInfo("Europe/Berlin")


def expected(after: str, zone: str = "Europe/Berlin", **schedule: str) -> str:
    """Return when a job is expected after a local time, in local time with its offset."""
    job = Job(app="shop", scraper="prices", time_zone=zone, **schedule)
    at = datetime.fromisoformat(after)
    at = at if at.tzinfo else at.replace(tzinfo=ZoneInfo(zone))
    return datetime.fromtimestamp(job.expected_after(at.timestamp()), ZoneInfo(zone)).isoformat(timespec="minutes")


@pytest.mark.parametrize(
    ("cron", "after", "next_time"),
    [
        ("0 3 * * 0", "2026-11-25T12:00", "2026-11-29T03:00+01:00"),
        ("0 3 * * 0", "2026-11-29T03:00", "2026-12-06T03:00+01:00"),
        ("0 3 * * 0", "2026-11-29T03:07:12.5", "2026-12-06T03:00+01:00"),
        ("0 3 * * SUN", "2026-11-25T12:00", "2026-11-29T03:00+01:00"),
        ("*/15 9-17 * * 1-5", "2026-11-27T17:45", "2026-11-30T09:00+01:00"),
        ("0 0 31 * *", "2026-01-31T00:00", "2026-03-31T00:00+02:00"),
        ("0 0 29 2 *", "2026-01-01T00:00", "2028-02-29T00:00+01:00"),
        ("0 6 L * *", "2026-02-01T00:00", "2026-02-28T06:00+01:00"),
        ("@monthly", "2026-01-31T23:00", "2026-02-01T00:00+01:00"),
        # The clock goes from 02:00 to 03:00 on 29 March 2026: what is then runs right afterwards, once.
        ("30 2 * * *", "2026-03-28T02:30", "2026-03-29T03:00+02:00"),
        ("30 2 * * *", "2026-03-29T03:00", "2026-03-30T02:30+02:00"),
        ("0 3 * * *", "2026-03-28T03:00", "2026-03-29T03:00+02:00"),
        # And from 03:00 back to 02:00 on 25 October 2026: what has a time runs once, what runs hourly twice.
        ("30 2 * * *", "2026-10-24T02:30", "2026-10-25T02:30+02:00"),
        ("30 2 * * *", "2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"),
        ("30 * * * *", "2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00"),
    ],
)
def test_times_of_cron(cron: str, after: str, next_time: str) -> None:
    """They are those of Debian's cron, in the job's time zone; the run at that very time is not the next one."""
    assert expected(after, cron=cron) == next_time


@pytest.mark.parametrize(
    ("every", "zone", "after", "next_time"),
    [
        ("1d", "UTC", "2026-03-28T03:07", "2026-03-29T03:07+00:00"),
        ("90m", "UTC", "2026-03-28T23:00", "2026-03-29T00:30+00:00"),
        ("1w", "UTC", "2026-12-28T00:00", "2027-01-04T00:00+00:00"),
        # A day of 23 hours, and one of 25: whole days are those of the calendar, hours are hours.
        ("1d", "Europe/Berlin", "2026-03-28T12:00", "2026-03-29T12:00+02:00"),
        ("1d", "Europe/Berlin", "2026-10-24T12:00", "2026-10-25T12:00+01:00"),
        ("24h", "Europe/Berlin", "2026-10-24T12:00", "2026-10-25T12:00+01:00"),
        ("6h", "Europe/Berlin", "2026-03-29T00:00", "2026-03-29T07:00+02:00"),
    ],
)
def test_times_of_every(every: str, zone: str, after: str, next_time: str) -> None:
    """A duration counts from the newest success."""
    assert expected(after, zone, every=every) == next_time


def test_every_run_of_a_year_is_expected_once() -> None:
    """Whatever the clocks do in between, a daily job has 365 times, each on a day of its own."""
    job = Job(app="shop", scraper="prices", cron="15 2 * * *", time_zone="America/New_York")
    at, days = datetime(2026, 1, 1, tzinfo=BERLIN).timestamp(), []
    for _ in range(365):
        at = job.expected_after(at)
        days.append(datetime.fromtimestamp(at, ZoneInfo("America/New_York")).date())

    assert days == [days[0] + timedelta(days=number) for number in range(365)]


def test_names_of_schedules() -> None:
    """All of cron's own but @reboot, which is not a time."""
    for name in NICKNAMES:
        assert parse(f"{STORE}jobs: [{{app: shop, scraper: prices, cron: '{name}'}}]").jobs[0].schedule == name


def test_offset_is_that_of_its_day() -> None:
    """Summer and winter differ."""
    job = Job(app="shop", scraper="prices", cron="@daily", time_zone="Europe/Berlin")

    assert [job.utc_offset_seconds(datetime(2026, month, 1, tzinfo=BERLIN).timestamp()) for month in (1, 7)] == [
        3600,
        7200,
    ]


JOB = "app: shop, scraper: prices, "
EITHER = "expected either `scraper` or `task`, the job's name in its events"
DURATION = "expected e.g. 90m, 2h, 1d12h or 1w, greater than 0, at most 100 years"
ZONE = "expected a name of the time zone database such as Europe/Berlin"
FIELDS = "expected five fields of cron, such as '0 3 * * 0', or a name such as @daily"

HOUR = "expected an hour from 0 to 23 as second field"
DAY_OF_MONTH = "expected a day from 1 to 31, or L, which its month has, as third field"
DAY_OF_WEEK = "expected a day of the week from 0 (Sunday) to 7, or sun to sat, as fifth field"


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ("scraper: a, every: 1d", "missing key `app` in `jobs[0]`"),
        (
            "app: shop, every: 1d",
            f"invalid value for `jobs[0].scraper`: {EITHER}",
        ),
        (
            JOB + "task: b, every: 1d",
            f"invalid value 'prices' for `jobs[0].scraper`: {EITHER}",
        ),
        (
            JOB.removesuffix(", "),
            "invalid value for `jobs[0].every`: expected either `every`, such as 1d, or `cron`, such as '0 3 * * 0'",
        ),
        (
            JOB + "every: daily",
            f"invalid value 'daily' for `jobs[0].every`: {DURATION}",
        ),
        (JOB + "every: 60", "invalid value 60 for `jobs[0].every`: expected a duration such as 90m"),
        (
            JOB + "every: 1d, grace: 0m",
            f"invalid value '0m' for `jobs[0].grace`: {DURATION}",
        ),
        (JOB + "cron: '0 3 * *'", f"invalid value '0 3 * *' for `jobs[0].cron`: {FIELDS}"),
        (
            JOB + "cron: '0 25 * * *'",
            f"invalid value '0 25 * * *' for `jobs[0].cron`: {HOUR}",
        ),
        (
            JOB + "cron: '0 0 30 2 *'",
            f"invalid value '0 0 30 2 *' for `jobs[0].cron`: {DAY_OF_MONTH}",
        ),
        (
            JOB + "cron: '0 3 * * sonntag'",
            f"invalid value '0 3 * * sonntag' for `jobs[0].cron`: {DAY_OF_WEEK}",
        ),
        (JOB + "cron: '0 0 3 * * 0'", f"invalid value '0 0 3 * * 0' for `jobs[0].cron`: {FIELDS}"),
        (JOB + "cron: '@reboot'", f"invalid value '@reboot' for `jobs[0].cron`: {FIELDS}"),
        (
            JOB + "every: 1d, time_zone: Europe/Bonn",
            f"invalid value 'Europe/Bonn' for `jobs[0].time_zone`: {ZONE}",
        ),
        (
            JOB + "every: 1d, time_zone: ../etc",
            f"invalid value '../etc' for `jobs[0].time_zone`: {ZONE}",
        ),
    ],
)
def test_schedules_that_are_refused(job: str, message: str) -> None:
    """Place, value and what was expected."""
    assert refusal(f"{STORE}jobs: [{{{job}}}]") == message


def test_a_job_has_one_schedule() -> None:
    """Two apps may have scrapers of one name; one app has each once."""
    two = "{app: a, scraper: s, every: 1d}, {app: b, scraper: s, every: 1d}, {app: a, task: s, every: 1d}"

    assert len(parse(f"{STORE}jobs: [{two}]").jobs) == 3
    assert refusal(f"{STORE}jobs: [{two}, {{app: a, scraper: s, cron: '@daily'}}]") == (
        "invalid value 'app: a, scraper: s' for `jobs`: expected one entry for each scraper or task of an app"
    )


def test_example_is_taken() -> None:
    """The commented lines of the example are a configuration."""
    text = (loader.Path("platform-exporter.example.yml")).read_text(encoding="utf-8")
    lines = text[text.index("# jobs:") : text.index("\nlimits:")].splitlines()

    assert len(parse(STORE + "\n".join(line.removeprefix("# ") for line in lines if line)).jobs) == 2
