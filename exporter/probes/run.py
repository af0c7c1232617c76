"""Run the probes: all at once, under one deadline, one check at a time per target.

A scrape asks every target and waits until the deadline, never longer. Each target has one worker thread; a check that
hangs holds only its own thread, and until it ends that target is down with reason `timeout` and gets no second check.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from queue import SimpleQueue

from exporter.probes.base import Answer, Probe, ProbeError, ProbeResult, Reason, Status
from exporter.probes.reasons import reason_of
from exporter.redaction import Redactor

log = logging.getLogger(__name__)

Key = tuple[str, str]
"""What identifies a target: its labels `component` and `name`."""

MARGIN_RATIO = 0.05
MARGIN_SECONDS = 0.05
"""How much earlier than the scrape a probe must give up, at most: so that its own account of the timeout, and the end
of its check, come before the scrape leaves."""

CAUSE_CHARACTERS = 400
"""How much is kept of a cause: some libraries put a server's whole answer into their message."""

_ERRNO = re.compile(r"\[Errno -?\d+\] ")

CLOSE_SECONDS = 0.5
"""How long `close` waits, in all, for connections to be closed."""


class ProbeRunner:
    """Probes a set of targets and keeps the counts of failures. Thread-safe.

    A scrape that finds a target down counts one failure, whether it started the check itself, joined one in flight or
    found one hanging: like blackbox_exporter, where a scrape is a probe. Counts live as long as the target is in the
    set, also when its settings change.
    """

    def __init__(self, targets: Sequence[Probe] = ()) -> None:
        self._lock = threading.Lock()
        self._workers: dict[Key, _Worker] = {}
        self._failures: dict[Key, dict[str, int]] = {}
        self._statuses: dict[Key, Status] = {}
        self.replace(targets)

    def run(self, timeout_seconds: float) -> dict[Key, ProbeResult]:
        """Probe every target; block for at most `timeout_seconds` (and some milliseconds of scheduling)."""
        deadline = time.monotonic() + timeout_seconds
        with self._lock:
            workers = dict(self._workers)
        tickets = {key: worker.ask(timeout_seconds) for key, worker in workers.items()}
        wait([ticket.future for ticket in tickets.values() if not ticket.hangs], max(0.0, deadline - time.monotonic()))
        results = {key: ticket.result(timeout_seconds) for key, ticket in tickets.items()}
        for key, result in results.items():
            self._note(key, workers[key], result)
        return results

    def failures(self) -> dict[Key, dict[str, int]]:
        """Return the failures of every target so far by reason; every reason of its kind's closed list is there."""
        with self._lock:
            return {key: dict(by) for key, by in self._failures.items()}

    def replace(self, targets: Sequence[Probe]) -> None:
        """Probe `targets` from now on; those whose settings did not change keep their thread and connection."""
        with self._lock:
            old, self._workers = self._workers, {}
            for probe in targets:
                key = (probe.component, probe.name)
                kept = old.get(key)
                if kept is not None and kept.probe.settings == probe.settings:
                    probe.close()
                    self._workers[key] = old.pop(key)
                else:
                    self._workers[key] = _Worker(probe)
            self._failures = {
                key: self._failures.get(key) or dict.fromkeys(worker.probe.all_reasons(), 0)
                for key, worker in self._workers.items()
            }
            self._statuses = {key: self._statuses.get(key, Status.UNKNOWN) for key in self._workers}
        for worker in old.values():
            worker.stop()

    def close(self) -> None:
        """Stop probing. Waits a moment for connections to be closed, but for no check that hangs."""
        with self._lock:
            workers = list(self._workers.values())
        self.replace(())
        deadline = time.monotonic() + CLOSE_SECONDS
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))

    def _note(self, key: Key, worker: "_Worker", result: ProbeResult) -> None:
        """Count the result and log a change of status; a target that was replaced meanwhile is no longer ours."""
        with self._lock:
            if self._workers.get(key) is not worker:
                return
            before, self._statuses[key] = self._statuses[key], result.status
            if result.reason is not None:
                self._failures[key][str(result.reason)] += 1
        if before != result.status and (before, result.status) != (Status.UNKNOWN, Status.HEALTHY):
            level = logging.INFO if result.status is Status.HEALTHY else logging.WARNING
            log.log(level, "%s %s is %s (was %s)%s", *key, result.status, before, result.cause and f": {result.cause}")


@dataclass(frozen=True, slots=True)
class _Ticket:
    """A scrape's share in a check; `hangs` where an earlier scrape already gave up that check."""

    future: "Future[ProbeResult]"
    asked: float
    since: datetime
    hangs: bool

    def result(self, timeout_seconds: float) -> ProbeResult:
        """Return the check's result, or that it timed out. Does not block."""
        if self.hangs:
            cause = f"no answer since {self.since:%Y-%m-%d %H:%M:%S} UTC: an earlier check still hangs"
            return ProbeResult(Status.UNHEALTHY, timeout_seconds, cause, Reason.TIMEOUT)
        if not self.future.done():
            cause = f"no answer in {timeout_seconds:.3g} s"
            return ProbeResult(Status.UNHEALTHY, time.monotonic() - self.asked, cause, Reason.TIMEOUT)
        return self.future.result()


class _Worker:
    """One probe and the thread that runs its checks; the thread starts at the first question."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self._redact = Redactor(probe.settings)
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._current: _Ticket | None = None
        self._gives_up = 0.0

    def ask(self, timeout_seconds: float) -> _Ticket:
        """Start a check, or join the one in flight; where that one is past its time, say that it hangs."""
        with self._lock:
            now = time.monotonic()
            if self._current is not None:
                return replace(self._current, asked=now, hangs=now >= self._gives_up)
            future: Future[ProbeResult] = Future()
            ticket = _Ticket(future, now, datetime.now(UTC), hangs=False)
            if self._stopped:  # a reload came between the scrape's look at the targets and this question
                future.set_result(ProbeResult(Status.UNKNOWN, 0.0, "no longer configured"))
                return ticket
            self._current = ticket
            self._gives_up = now + timeout_seconds
            self._jobs.put(lambda: self._check(future, timeout_seconds))
            if self._thread is None:
                name = f"probe-{self.probe.component}-{self.probe.name}"
                self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
                self._thread.start()
            return ticket

    def stop(self) -> None:
        """Let the thread close the probe and end, after the check in flight. Does not block."""
        with self._lock:
            self._stopped = True
            if self._thread is None:
                self.probe.close()
            self._jobs.put(None)

    def join(self, timeout_seconds: float) -> None:
        """Wait for the thread to end, unless a check is in flight."""
        if self._thread is not None and self._current is None:
            self._thread.join(timeout_seconds)

    def _loop(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
        self.probe.close()

    def _check(self, future: "Future[ProbeResult]", timeout_seconds: float) -> None:
        result = self._scored(timeout_seconds)
        with self._lock:
            self._current = None
        future.set_result(result)

    def _scored(self, timeout_seconds: float) -> ProbeResult:
        """Run the check and turn whatever comes of it into a result."""
        start = time.monotonic()
        try:
            budget = timeout_seconds - min(timeout_seconds * MARGIN_RATIO, MARGIN_SECONDS)
            answer = self.probe.check(budget)
        except ProbeError as error:
            return self._failed(start, error.reason, error.cause, error)
        except Exception as error:
            reason = reason_of(error)
            if reason is None:
                log.debug("%s %s: unforeseen", self.probe.component, self.probe.name, exc_info=error)
            return self._failed(start, reason or Reason.OTHER, f"{type(error).__name__}: {error}", None)
        return self._answered(start, answer)

    def _answered(self, start: float, answer: Answer) -> ProbeResult:
        status = Status.DEGRADED if answer.degraded else Status.HEALTHY
        cause = self._shown("; ".join(found.cause for found in answer.degraded))
        weaknesses = tuple(found.weakness for found in answer.degraded)
        return ProbeResult(status, time.monotonic() - start, cause, None, answer.gauges, weaknesses)

    def _failed(self, start: float, reason: str, cause: str, error: ProbeError | None) -> ProbeResult:
        gauges = error.gauges if error is not None else ()
        return ProbeResult(Status.UNHEALTHY, time.monotonic() - start, self._shown(cause), reason, gauges)

    def _shown(self, cause: str) -> str:
        """Return a cause as people see it: in one line, without secrets, and without numbers of errors."""
        return " ".join(_ERRNO.sub("", self._redact(cause)).split())[:CAUSE_CHARACTERS]
