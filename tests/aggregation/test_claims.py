"""An event store that is listed twice is counted by one source."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.aggregation.claims import StoreClaims, identity
from exporter.aggregation.poller import Worker
from exporter.aggregation.shown import ShownSources
from exporter.config.settings import Limits, Retention
from exporter.errors import DoubledStoreError
from tests.aggregation.counting import Store, add_runs, settings
from tests.servers import fresh_database, poll_until
from tools.stack.servers import Postgres


class Asked(threading.Event):
    """An event that says when somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.by = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        """Note it, and wait."""
        self.by.set()
        return super().wait(timeout)


def test_the_first_in_the_configuration_counts(store: Store) -> None:
    """Also where the other connects before it; one whose first attempt fails is waited for no longer."""
    claims = StoreClaims(["a", "b", "c"])
    asked, problems = Asked(), list[str]()

    def second() -> None:
        with store.connect() as connection, pytest.raises(DoubledStoreError) as raised:
            claims.take(connection, "c", asked)
        problems.append(str(raised.value))

    thread = threading.Thread(target=second)
    thread.start()
    poll_until(asked.by.is_set)
    claims.tried("b")
    with store.connect() as connection:
        claims.take(connection, "a", threading.Event())
    claims.tried("a")
    thread.join()

    assert "is that of source a, by another spelling of its DSN" in problems[0]


def test_one_that_was_refused_is_not_faster_later(store: Store, postgres: Postgres, store_template: str) -> None:
    """A failover gives the store another history: it is still the other source's, until the configuration changes."""
    claims, never = StoreClaims(), threading.Event()
    with fresh_database(postgres, store_template) as other, store.connect() as before, other.connect() as after:
        claims.take(before, "a", never)
        for connection in (before, after):
            with pytest.raises(DoubledStoreError, match="source a"):
                claims.take(connection, "b", never)
        claims.take(after, "a", never)
        claims.keep(["a", "b"])
        claims.take(before, "b", never)
        with pytest.raises(DoubledStoreError, match="source b"):
            claims.take(before, "a", never)
        claims.keep(["a"])
        claims.take(before, "a", never)


def test_stores_are_told_apart(store: Store, postgres: Postgres, store_template: str) -> None:
    """By another database of one server; not by how it is connected to."""
    with (
        fresh_database(postgres, store_template) as other,
        store.connect() as one,
        other.connect() as another,
        store.connect_as_exporter() as same,
    ):
        assert identity(one) == identity(same) != identity(another)


def test_what_an_earlier_version_counted_twice_is_shown_once(store: Store, tmp_path: Path) -> None:
    """What is remembered of the source that is refused is forgotten: it would be there again at each start."""
    add_runs(store, 3)
    shown, claims = ShownSources(tmp_path, 0.0), StoreClaims(["native", "second"])
    plans = [replace(store.plan, name=name, streams=tuple(replace(one, source=name) for one in store.plan.streams))
             for name in ("native", "second")]  # fmt: skip
    make: Callable[..., list[Worker]] = lambda **more: [  # noqa: E731
        Worker(plan, settings(store.dsn), Limits(), Retention(), shown=shown, **more) for plan in plans
    ]
    for worker in make():
        worker.poll()
        worker._disconnect()
    again = make(claims=claims)
    before = [bool(worker.view.totals) for worker in again]
    for worker in again:
        worker.start()
    poll_until(lambda: again[1].view.doubled and again[0].view.polled_at)
    for worker in again:
        worker.stop()
    shown.close()
    remembered = ShownSources(tmp_path, 0.0)

    assert before == [True, True]
    assert (again[1].view.totals, again[1].view.known) == ((), True)
    assert [remembered.of(name).known for name in ("native", "second")] == [True, False]
    remembered.close()
