"""A simulated scraper: its jobs wait, run, make progress, and end."""

from dataclasses import dataclass

from exporter.demo import schedule
from exporter.demo.platform import FIELDS, PROXIES, Scraper
from exporter.demo.schedule import Simulation
from platform_sdk import emit
from platform_sdk.events.scraping_field import SCRAPING_FIELD
from platform_sdk.events.scraping_request import SCRAPING_REQUEST
from platform_sdk.typing import JobStatus

FAILURES = {"timeout": 4.0, "parse": 3.0, "connection": 2.0, "server_error": 2.0, "rate_limited": 1.0}
FAILURE_RATIO, BAN_RATIO = 0.04, 0.75
HEARTBEAT_SECONDS = 5.0
ITEMS_A_PAGE = 8
EXPECTED = (3600.0, 1, 0.5, 1800.0)
"""Of each scraper: seconds from success to success, least items, shortest and longest run in seconds."""
REFUSALS: dict[str | None, int | None] = {
    "timeout": None, "connection": None, "server_error": 502, "rate_limited": 429, "forbidden": 403,
}  # fmt: skip
"""The status of the requests for which a job fails."""
_OF_REQUESTS = (schedule.LAYOUT, schedule.PROXY, schedule.HASTE)
"""Incidents of what jobs request; in the others a job hangs."""


@dataclass(slots=True)
class Job:
    """One job: when it starts and ends if nothing happens; with `incident` it hangs until that incident ends."""

    job_id: str
    starts: float
    ends: float
    total: int
    reason: str | None = None
    incident: str = ""
    done: int = 0
    heartbeat_at: float = 0.0
    status: JobStatus | None = None


class Jobs:
    """The jobs of one scraper. `can_be_banned`: its site bans it at times; in `incidents` a job of it hangs."""

    def __init__(
        self, simulation: Simulation, scraper: Scraper, *, can_be_banned: bool, incidents: tuple[str, ...]
    ) -> None:
        self._simulation = simulation
        self._scraper = scraper
        self._can_be_banned = can_be_banned
        self._incidents = incidents
        self._live: list[Job] = []

    def step(self, begins: float, ends: float, rhythm: float) -> None:
        """Simulate one step: new jobs arrive, the others go on."""
        simulation, scraper = self._simulation, self._scraper
        banned = self._can_be_banned and simulation.is_active(schedule.BAN)
        for at in simulation.times(scraper.jobs_per_second * rhythm * (2 if banned else 1), begins, ends):
            self._live.append(self._new(at, banned=banned))
        for incident in self._incidents:
            if (
                incident not in _OF_REQUESTS
                and simulation.is_active(incident)
                and not any(job.incident == incident for job in self._live)
            ):
                job = self._new(begins, banned=False)
                job.incident, job.starts, job.ends, job.reason = incident, begins, begins + 300, "timeout"
                self._live.append(job)
        for job in self._live:
            self._advance(job, ends)
        self._live = [job for job in self._live if job.status in ("pending", "running")]

    def cancel(self, at: float) -> None:
        """Cancel all jobs: the demo ends."""
        for job in self._live:
            self._finish(job, at, "cancelled")
        self._live = []

    def _new(self, at: float, *, banned: bool) -> Job:
        simulation, scraper = self._simulation, self._scraper
        starts = at + simulation.random.uniform(1, 12)
        reason = None
        if simulation.happens(BAN_RATIO if banned else FAILURE_RATIO):
            reason = simulation.pick({"forbidden": 3, "blocked": 1}) if banned else simulation.pick(FAILURES)
        seconds = simulation.about(scraper.typical_seconds) * (0.2 if banned and reason else 0.6 if reason else 1)
        total = max(2, round(simulation.about(scraper.typical_items)))
        job_id = f"demo-{scraper.name}-{simulation.random.getrandbits(48):012x}"
        return Job(job_id, starts, starts + seconds, total, reason)

    def _advance(self, job: Job, at: float) -> None:
        if job.incident and self._simulation.is_active(job.incident):
            job.ends = max(job.ends, at + 1)
        if job.ends <= at:
            self._finish(job, job.ends, job.reason)
            return
        status: JobStatus = "running" if job.starts <= at else "pending"
        if status != job.status or at - job.heartbeat_at >= HEARTBEAT_SECONDS:
            job.status = status
            if not job.incident:
                progress = max(at - job.starts, 0.0) / max(job.ends - job.starts, 1.0)
                job.done = round(job.total * min(progress, 0.99))
            elif not job.done:
                job.done = job.total // 3
            if job.incident != schedule.SILENT_JOB or not job.heartbeat_at:
                self._heartbeat(job, at)

    def _heartbeat(self, job: Job, at: float, finished_at: float | None = None) -> None:
        job.heartbeat_at = at
        percent, started = (100 * job.done / job.total, job.starts) if job.status != "pending" else (None, None)
        emit.job_heartbeat(
            job.job_id, self._scraper.name, self._scraper.site, job.status or "pending", percent, job.total, job.done,
            started, finished_at,
        )  # fmt: skip

    def _finish(self, job: Job, at: float, reason: str | None) -> None:
        simulation = self._simulation
        simulation.at = at
        job.status = "completed" if reason is None else "cancelled" if reason == "cancelled" else "failed"
        job.done = job.total if reason is None else job.done if job.done < job.total else job.total // 2
        self._heartbeat(job, at, at)
        failed = round(simulation.about(job.total * 0.02, 0.8)) if reason is None else job.total // 10
        self._requests(job, reason)
        self._fields(job)
        emit.scraping_run(
            job.job_id, self._scraper.name, self._scraper.site, "success" if reason is None else "failure",
            max(at - job.starts, 0.1), reason=reason, items_processed=job.done, items_failed=min(failed, job.total),
            items_dropped=job.done // 20, response_bytes=job.done * round(simulation.about(40_000)),
            block="cloudflare" if reason == "blocked" else None, expected=EXPECTED,
        )  # fmt: skip

    def _requests(self, job: Job, reason: str | None) -> None:
        """Emit the requests that a job made, by status."""
        pages = 1 + job.done // ITEMS_A_PAGE
        statuses: dict[int | None, int] = {200: pages, 404: pages // 20, 503: pages // 25}
        if reason in REFUSALS:
            statuses[REFUSALS[reason]] = 3 + pages // 2
        if self._happens(schedule.PROXY):
            statuses[407] = 2 * pages
        blocked = pages // 2 if reason == "blocked" else 0
        rows = [(200, "cloudflare", blocked), *((status, None, requests) for status, requests in statuses.items())]
        price = PROXIES.get(self._scraper.proxy or "")
        for status, block, requests in rows:
            if requests:
                received = requests * round(self._simulation.about(60_000 if status == 200 else 2_000, 0.2))
                emit.event(
                    SCRAPING_REQUEST, job_id=job.job_id, scraper=self._scraper.name, site=self._scraper.site,
                    status=status, block=block, requests=requests,
                    retries=0 if status == 200 else requests - requests // 3, response_bytes=received,
                    proxy=self._scraper.proxy,
                    cost=price and requests * price[0] + received / 1e9 * price[1],
                    early=requests // 2 if status == 200 and self._happens(schedule.HASTE) else 0,
                    disallowed=requests // 20 if status == 200 else 0,
                )  # fmt: skip

    def _happens(self, incident: str) -> bool:
        """Tell whether an incident of this scraper's requests is under way."""
        return incident in self._incidents and self._simulation.is_active(incident)

    def _fields(self, job: Job) -> None:
        """Emit which fields of a job's items are filled; a layout may have changed, and the price is not found."""
        if not job.done:
            return
        about = {"job_id": job.job_id, "scraper": self._scraper.name}
        emit.event(SCRAPING_FIELD, **about, items=job.done)
        lost = self._happens(schedule.LAYOUT)
        for field, (kind, share) in FIELDS.items():
            filled = 0 if lost and field == "price" else round(job.done * share)
            if filled:
                emit.event(SCRAPING_FIELD, **about, field=field, type=kind, items=filled)
