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
    poll_until(lambda: "argument" in process.log_tail(), 60)
    faults = Faults(StackState.open(tmp_path))

    faults.kill("one")
    faults.restart("one")
    restarted = StackState.open(tmp_path).running("one")

    assert not process.alive
    assert restarted is not None
    assert restarted.pid != process.pid
    command = Path(f"/proc/{restarted.pid}/cmdline")
    assert poll_until(lambda: command.read_bytes().split(b"\0")[-2] == b"60", 60)  # once the shell has become sleep
    assert Path(f"/proc/{restarted.pid}/cwd").readlink() == tmp_path / "there"
    faults.kill("one")
