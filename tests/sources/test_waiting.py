"""Applications that wait for no one: short timeouts while a table is adopted, polled and maintained."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from tests.servers import Database, poll_until
from tests.sources.applications import TABLE, Application

LOCK_TIMEOUT_MS = 100


@dataclass
class Clients:
    """Sessions that insert, update and delete, and give up on any lock after a tenth of a second."""

    app: Application
    done: int = 0
    failed: list[str] = field(default_factory=list)

    @property
    def work(self) -> bool:
        """Whether next to nothing failed: a machine that pauses costs a few, waits longer than theirs one in ten."""
        return len(self.failed) * 40 <= self.done

    @contextmanager
    def running(self, count: int = 3) -> Iterator[None]:
        stop = threading.Event()
        threads = [threading.Thread(target=self._write, args=(stop, index)) for index in range(count)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _write(self, stop: threading.Event, index: int) -> None:
        with self.app.connect() as session:
            session.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}".encode())
            while not stop.wait(0.005):
                try:
                    session.execute("INSERT INTO jobs (name) VALUES (%s)", [f"w{index}"])
                    session.execute("UPDATE jobs SET status = 'DONE' WHERE name = %s AND status = 'NEW'", [f"w{index}"])
                    session.execute("DELETE FROM jobs WHERE name = %s", [f"w{index}"])
                    self.done += 1
                except psycopg.Error as error:
                    self.failed.append(f"{type(error).__name__}: {error.diag.message_primary}")


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Application:
    """Return an application with an empty table, not adopted."""
    application = Application(database, tmp_path)
    application.execute(TABLE.format(table="jobs", key=" PRIMARY KEY", partitioned=""))
    return application


def test_adoption_behind_a_long_transaction(app: Application) -> None:
    """While adopt waits for a transaction that holds the table, others get past it within a tenth of a second."""
    clients = Clients(app)
    with clients.running():
        poll_until(lambda: clients.done > 30)
        with app.connect() as holder, ThreadedAdoption(app) as adoption:
            holder.execute("BEGIN; INSERT INTO jobs (name) VALUES ('long')")
            adoption.start()
            poll_until(lambda: waits_for_lock(app))
            reached = clients.done
            poll_until(lambda: clients.done > reached + 300)
            holder.execute("COMMIT")
    counts = app.counts()

    assert adoption.output.endswith(f"is a source in {app.database.name}\n")
    assert clients.work, clients.failed
    assert counts["added"]["long"] == 1


def waits_for_lock(app: Application) -> bool:
    query = (
        "SELECT 1 FROM pg_stat_activity WHERE application_name = 'platform-exporter adopt' AND wait_event_type = 'Lock'"
    )
    return bool(app.execute(query))


class ThreadedAdoption(threading.Thread):
    """An adoption in the background; joined at the end of the `with`."""

    def __init__(self, app: Application) -> None:
        super().__init__()
        self._app, self.output = app, ""

    def run(self) -> None:
        self.output = self._app.try_to_adopt()[1]

    def __enter__(self) -> "ThreadedAdoption":
        return self

    def __exit__(self, *_: object) -> None:
        self.join()


def test_polls_and_maintenance(app: Application) -> None:
    """Polls and what removes counted rows, again and again, let no statement wait for a tenth of a second."""
    app.adopt()
    clients = Clients(app)
    deadline = time.monotonic() + 3
    with clients.running():
        while time.monotonic() < deadline or clients.done < 100:
            app.view()
    counts = app.counts()

    assert clients.work, clients.failed
    assert sum(counts["removed"].values()) == sum(counts["added"].values())
    assert sum(counts["ended"].values()) == sum(counts["added"].values())


def test_undo_behind_a_long_transaction(app: Application) -> None:
    """--undo gives way as well, and says who holds the table if it gets no lock at all."""
    app.adopt()
    clients = Clients(app)
    with clients.running(), app.connect() as holder:
        holder.execute("BEGIN; INSERT INTO jobs (name) VALUES ('long')")
        undo = threading.Thread(target=app.try_to_adopt, args=("--undo",))
        undo.start()
        poll_until(lambda: waits_for_lock(app))
        reached = clients.done
        poll_until(lambda: clients.done > reached + 100)
        holder.execute("COMMIT")
        undo.join()

    assert clients.work, clients.failed
    assert app.execute("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal") == [(0,)]
