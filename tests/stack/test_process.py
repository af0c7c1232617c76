"""A child process is started, stopped, killed and frozen, with all that descends from it."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.stack.errors import StackError
from tools.stack.pidfile import Identity, PidRecord, descendants, identity_of
from tools.stack.process import Command, Process, poll_until, recorded_processes

# A parent whose child is in a process group of its own, as PostgreSQL's backends are; both count, the child to a file.
FAMILY = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    while True:
        with open(sys.argv[1], "a") as file:
            file.write("x")
        time.sleep(0.005)
print("parent is up", flush=True)
time.sleep(600)
"""


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Process]:
    """Return a running parent with one child, which writes to tmp_path/count."""
    process = Process("family", tmp_path)
    process.start(Command([sys.executable, "-c", FAMILY, str(tmp_path / "count")]))
    process.wait_until(lambda: (tmp_path / "count").exists() and "up" in process.log_tail(), 60)
    yield process
    process.kill()


def _members(process: Process) -> list[Identity]:
    assert process.pid is not None
    parent = identity_of(process.pid)
    assert parent is not None
    return [parent, *descendants(process.pid)]


def _state(member: Identity) -> str:
    return Path(f"/proc/{member.pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_stop_ends_the_whole_tree(family: Process) -> None:
    """A child in a group of its own does not outlive its parent."""
    members = _members(family)
    family.stop()

    assert len(members) == 2
    assert not any(member.exists for member in members)
    assert not family.alive


def test_freeze_reaches_children_in_other_process_groups(family: Process, tmp_path: Path) -> None:
    """A frozen tree does nothing, and goes on after thaw()."""
    family.freeze()
    poll_until(lambda: all(_state(member) == "T" for member in _members(family)))
    before = (tmp_path / "count").stat().st_size
    assert family.alive

    family.thaw()
    poll_until(lambda: (tmp_path / "count").stat().st_size > before)


def test_a_process_to_be_killed_is_not_asked(tmp_path: Path) -> None:
    """Where its pid file says SIGKILL, `stop` kills it with all that it started, before anything reacts."""
    process = Process("family", tmp_path, stop_signal=signal.SIGKILL)
    process.start(Command([sys.executable, "-c", FAMILY, str(tmp_path / "count")]))
    process.wait_until(lambda: (tmp_path / "count").exists() and "up" in process.log_tail(), 60)
    members = _members(process)
    (found,) = recorded_processes(tmp_path)
    found.stop()

    assert len(members) == 2
    assert not any(member.exists for member in members)
    assert process.exit_status == -signal.SIGKILL


def test_a_frozen_process_can_be_stopped(family: Process) -> None:
    """stop() thaws first, or SIGTERM would wait for ever."""
    family.freeze()
    family.stop(deadline_seconds=5)

    assert not family.alive


def test_stop_kills_what_ignores_sigterm(tmp_path: Path) -> None:
    """After the deadline it is killed."""
    process = Process("stubborn", tmp_path)
    code = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    process.start(Command([sys.executable, "-c", code]))
    process.wait_until(lambda: "up" in process.log_tail(), 60)
    process.stop(deadline_seconds=0.1)

    assert not process.alive


def test_a_process_that_ends_at_once_is_reported_with_its_log(tmp_path: Path) -> None:
    """The error shows why a server did not start."""
    process = Process("broken", tmp_path)
    process.start(Command([sys.executable, "-c", "raise SystemExit('no such luck')"]))

    with pytest.raises(StackError, match=r"(?s)broken ended with status 1.*no such luck"):
        process.wait_until(lambda: False, 60)


def test_the_log_quoted_is_of_the_latest_start(tmp_path: Path) -> None:
    """Words of an earlier run would mislead."""
    process = Process("twice", tmp_path)
    for word in ("first", "second"):
        process.start(Command([sys.executable, "-c", f"print('{word}')"]))
        poll_until(lambda: not process.alive)

    assert process.log_tail() == "second"
    assert process.log.read_text() == "first\nsecond\n"


def test_a_later_program_finds_and_stops_it_by_its_pid_file(family: Process, tmp_path: Path) -> None:
    """`make down` is another process than `make up`."""
    [found] = recorded_processes(tmp_path)
    found.stop()

    assert found.name == "family"
    assert not family.alive
    assert not (tmp_path / "family.pid").exists()


def test_a_recycled_pid_is_left_alone(tmp_path: Path) -> None:
    """A pid file whose number belongs to another process by now names no process."""
    with subprocess.Popen(["sleep", "600"]) as stranger:
        now = identity_of(stranger.pid)
        assert now is not None
        earlier = Identity(now.pid, now.start_ticks - 1, now.boot_id)
        PidRecord("old", earlier, signal.SIGTERM).write(tmp_path / "old.pid")

        assert recorded_processes(tmp_path) == []
        assert not (tmp_path / "old.pid").exists()
        assert stranger.poll() is None
        stranger.kill()


def test_a_pid_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    """PostgreSQL's own postmaster.pid is not of our form."""
    (tmp_path / "postmaster.pid").write_text("4711\n/var/lib/postgresql\n")

    assert recorded_processes(tmp_path) == []
    assert (tmp_path / "postmaster.pid").exists()


def test_a_second_start_is_refused(family: Process, tmp_path: Path) -> None:
    """Two servers on one data folder would ruin it."""
    with pytest.raises(StackError, match=r"family runs already .*family\.pid"):
        Process("family", tmp_path).start(Command(["sleep", "600"]))


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    """The message has the path that was tried."""
    with pytest.raises(StackError, match="cannot run /nowhere/server"):
        Process("absent", tmp_path).start(Command(["/nowhere/server"]))


def test_poll_until_says_what_it_saw_last() -> None:
    """A deadline missed without a value would explain nothing."""
    with pytest.raises(StackError, match=r"0\.05 s in vain for a miracle; last answer: 0"):
        poll_until(lambda: 0, 0.05, what="a miracle")
