"""Servers of a killed test run are ended by the next run, those of a living one are not."""

import os
import signal
from collections.abc import Iterator
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


def test_a_living_session_is_left_alone(server: Process, tmp_path: Path) -> None:
    """Workers of one run start one after the other."""
    mark_session(tmp_path / f"{SESSION_PREFIX}one")
    end_abandoned_sessions(tmp_path)

    assert server.alive
