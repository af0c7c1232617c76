"""Jobs with a schedule in the configuration: when each is expected, by its newest success and its schedule's age."""

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import psycopg

from exporter.aggregation.series import SourceView
from exporter.config.schedules import Job
from exporter.config.settings import Config
from exporter.database.connection import backoff_seconds, connect
from exporter.errors import PlatformError
from platform_sdk.events.base import OTHER

logger = logging.getLogger(__name__)

SUCCESSES = {
    "platform_scraping_last_success_timestamp_seconds": "scraper",
    "platform_background_task_last_success_timestamp_seconds": "task",
}
"""The series that say when a job last succeeded, and the label that names it."""

RETRY_SECONDS = 5.0

_REMEMBER = """INSERT INTO monitoring.job_schedule (app, kind, name, schedule) VALUES (%s, %s, %s, %s)
ON CONFLICT (app, kind, name) DO UPDATE SET schedule = excluded.schedule,
    since = CASE WHEN monitoring.job_schedule.schedule = excluded.schedule THEN monitoring.job_schedule.since
        ELSE now() END
RETURNING extract(epoch FROM since)::float8"""


@dataclass(frozen=True, slots=True)
class JobState:
    """What is known of a job: its newest success, and when its next one was or is expected; in Unix seconds.

    Without a success `succeeded` is None. `expected` is None while the job's source cannot be read.
    """

    job: Job
    succeeded: float | None
    expected: float | None


class Jobs:
    """The jobs of a configuration, and the thread that asks the event store since when each has its schedule.

    A job that never succeeded is expected from then on, whatever restarts meanwhile. Until the store has answered, that
    is since this was made: later, never earlier.
    """

    def __init__(self, config: Config, known: "Jobs | None" = None) -> None:
        """Take over from the jobs `known` before a reload."""
        self._config = config
        began = time.time()
        before = known.since if known else {}
        self.since: Mapping[Job, float] = {job: before.get(job, began) for job in config.jobs}
        self._stores = {source.label for source in config.sources if source.preset == "native"}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)

    def same_as(self, config: Config) -> bool:
        """Return whether another configuration has the same jobs, stores and sources."""
        mine, theirs = ((each.jobs, each.database, each.sources) for each in (self._config, config))
        return mine == theirs

    def start(self) -> None:
        if self._config.jobs:
            self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """End the thread; a connection attempt ends by its own timeout."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def states(self, views: Iterable[SourceView], fresh: set[str]) -> Iterator[JobState]:
        """Yield the state of each job; `fresh` names the sources that were just counted."""
        if not self.since:
            return
        views = tuple(views)
        found = _successes(views)
        stores = self._stores - {view.source for view in views if view.doubled}
        for job, since in self.since.items():
            succeeded = found.get(_key(job.labels), {})
            newest = max(succeeded.values(), default=None)
            # One that never succeeded may be in any source, and one without a series of its own in one for all others.
            # What an app's next host writes may be in another event store than before.
            places = set(succeeded or [view.source for view in views if not view.doubled])
            known = fresh.issuperset(places | stores if places & stores else places)
            if not succeeded and _is_folded(job, found):
                known = False
            expected = job.expected_after(max(newest or 0.0, since))
            yield JobState(job, newest, expected if known else None)

    def _run(self) -> None:
        failures, said = 0, ""
        while not self._stopping.is_set():
            try:
                self._remember()
            except (PlatformError, psycopg.Error) as error:
                failures += 1
                advice = "; run `platform-exporter schema apply`" * isinstance(error, psycopg.errors.UndefinedTable)
                if (problem := str(error).strip() + advice) != said:
                    logger.error("since when jobs have their schedules is not known: %s", problem)
                said = problem
                self._stopping.wait(backoff_seconds(failures, RETRY_SECONDS))
            except Exception:  # the thread must not end the process's log in silence
                logger.exception("since when jobs have their schedules is not known")
                return
            else:
                return

    def _remember(self) -> None:
        since = {}
        with connect(self._config.database, "jobs") as connection, connection.transaction():
            for job in sorted(self._config.jobs, key=lambda job: sorted(job.labels.items())):
                (_, app), (kind, name) = job.labels.items()
                schedule = f"{job.schedule} {job.time_zone}"
                row = connection.execute(_REMEMBER, [app, kind, name, schedule]).fetchone()
                assert row is not None  # noqa: S101 - an upsert returns its row
                since[job] = row[0]
        self.since = {job: since[job] for job in self._config.jobs}


_Key = tuple[tuple[str, str], ...]


def _key(labels: Mapping[str, str]) -> _Key:
    return tuple(sorted(labels.items()))


def _successes(views: Iterable[SourceView]) -> dict[_Key, dict[str, float]]:
    """Return when each job last succeeded, by its labels and by source."""
    found: dict[_Key, dict[str, float]] = {}
    for view in views:
        for total in view.totals:
            if (label := SUCCESSES.get(total.metric)) is not None:
                key = _key({"app": total.labels.get("app", ""), label: total.labels.get(label, "")})
                found.setdefault(key, {})[view.source] = total.value
    return found


def _is_folded(job: Job, found: Mapping[_Key, object]) -> bool:
    """Tell whether a job without a series may be in the series of all that found no room."""
    label = "scraper" if job.scraper else "task"
    return any(_key({"app": app, label: OTHER}) in found for app in (job.app, OTHER))
