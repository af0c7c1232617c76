"""Servers are started again as they were."""

import os
import sys
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
    assert poll_until(lambda: _sleeps(process.pid))
    faults = Faults(StackState.open(tmp_path))

    faults.kill("one")
    faults.restart("one")
    restarted = StackState.open(tmp_path).running("one")

    assert not process.alive
    assert restarted is not None
    assert restarted.pid != process.pid
    assert poll_until(lambda: _sleeps(restarted.pid))
    assert b"WORD=word" in Path(f"/proc/{restarted.pid}/environ").read_bytes().split(b"\0")
    assert Path(f"/proc/{restarted.pid}/cwd").readlink() == tmp_path / "there"
    faults.kill("one")


def _sleeps(pid: int | None) -> bool:
    """Return whether the shell has become sleep; in the middle of that /proc shows no arguments at all."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().endswith(b"sleep\x0060\x00")


def test_a_virtual_environment_is_kept(tmp_path: Path) -> None:
    """Its Python is a link: the program behind it would not find what is installed there."""
    linked = tmp_path / "bin/python"
    linked.parent.mkdir()
    linked.symlink_to(Path(sys.executable).resolve())
    process = Process("one", tmp_path)
    process.start(Command([str(linked), "-c", "import time; time.sleep(60)"], dict(os.environ), tmp_path))
    faults = Faults(StackState.open(tmp_path))

    for _ in range(2):
        faults.kill("one")
        assert not process.alive
        faults.restart("one")
        restarted = StackState.open(tmp_path).running("one")
        assert restarted is not None
        # Empty until the new process runs its program.
        command_line = poll_until(Path(f"/proc/{restarted.pid}/cmdline").read_bytes)
        assert command_line.startswith(bytes(linked) + b"\0")
    faults.kill("one")
