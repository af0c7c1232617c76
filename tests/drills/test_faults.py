"""Servers are started again as they were."""

import os
from pathlib import Path

from tools.drills.faults import Faults
from tools.stack.process import Command, Process, poll_until
from tools.stack.state import StackState


def test_a_killed_process_is_started_as_it_was(tmp_path: Path) -> None:
    """Arguments, environment and folder are those it had."""
    (tmp_path / "there").mkdir()
    script = "echo $1 $WORD $PWD; exec sleep 60"
    environment = {"WORD": "word", "PATH": os.environ["PATH"]}
    process = Process("one", tmp_path)
    process.start(Command(["/bin/sh", "-c", script, "sh", "argument"], environment, tmp_path / "there"))
    assert poll_until(lambda: _sleeps(process.pid), 60)
    faults = Faults(StackState.open(tmp_path))

    faults.kill("one")
    faults.restart("one")
    restarted = StackState.open(tmp_path).running("one")

    assert not process.alive
    assert restarted is not None
    assert restarted.pid != process.pid
    assert poll_until(lambda: _sleeps(restarted.pid), 60)
    assert b"WORD=word" in Path(f"/proc/{restarted.pid}/environ").read_bytes().split(b"\0")
    assert Path(f"/proc/{restarted.pid}/cwd").readlink() == tmp_path / "there"
    faults.kill("one")


def _sleeps(pid: int | None) -> bool:
    """Return whether the shell has become sleep; in the middle of that /proc shows no arguments at all."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().endswith(b"sleep\x0060\x00")
