"""Servers of a killed test run are ended by the next run, those of a living one are not."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.servers import SESSION_PREFIX, end_abandoned_sessions, mark_session
from tools.stack.pidfile import Identity, PidRecord, identity_of
from tools.stack.process import Command, Process


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Process]:
    """Return a running process in a session's folder, in a root of its own."""
    state = tmp_path / f"{SESSION_PREFIX}one" / "test" / "1"
    state.mkdir(parents=True)
    process = Process("server", state)
    process.start(Command(["sleep", "600"]))
    yield process
    process.kill()


def test_an_abandoned_session_is_ended(server: Process, tmp_path: Path) -> None:
    """Its owner is gone, whoever may have that pid now."""
    me = identity_of(os.getpid())
    assert me is not None
    gone = Identity(me.pid, me.start_ticks - 1, me.boot_id)
    PidRecord("pytest", gone, signal.SIGTERM).write(tmp_path / f"{SESSION_PREFIX}one" / "owner")
    end_abandoned_sessions(tmp_path)

    assert not server.alive
    assert not (tmp_path / f"{SESSION_PREFIX}one").exists()


def test_workers_that_start_together_end_it_together(tmp_path: Path) -> None:
    """What one of them finds may be gone before it looks closer."""
    me = identity_of(os.getpid())
    assert me is not None
    gone = PidRecord("pytest", Identity(me.pid, me.start_ticks - 1, me.boot_id), signal.SIGTERM)
    with ThreadPoolExecutor(4) as workers:
        for turn in range(50):
            for number in range(4):
                folder = tmp_path / f"{SESSION_PREFIX}{turn}-{number}"
                (folder / "a/b/c").mkdir(parents=True)
                gone.write(folder / "owner")
            assert list(workers.map(end_abandoned_sessions, [tmp_path] * 4)) == [None] * 4

    assert list(tmp_path.iterdir()) == []


def test_a_living_session_is_left_alone(server: Process, tmp_path: Path) -> None:
    """Workers of one run start one after the other."""
    mark_session(tmp_path / f"{SESSION_PREFIX}one")
    end_abandoned_sessions(tmp_path)

    assert server.alive
