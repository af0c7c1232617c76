"""What is shown never falls, and a new series is shown at 0 first, whatever becomes of the store and the exporter."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from exporter.aggregation.poller import Worker
from exporter.aggregation.scrapers import Scrapers
from exporter.aggregation.series import Total
from exporter.aggregation.shown import ShownSources
from exporter.aggregation.shown_file import NAME, ShownFile
from exporter.aggregation.snapshot import StoreState
from exporter.config.settings import Limits, Retention
from exporter.errors import StateError
from tests.aggregation.counting import Store, add_runs, settings
from tests.servers import fresh_database
from tools.stack.servers import Postgres

RUNS = "platform_scraping_runs_total"
WENT_BACK = "platform_exporter_counters_went_back_total"


class Exporter:
    """An exporter of one source, polled step by step, and what it shows."""

    def __init__(self, store: Store, folder: Path | None = None, interval_seconds: float = 0.0) -> None:
        self.shown = ShownSources(folder, interval_seconds)
        self.worker = self._worker(store)

    def _worker(self, store: Store) -> Worker:
        return Worker(store.plan, settings(store.dsn), Limits(), Retention(), shown=self.shown)

    def poll(self) -> None:
        self.worker.poll()
        assert self.worker.view.problems == ()

    def moves_to(self, store: Store) -> None:
        """Poll another store from now on, as after a failover."""
        self.worker._disconnect()
        self.worker = self._worker(store)
        self.poll()

    def end(self) -> None:
        self.worker._disconnect()
        self.shown.close()

    def value(self, metric: str = RUNS, **labels: str) -> float | None:
        """Return the sum of the values shown, None where there is no series."""
        found = [
            total.value
            for total in self.worker.view.totals
            if total.metric == metric and labels.items() <= total.labels.items()
        ]
        return sum(found) if found else None

    def created(self) -> dict[tuple[str, ...], float]:
        """Return when the counters that are above 0 began."""
        return {
            (total.metric, *total.labels.values()): total.created
            for total in self.worker.view.totals
            if total.type != "gauge" and total.value
        }


@pytest.fixture
def start() -> Iterator[Callable[..., Exporter]]:
    """Return a function that starts an exporter; all end with the test."""
    started: list[Exporter] = []

    def start(*arguments: object, **options: object) -> Exporter:
        started.append(Exporter(*arguments, **options))  # type: ignore[arg-type]
        started[-1].poll()
        return started[-1]

    yield start
    for one in started:
        one.end()


@pytest.fixture
def copies(postgres: Postgres, tmp_path: Path) -> Iterator[Callable[[Store], Store]]:
    """Return a function that restores a dump of a store, as it is now, beside it."""
    made: list[str] = []

    def copy(store: Store) -> Store:
        name = store.dsn.rpartition("/")[2]
        made.append(f"{name}_{len(made)}")
        return replace(store, dsn=postgres.restore(postgres.dump(name, tmp_path / made[-1]), made[-1]))

    yield copy
    for name in made:
        postgres.drop_database(name)


Start, Copy = Callable[..., Exporter], Callable[[Store], Store]


@pytest.fixture
def lagging(store: Store, postgres: Postgres) -> Iterator[tuple[Store, Store]]:
    """Return a store with 13 runs, 5 of them of a scraper it has alone, and an earlier copy of it with 8."""
    add_runs(store, 8)
    store.poll()
    with fresh_database(postgres, store.dsn.rpartition("/")[2]) as copy:
        add_runs(store, 3, "only")
        add_runs(store, 2)
        store.poll()
        yield store, replace(store, dsn=copy.dsn)


def test_a_store_that_goes_back_is_held(lagging: tuple[Store, Store], start: Start) -> None:
    """After a restore without 5 runs the counters stay, and go on once the store is where they are."""
    store, copy = lagging
    exporter = start(store)
    shown = [(exporter.value(), exporter.value(scraper="only"))]
    exporter.moves_to(copy)
    shown.append((exporter.value(), exporter.value(scraper="only")))
    add_runs(copy, 2)
    exporter.poll()
    shown.append((exporter.value(), exporter.value(scraper="only")))
    add_runs(copy, 4, "only")
    exporter.poll()
    shown.append((exporter.value(), exporter.value(scraper="only")))

    assert shown == [(13, 3), (13, 3), (13, 3), (14, 4)]


def test_histograms_are_held_in_every_part(lagging: tuple[Store, Store], start: Start) -> None:
    """Count, sum and buckets stay together."""

    def histogram() -> tuple[object, ...]:
        total = next(t for t in exporter.worker.view.totals if t.metric == "platform_scraping_run_duration_seconds")
        return total.value, total.total, total.buckets

    store, copy = lagging
    exporter = start(store)
    before = histogram()
    exporter.moves_to(copy)

    assert histogram() == before


@pytest.mark.parametrize("kept", ["in memory", "in a file"])
def test_what_was_shown_outlives_the_exporter(
    lagging: tuple[Store, Store], start: Start, tmp_path: Path, kept: str
) -> None:
    """Restarted after the store went back, or while it did and with a state folder, an exporter shows no less."""
    store, copy = lagging
    folder = tmp_path / "state" if kept == "in a file" else None
    first = start(store, folder)
    if folder is None:
        first.moves_to(copy)
    first.end()
    second = start(copy, folder)
    add_runs(copy, 1)
    second.poll()

    assert (second.value(), second.value(scraper="only")) == (13, 3)


def test_falls_are_counted_once(lagging: tuple[Store, Store], start: Start) -> None:
    """Two replicas that both remember hold the same, and count each counter that fell once."""
    store, copy = lagging
    replicas = [start(store), start(store)]
    before = [exporter.value(WENT_BACK) for exporter in replicas]
    for exporter in replicas:
        exporter.moves_to(copy)
    replicas[0].poll()
    fallen = copy.one("SELECT count(*) FROM monitoring.rollup WHERE held IS NOT NULL")

    assert before == [0, 0]
    assert {exporter.value(WENT_BACK) for exporter in replicas} == {float(fallen)}
    assert {exporter.value() for exporter in replicas} == {13}


def test_flap_back(lagging: tuple[Store, Store], start: Start) -> None:
    """Back at the first server nothing falls either, and what the other one counted meanwhile is not added."""
    store, copy = lagging
    exporter = start(store)
    exporter.moves_to(copy)
    add_runs(copy, 3)
    exporter.poll()
    exporter.moves_to(store)
    add_runs(store, 1)
    exporter.poll()

    assert exporter.value() == 14


def test_nothing_remembered_of_a_store_that_went_back(lagging: tuple[Store, Store], start: Start) -> None:
    """An exporter that does not know what was shown begins again at 0, and goes on so after its next start."""
    _, copy = lagging
    first = start(copy)
    add_runs(copy, 2)
    first.poll()
    shown = [first.value()]
    first.end()
    second = start(copy)
    shown.append(second.value())

    assert shown == [2, 2]
    assert copy.value(RUNS) == 10  # the rollup itself lost nothing


def test_replicas_follow_a_new_beginning(lagging: tuple[Store, Store], copies: Copy, start: Start) -> None:
    """Where one replica let the counters begin again, one that remembers does too: all are the same, falls as well."""
    store, copy = lagging
    remembers = start(store)
    remembers.moves_to(copy)
    again = copies(copy)
    add_runs(copy, 1, "lost")
    remembers.poll()
    forgot = start(again)
    remembers.moves_to(again)
    add_runs(again, 2)
    forgot.poll()
    remembers.poll()

    for exporter in (remembers, forgot):
        assert exporter.value(scraper="s") == 2
        assert exporter.value(WENT_BACK) == again.one("SELECT count(*) FROM monitoring.rollup WHERE held IS NOT NULL")


def test_a_store_that_began_again_is_held_too(lagging: tuple[Store, Store], copies: Copy, start: Start) -> None:
    """Counters that began at 0 once go on where they are when that store goes back later."""
    _, copy = lagging
    exporter = start(copy)
    add_runs(copy, 2)
    exporter.poll()
    again = copies(copy)
    add_runs(copy, 3)
    exporter.poll()
    shown = [exporter.value()]
    exporter.moves_to(again)
    shown.append(exporter.value())
    add_runs(again, 4)
    exporter.poll()
    shown.append(exporter.value())

    assert shown == [5, 5, 6]


def test_a_series_that_is_held_is_the_same_one(lagging: tuple[Store, Store], start: Start) -> None:
    """It began when it did, also where it was lost and came again: Prometheus 3 adds a 0 at a later time, a reset."""
    store, copy = lagging
    exporter = start(store)
    created = [exporter.created()]
    add_runs(copy, 9, "only")
    for to in (copy, store, copy):
        exporter.moves_to(to)
        created.append(exporter.created())
    later = [key for before, now in pairwise(created) for key in before if now[key] > before[key]]

    assert later == []
    assert exporter.value(scraper="only") == 9


def test_a_series_that_was_deleted_is_gone(store: Store, start: Start, tmp_path: Path) -> None:
    """Deleted on purpose it is not held, and is a new one if it comes again; also while no exporter ran."""
    add_runs(store, 5)
    exporter = start(store, tmp_path)
    store.execute("DELETE FROM monitoring.rollup")
    exporter.poll()
    shown = [exporter.value()]
    add_runs(store, 2)
    exporter.poll()
    shown.append(exporter.value())
    exporter.end()
    store.execute("DELETE FROM monitoring.rollup")
    add_runs(store, 1)
    shown.append(start(store, tmp_path).value())

    assert shown == [None, 2, 1]


def test_another_store_begins_at_zero(store: Store, copies: Copy, start: Start) -> None:
    """A source that is pointed at a store that is not a copy of the first shows what is counted from then on."""
    other = copies(store)
    add_runs(store, 5)
    add_runs(other, 3)
    other.execute("DELETE FROM monitoring.source")
    other.poll()
    exporter = start(store)
    exporter.moves_to(other)
    add_runs(other, 1)
    exporter.poll()

    assert exporter.value() == 1


def test_new_series_begin_at_zero(store: Store, start: Start) -> None:
    """Until a scraper has seen them; what was there before, and known series, show their value at once."""
    add_runs(store, 5)
    exporter = start(store, interval_seconds=0.1)
    shown = [exporter.value()]
    add_runs(store, 7, "new")
    add_runs(store, 1)
    exporter.poll()
    shown += [exporter.value(scraper="new"), exporter.value(scraper="s")]
    since = next(iter(exporter.worker._shown._born.values()))
    exporter.worker._shown._scrapers = Scrapers(0.1, lambda: since + 60)
    exporter.worker._shown._scrapers.note("prometheus", since + 60, scrapes=True)
    exporter.poll()
    shown.append(exporter.value(scraper="new"))

    assert shown == [5, 0, 6, 7]


def test_what_was_zero_before_is_not_held_back(store: Store, start: Start) -> None:
    """A reason of failure that is shown as 0 beside its attempts shows its first failures at once."""
    add_runs(store, 5)
    exporter = start(store, interval_seconds=60.0)
    store.execute(
        "INSERT INTO monitoring.scraping_run (at, app, scraper, outcome, reason, duration_seconds) "
        "VALUES (now(), 'a', 's', 'failure', 'timeout', 1), (now(), 'a', 'new', 'failure', 'timeout', 1)"
    )
    exporter.poll()
    failures = "platform_scraping_run_failures_total"

    assert (exporter.value(failures, scraper="s"), exporter.value(failures, scraper="new")) == (1, 0)


def test_a_series_at_zero_stays_new_over_a_restart(store: Store, start: Start, tmp_path: Path) -> None:
    """What only 0 was shown of is shown at 0 by the next process too."""
    exporter = start(store, tmp_path, 60.0)
    add_runs(store, 7)
    exporter.poll()
    exporter.end()
    again = start(store, tmp_path, 60.0)

    assert (exporter.value(), again.value()) == (0, 0)


def test_what_was_shown_is_there_at_once(store: Store, start: Start, tmp_path: Path) -> None:
    """A restarted exporter shows what it showed before its first poll, also where the store is away."""
    add_runs(store, 5)
    start(store, tmp_path).end()
    exporter = Exporter(store, tmp_path)
    shown = exporter.value()
    exporter.end()

    assert shown == 5


def test_each_exporter_has_its_own_folder(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one that is given the same says so."""
    monkeypatch.setattr("exporter.aggregation.shown_file.LOCK_SECONDS", 0.1)
    exporter = Exporter(store, tmp_path)
    with pytest.raises(StateError, match="another exporter uses it: give each its own `state_folder`"):
        ShownSources(tmp_path, 0.0)
    exporter.end()


def test_a_damaged_file_is_set_aside(store: Store, start: Start, tmp_path: Path) -> None:
    """The exporter starts without it and keeps it for people to look at."""
    (tmp_path / NAME).write_bytes(b"not a database" * 1000)
    add_runs(store, 5)

    assert start(store, tmp_path).value() == 5
    assert (tmp_path / "shown.damaged").exists()


def test_what_cannot_be_written_is_shown_and_said(store: Store, start: Start, tmp_path: Path) -> None:
    """Counting goes on where the state folder fails, as a problem of the source; all is written when it can be."""
    exporter = start(store, tmp_path)
    add_runs(store, 5)
    file = exporter.shown._file
    assert file is not None
    file._connection.execute("PRAGMA query_only = on")
    exporter.worker.poll()
    shown = (exporter.value(), exporter.worker.view.problems)
    file._connection.execute("PRAGMA query_only = off")
    exporter.poll()
    exporter.end()

    assert shown[0] == 5
    assert "state_folder" in shown[1][0]
    assert start(store, tmp_path).value() == 5


class TestScrapers:
    """When all have seen what is shown since a time."""

    @pytest.fixture
    def clock(self) -> Callable[[], float]:
        """Return a clock that the test sets."""
        self.now = 1000.0
        return lambda: self.now

    def test_cases(self, clock: Callable[[], float]) -> None:
        """One, two, one that is gone, people, and nobody."""

        def seen(*scrapes: tuple[float, str], at: float, since: float = 1000.0) -> bool:
            scrapers = Scrapers(15.0, clock)
            for self.now, client in scrapes:
                scrapers.note(client, self.now, scrapes=client != "curl")
            self.now = at
            return scrapers.saw(since)

        assert not seen((990, "a"), at=1030)
        assert seen((990, "a"), (1005, "a"), at=1020)
        assert not seen((990, "a"), (1005, "a"), at=1010)
        assert not seen((990, "a"), (995, "b"), (1005, "a"), at=1020)
        assert seen((990, "a"), (995, "b"), (1005, "a"), (1010, "b"), at=1020)
        assert seen((800, "b"), (990, "a"), (1005, "a"), at=1020)
        assert not seen((600, "a"), (1005, "curl"), at=1500)
        assert seen((1005, "curl"), at=1020)
        assert seen((930, "curl"), (970, "curl"), (1005, "curl"), at=1020)
        assert not seen(at=1030)
        assert seen(at=1130)
        assert not seen((880, "a"), (940, "a"), (1000.5, "a"), at=1060)
        assert seen((880, "a"), (940, "a"), (1000.5, "a"), at=1067)


def test_the_count_of_falls_never_falls(lagging: tuple[Store, Store], start: Start, tmp_path: Path) -> None:
    """From one store to the other and back, with a replica that runs on and one that starts anew each time."""
    runs_on = start(lagging[0])
    fallen: list[tuple[float | None, float | None]] = []
    for step in range(5):
        store = lagging[step % 2]
        runs_on.moves_to(store)
        starts_anew = start(store, tmp_path)
        for _ in range(2):
            add_runs(store, 1, f"of {step}")
            runs_on.poll()
            starts_anew.poll()
            fallen.append((runs_on.value(WENT_BACK), starts_anew.value(WENT_BACK)))
        starts_anew.end()

    assert fallen == sorted(fallen)
    assert fallen[-1] > fallen[1]


def test_what_has_ended_is_on_no_disk(tmp_path: Path) -> None:
    """A consumer who was erased: neither in the file nor in its log, while the exporter runs."""
    state = StoreState(None, None, None, ())
    file = ShownFile(tmp_path)
    try:
        total = Total("m", "counter", {"consumer": "ada-lovelace"}, 1.0)
        file.save("s", state, [("ada-lovelace", total)], ())
        before = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        file.save("s", state, (), ["ada-lovelace"])
        after = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    finally:
        file.close()

    assert b"ada-lovelace" in before
    assert b"ada-lovelace" not in after
