"""Jobs with a schedule: what is known of them, and since when they have it, on a real event store."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.aggregation.series import SourceView, Total
from exporter.config import loader
from exporter.config.schedules import Job
from exporter.config.settings import Config, convert
from exporter.jobs import Jobs, JobState
from exporter.service import Service
from tests.aggregation.counting import Store
from tests.servers import Database, poll_until

SCRAPED = "platform_scraping_last_success_timestamp_seconds"
DONE = "platform_background_task_last_success_timestamp_seconds"
DAY = 86_400.0
UNREACHABLE = "host=127.0.0.1 port=1 dbname=none"


def config(*jobs: dict[str, str], dsn: str = UNREACHABLE) -> Config:
    """Return a configuration with these jobs."""
    return convert({"database": {"dsn": dsn}, "jobs": list(jobs)})


def success(metric: str, at: float, **labels: str) -> Total:
    """Return a rollup that says when something last succeeded."""
    return Total(metric, "gauge", labels, at)


def view(*totals: Total, source: str = "native") -> SourceView:
    """Return what is known of a source."""
    return SourceView(source, totals)


def state(jobs: Jobs, *views: SourceView, fresh: tuple[str, ...] = ("native",)) -> JobState:
    """Return the state of the first job."""
    return next(jobs.states(views, set(fresh)))


def since(jobs: Jobs, at: float) -> Jobs:
    """Return jobs that have had their schedules since a time."""
    jobs.since = dict.fromkeys(jobs.since, at)
    return jobs


PRICES = {"app": "shop", "scraper": "prices", "every": "1d"}


def test_expected_after_the_newest_success() -> None:
    """Of this app's scraper; others of its name, tasks of its name and older sources do not count."""
    jobs = since(Jobs(config(PRICES)), 1000.0)
    found = state(
        jobs,
        view(
            success(SCRAPED, 5000.0, app="shop", scraper="prices"),
            success(SCRAPED, 9000.0, app="blog", scraper="prices"),
            success(DONE, 9000.0, app="shop", task="prices"),
        ),
        view(success(SCRAPED, 7000.0, app="shop", scraper="prices"), source="copy"),
        fresh=("native", "copy"),
    )

    assert found == JobState(jobs._config.jobs[0], 7000.0, 7000.0 + DAY)


def test_the_first_run_is_expected_too() -> None:
    """A job that never succeeded is expected since it has its schedule; so is one that succeeded long before."""
    jobs = since(Jobs(config(PRICES)), 1000.0)

    assert state(jobs, view()) == JobState(jobs._config.jobs[0], None, 1000.0 + DAY)
    assert state(jobs, view(success(SCRAPED, 10.0, app="shop", scraper="prices"))).expected == 1000.0 + DAY


def test_tasks_are_found_by_their_task() -> None:
    """A task has its own label."""
    jobs = since(Jobs(config({"app": "shop", "task": "shop.reindex", "every": "1h"})), 0.0)

    assert state(jobs, view(success(DONE, 50.0, app="shop", task="shop.reindex"))).expected == 3650.0


def test_nothing_is_expected_of_what_cannot_be_read() -> None:
    """Unknown while the job's source is not counted; one that never succeeded may be in any source."""
    jobs = since(Jobs(config(PRICES)), 0.0)
    seen, other = view(success(SCRAPED, 10.0, app="shop", scraper="prices")), view(source="other")

    assert state(jobs, seen, other, fresh=("native",)).expected == 10.0 + DAY
    assert state(jobs, seen, other, fresh=("other",)) == JobState(jobs._config.jobs[0], 10.0, None)
    assert state(jobs, view(), other, fresh=("native",)).expected is None


def test_nothing_is_expected_of_an_app_in_two_stores_while_one_cannot_be_read() -> None:
    """The job's last run may have been on a host that writes to the other."""
    configuration = convert({
        "database": {"dsn": UNREACHABLE}, "jobs": [PRICES],
        "sources": [{"preset": "native"}, {"preset": "native", "name": "b", "database": {"dsn": "host=b"}}],
    })  # fmt: skip
    jobs = since(Jobs(configuration), 0.0)
    seen, other = view(success(SCRAPED, 10.0, app="shop", scraper="prices")), view(source="b")

    assert state(jobs, seen, other, fresh=("native",)).expected is None
    assert state(jobs, seen, other, fresh=("native", "b")).expected == 10.0 + DAY
    # One that is the same store as the first, and is not counted, is nothing to wait for.
    assert state(jobs, seen, replace(other, doubled=True), fresh=("native",)).expected == 10.0 + DAY


@pytest.mark.parametrize("app", ["shop", "_other_"])
def test_nothing_is_expected_of_what_found_no_room(app: str) -> None:
    """A scraper without a series of its own may have run: it is in the series of all others."""
    jobs = since(Jobs(config(PRICES)), 0.0)

    assert state(jobs, view(success(SCRAPED, 10.0, app=app, scraper="_other_"))).expected is None


@contextmanager
def running(configuration: Config) -> Iterator[Jobs]:
    """Run the thread of jobs until it has asked the store."""
    jobs = Jobs(configuration)
    jobs.since = dict.fromkeys(configuration.jobs, math.inf)
    jobs.start()
    poll_until(lambda: math.inf not in jobs.since.values())
    yield jobs
    jobs.stop()


def test_the_store_remembers_schedules(store_database: Database) -> None:
    """A restart changes nothing, nor does another grace; another schedule or time zone begins again."""
    with running(config(PRICES, dsn=store_database.dsn)) as jobs:
        first = next(iter(jobs.since.values()))
    assert abs(first - time.time()) < 3600
    store_database.execute("UPDATE monitoring.job_schedule SET since = since - interval '720 hours'")

    def again(**changed: str) -> float:
        with running(config({**PRICES, **changed}, dsn=store_database.dsn)) as jobs:
            return next(iter(jobs.since.values()))

    assert again() == pytest.approx(first - 30 * DAY)
    assert again(grace="5m") == pytest.approx(first - 30 * DAY)
    assert again(every="2d") >= first
    store_database.execute("UPDATE monitoring.job_schedule SET since = since - interval '720 hours'")
    assert again(every="2d", time_zone="Europe/Berlin") >= first


def test_a_reload_keeps_what_is_known() -> None:
    """Until the store has answered, a job that was there before is expected as before."""
    old = since(Jobs(config(PRICES)), 1000.0)
    new = Jobs(config(PRICES, {**PRICES, "app": "blog"}), old)
    kept, added = new.since.values()

    assert kept == 1000.0
    assert added > 1000.0
    assert not new.same_as(config(PRICES))
    assert old.same_as(config(PRICES))


def test_an_older_schema_is_named(store_database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """Jobs are expected since the start, and the log says what to do."""
    store_database.execute("DROP TABLE monitoring.job_schedule")
    jobs = Jobs(config(PRICES, dsn=store_database.dsn))
    jobs.start()
    poll_until(lambda: caplog.text)
    jobs.stop()

    assert "monitoring.job_schedule" in caplog.text
    assert "run `platform-exporter schema apply`" in caplog.text
    assert state(jobs, view()).expected is not None


def test_scrapes_show_jobs(store_database: Database, tmp_path: Path) -> None:
    """From rows to the exposition: a scraper that succeeded, and a task that failed only."""
    path = tmp_path / "platform-exporter.yml"
    path.write_text(f"""
database: {{dsn: "{store_database.dsn}", poll_interval_seconds: 0.1}}
scrape_interval_seconds: 0
jobs:
  - {{app: shop, scraper: prices, cron: "0 3 * * 0", time_zone: Europe/Berlin}}
  - {{app: shop, task: mail, every: 1d, grace: 2h}}
""")
    Store(store_database.dsn).execute(
        """INSERT INTO monitoring.scraping_run (at, app, scraper, outcome, duration_seconds)
            VALUES (now() - interval '1 minute', 'shop', 'prices', 'success', 1)"""
    )
    Store(store_database.dsn).execute(
        "INSERT INTO monitoring.background_task (at, app, task, outcome) VALUES (now(), 'shop', 'mail', 'failure')"
    )
    service = Service(path, loader.load(path))
    service.start()

    def shown() -> str | None:
        text = service.render("", None)[0].decode()
        return text if 'platform_job_last_success_timestamp_seconds{app="shop",scraper="prices"}' in text else None

    text = poll_until(shown)
    service.stop()

    assert (
        'platform_job_schedule_info{app="shop",schedule="0 3 * * 0",scraper="prices",time_zone="Europe/Berlin"} 1'
        in text
    )
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("platform_job_"))
    expected = float(values['platform_job_expected_timestamp_seconds{app="shop",scraper="prices"}'])
    assert time.strftime("%a", time.gmtime(expected)) == "Sun"
    assert float(values['platform_job_deadline_timestamp_seconds{app="shop",scraper="prices"}']) == expected + 3600
    due = float(values['platform_job_deadline_timestamp_seconds{app="shop",task="mail"}'])
    assert abs(due - time.time() - DAY - 7200) < 3600
    assert 'platform_job_last_success_timestamp_seconds{app="shop",task="mail"}' not in values


def test_another_job_is_another_key() -> None:
    """Jobs are known by all that they say."""
    assert Job(app="a", scraper="s", every="1d") != Job(app="a", scraper="s", every="2d")
