"""The runner: one deadline for all, one check at a time, every failure counted."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import pytest
from msgspec import Struct

import exporter.probes.run
from exporter.probes.base import Answer, Degradation, ProbeError, Reason, Status
from exporter.probes.run import ProbeRunner
from exporter.sections import Secret
from tests.probes.probing import Scripted
from tests.servers import PATIENCE_SECONDS
from tools.stack.process import poll_until

KEY = ("scripted", "main")


class Settings(Struct, frozen=True):
    """Stand for a section of the configuration."""

    dsn: Secret


@pytest.fixture
def runner() -> Iterator[ProbeRunner]:
    """Return a runner without targets."""
    subject = ProbeRunner()
    yield subject
    subject.close()


@pytest.fixture
def probe(runner: ProbeRunner) -> Scripted:
    """Return the runner's only probe, which answers at once."""
    subject = Scripted()
    runner.replace([subject])
    return subject


@pytest.fixture
def hanging(runner: ProbeRunner) -> Iterator[Scripted]:
    """Return the runner's only probe, which hangs; one scrape found that out."""
    subject = Scripted(holds=True)
    runner.replace([subject])
    runner.run(0.05)
    subject.started.acquire()
    yield subject
    subject.free.set()


def thread_of(name: str) -> threading.Thread | None:
    return next((thread for thread in threading.enumerate() if thread.name == f"probe-scripted-{name}"), None)


def test_healthy(runner: ProbeRunner, probe: Scripted) -> None:
    """A probe that answers without a cause is healthy."""
    result = runner.run(PATIENCE_SECONDS)[KEY]

    assert (result.status, result.up, result.cause, result.reason) == (Status.HEALTHY, True, "", None)
    assert result.problems == ()


def test_degraded(runner: ProbeRunner, probe: Scripted) -> None:
    """A probe that answers with causes is degraded: up, and the causes are said."""
    full, slow = (Degradation("memory", cause) for cause in ("full", "slow"))
    probe.answer = Answer((full, slow, Degradation("drives", "one gone")))
    result = runner.run(PATIENCE_SECONDS)[KEY]

    assert (result.status, result.up, result.cause) == (Status.DEGRADED, True, "full; slow; one gone")
    assert result.problems == ("memory", "drives")


def test_failed(runner: ProbeRunner, probe: Scripted) -> None:
    """A ProbeError is unhealthy, with its reason and cause."""
    probe.failure = ProbeError(Reason.AUTH, "wrong\npassword")
    result = runner.run(PATIENCE_SECONDS)[KEY]

    assert (result.status, result.up, result.reason) == (Status.UNHEALTHY, False, Reason.AUTH)
    assert result.cause == "wrong password"
    assert result.problems == (Reason.AUTH,)


def test_unforeseen(runner: ProbeRunner, probe: Scripted) -> None:
    """Any other exception is unhealthy with reason other, and fails no scrape."""
    probe.failure = ZeroDivisionError("division by zero")
    result = runner.run(PATIENCE_SECONDS)[KEY]

    assert (result.reason, result.cause) == (Reason.OTHER, "ZeroDivisionError: division by zero")


def test_at_once(runner: ProbeRunner) -> None:
    """All targets are asked at once: three that wait for each other all answer."""
    barrier = threading.Barrier(3, timeout=PATIENCE_SECONDS)
    probes = [Scripted(name) for name in "abc"]
    for probe in probes:
        probe.free.wait = lambda timeout=None: bool(barrier.wait()) or True  # type: ignore[method-assign]
    runner.replace(probes)

    assert {result.status for result in runner.run(PATIENCE_SECONDS).values()} == {Status.HEALTHY}


class Waits:
    """What scrapes wait for, in place of `concurrent.futures.wait`: each until one check has ended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds: list[float] = []
        self.checks: list[int] = []
        monkeypatch.setattr(exporter.probes.run, "wait", self)

    def __call__(self, futures: Sequence[Future[object]], seconds: float) -> None:
        self.seconds.append(seconds)
        self.checks.append(len(futures))
        wait(futures, PATIENCE_SECONDS, FIRST_COMPLETED)


def test_deadline(runner: ProbeRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scrape waits until its deadline, then has the others' answers, and the one that hangs is down for a timeout."""
    waits = Waits(monkeypatch)
    stuck, quick = Scripted("stuck", holds=True), Scripted("quick")
    runner.replace([stuck, quick])
    results = runner.run(0.2)
    stuck.free.set()

    assert len(waits.seconds) == 1
    assert waits.seconds[0] <= 0.2
    assert results["scripted", "quick"].status is Status.HEALTHY
    assert results["scripted", "stuck"].reason is Reason.TIMEOUT


def test_no_second_check(runner: ProbeRunner, hanging: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a check hangs no second is started: the target is down for a timeout at once, with the time it began."""
    waits = Waits(monkeypatch)
    result = runner.run(PATIENCE_SECONDS)[KEY]

    assert waits.checks == [0]
    assert hanging.checks == 1
    assert result.reason is Reason.TIMEOUT
    assert "since 20" in result.cause


def test_late_answer(runner: ProbeRunner, hanging: Scripted) -> None:
    """A late answer is thrown away, but it ends the hang: the first answer that is shown is a second check's."""
    hanging.free.set()
    poll_until(lambda: runner.run(PATIENCE_SECONDS)[KEY].up)

    assert hanging.checks == 2


def test_join(runner: ProbeRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second scrape joins the check in flight and shares its result."""
    probe = Scripted(holds=True)
    runner.replace([probe])
    both_asked = threading.Barrier(2, action=probe.free.set, timeout=PATIENCE_SECONDS)
    monkeypatch.setattr(exporter.probes.run, "wait", lambda *arguments: (both_asked.wait(), wait(*arguments))[1])
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(runner.run, (PATIENCE_SECONDS, PATIENCE_SECONDS))

    assert first[KEY] is second[KEY]
    assert probe.checks == 1


def test_failures_start_at_zero(runner: ProbeRunner, probe: Scripted) -> None:
    """Every reason of the closed list is counted from 0 before anything failed."""
    assert runner.failures() == {KEY: dict.fromkeys(Reason, 0)}


def test_every_scrape_counts(runner: ProbeRunner, hanging: Scripted) -> None:
    """Each scrape that finds the target down is one failed probe, also while one check hangs through them all."""
    runner.run(0.05)
    runner.run(0.05)

    assert runner.failures()[KEY]["timeout"] == 3


def test_no_secret(runner: ProbeRunner) -> None:
    """The password of a DSN does not get into a cause."""
    probe = Scripted(settings=Settings(Secret("postgresql://app:hunter2@db/x")))
    probe.failure = ValueError("cannot use hunter2 at redis://other:word@cache/0")
    runner.replace([probe])

    assert runner.run(PATIENCE_SECONDS)[KEY].cause == "ValueError: cannot use ******** at redis://********@cache/0"


def test_lazy(runner: ProbeRunner, probe: Scripted) -> None:
    """No thread runs before the first scrape."""
    before = thread_of("main")
    runner.run(PATIENCE_SECONDS)

    assert before is None
    assert thread_of("main") is not None


def test_replace_keeps(runner: ProbeRunner) -> None:
    """A target whose settings did not change keeps its probe and its counts; the new probe is closed unused."""
    old, new = Scripted(settings="same"), Scripted(settings="same")
    old.failure = ProbeError(Reason.AUTH, "no")
    runner.replace([old])
    runner.run(PATIENCE_SECONDS)
    runner.replace([new])
    runner.run(PATIENCE_SECONDS)

    assert (old.checks, new.checks, new.closed.is_set()) == (2, 0, True)
    assert runner.failures()[KEY]["auth"] == 2


def test_replace_changed(runner: ProbeRunner) -> None:
    """A target whose settings changed gets the new probe and keeps its counts; the old one is closed."""
    old, new = Scripted(settings="old"), Scripted(settings="new")
    old.failure = ProbeError(Reason.AUTH, "no")
    runner.replace([old])
    runner.run(PATIENCE_SECONDS)
    runner.replace([new])
    result = runner.run(PATIENCE_SECONDS)[KEY]

    assert result.status is Status.HEALTHY
    assert old.closed.wait(PATIENCE_SECONDS)
    assert runner.failures()[KEY]["auth"] == 1


def test_replace_hanging(runner: ProbeRunner, hanging: Scripted) -> None:
    """New settings are used at once although the check of the old ones still hangs."""
    runner.replace([Scripted(settings="new")])

    assert runner.run(PATIENCE_SECONDS)[KEY].status is Status.HEALTHY


def test_removed(runner: ProbeRunner, probe: Scripted) -> None:
    """A target that is no longer configured leaves no result and no count behind."""
    runner.run(PATIENCE_SECONDS)
    runner.replace([])

    assert (runner.run(PATIENCE_SECONDS), runner.failures()) == ({}, {})


def test_close(probe: Scripted, runner: ProbeRunner) -> None:
    """Closing closes the probe, in its own thread."""
    runner.run(PATIENCE_SECONDS)
    runner.close()

    assert probe.closed.wait(PATIENCE_SECONDS)


def test_close_does_not_hang(runner: ProbeRunner, hanging: Scripted) -> None:
    """Closing waits for no check that hangs: when it returns the probe is not closed yet."""
    runner.close()

    assert not hanging.closed.is_set()


def test_log(runner: ProbeRunner, probe: Scripted, caplog: pytest.LogCaptureFixture) -> None:
    """A change of status is logged once, not at every scrape."""
    probe.failure = ProbeError(Reason.AUTH, "wrong password")
    runner.run(PATIENCE_SECONDS)
    runner.run(PATIENCE_SECONDS)

    assert [record.getMessage() for record in caplog.records] == [
        "scripted main is unhealthy (was unknown): wrong password"
    ]
