"""Play a scraper: its jobs wait, run, make progress, and end."""

from dataclasses import dataclass, field

from exporter.demo import schedule
from exporter.demo.platform import Scraper
from exporter.demo.stage import Stage
from platform_sdk import emit

FAILURES = {"timeout": 4.0, "parse": 3.0, "connection": 2.0, "server_error": 2.0, "rate_limited": 1.0}
FAILURE_RATIO, BAN_RATIO = 0.04, 0.75
BEAT_SECONDS = 5.0


@dataclass(slots=True)
class Job:
    """Hold a job: when it starts and ends if nothing happens; a `held` one waits for the end of that incident."""

    job_id: str
    starts: float
    ends: float
    total: int
    reason: str | None = None
    held: str = ""
    done: int = 0
    told_at: float = 0.0
    status: str = field(default="")


class Jobs:
    """Run the jobs of one scraper. `bans` says that its site bans it, `held` which incidents take a job of it."""

    def __init__(self, stage: Stage, scraper: Scraper, *, bans: bool, held: tuple[str, ...]) -> None:
        self._stage = stage
        self._scraper = scraper
        self._bans = bans
        self._held = held
        self.live: list[Job] = []

    def step(self, begins: float, ends: float, rhythm: float) -> None:
        """Play one step: new jobs come, the others go on."""
        stage, scraper = self._stage, self._scraper
        banned = self._bans and stage.is_on(schedule.BAN)
        for at in stage.times(scraper.jobs_per_second * rhythm * (2 if banned else 1), begins, ends):
            self.live.append(self._new(at, banned=banned))
        for kind in self._held:
            if stage.is_on(kind) and not any(job.held == kind for job in self.live):
                job = self._new(begins, banned=False)
                job.held, job.starts, job.ends, job.reason = kind, begins, begins + 300, "timeout"
                self.live.append(job)
        for job in self.live:
            self._advance(job, ends)
        self.live = [job for job in self.live if job.status in ("pending", "running")]

    def cancel(self, at: float) -> None:
        """End all, as the demo does."""
        for job in self.live:
            self._finish(job, at, "cancelled")
        self.live = []

    def _new(self, at: float, *, banned: bool) -> Job:
        stage, scraper = self._stage, self._scraper
        starts = at + stage.random.uniform(1, 12)
        reason = None
        if stage.happens(BAN_RATIO if banned else FAILURE_RATIO):
            reason = stage.pick({"forbidden": 3, "blocked": 1}) if banned else stage.pick(FAILURES)
        seconds = stage.about(scraper.typical_seconds) * (0.2 if banned and reason else 0.6 if reason else 1)
        total = max(2, round(stage.about(scraper.typical_items)))
        return Job(
            f"demo-{scraper.name}-{stage.random.getrandbits(48):012x}",
            starts,
            starts + seconds,
            total,
            reason,
        )

    def _advance(self, job: Job, at: float) -> None:
        if job.held and self._stage.is_on(job.held):
            job.ends = max(job.ends, at + 1)
        if job.ends <= at:
            self._finish(job, job.ends, job.reason)
            return
        status = "running" if job.starts <= at else "pending"
        if status != job.status or at - job.told_at >= BEAT_SECONDS:
            job.status = status
            share = max(at - job.starts, 0.0) / max(job.ends - job.starts, 1.0)
            if not job.held:
                job.done = round(job.total * min(share, 0.99))
            elif not job.done:
                job.done = job.total // 3
            if job.held != schedule.SILENT_JOB or not job.told_at:
                self._tell(job, at)

    def _tell(self, job: Job, at: float, finished_at: float | None = None) -> None:
        job.told_at = at
        percent, started = (100 * job.done / job.total, job.starts) if job.status != "pending" else (None, None)
        emit.job_heartbeat(
            job.job_id, self._scraper.name, self._scraper.site, job.status, percent, job.total, job.done, started,
            finished_at,
        )  # fmt: skip

    def _finish(self, job: Job, at: float, reason: str | None) -> None:
        stage = self._stage
        stage.at = at
        job.status = "completed" if reason is None else "cancelled" if reason == "cancelled" else "failed"
        job.done = job.total if reason is None else job.done if job.done < job.total else job.total // 2
        self._tell(job, at, at)
        failed = round(stage.about(job.total * 0.02, 0.8)) if reason is None else job.total // 10
        emit.scraping_run(
            job.job_id, self._scraper.name, self._scraper.site, "success" if reason is None else "failure",
            max(at - job.starts, 0.1), reason=reason, items_processed=job.done, items_failed=min(failed, job.total),
            items_dropped=job.done // 20, response_bytes=job.done * round(stage.about(40_000)),
        )  # fmt: skip
