"""Servers come back as they were."""

import os
from pathlib import Path

from tools.drills.machine import Machine
from tools.stack.process import Command, Process, poll_until
from tools.stack.state import StackState


def test_a_killed_process_is_started_as_it_was(tmp_path: Path) -> None:
    """Arguments, environment and folder are those it had."""
    (tmp_path / "there").mkdir()
    script = "echo $1 $WORD $PWD; exec sleep 60"
    environment = {"WORD": "word", "PATH": os.environ["PATH"]}
    process = Process("one", tmp_path)
    process.start(Command(["/bin/sh", "-c", script, "sh", "argument"], environment, tmp_path / "there"))
    poll_until(lambda: "argument" in process.log_tail(), 10)
    machine = Machine(StackState.open(tmp_path))

    machine.kill("one")
    machine.revive("one")
    revived = StackState.open(tmp_path).running("one")

    assert not process.alive
    assert revived is not None
    assert revived.pid != process.pid
    command = Path(f"/proc/{revived.pid}/cmdline")
    assert poll_until(lambda: command.read_bytes().split(b"\0")[-2] == b"60", 10)  # once the shell has become sleep
    assert Path(f"/proc/{revived.pid}/cwd").readlink() == tmp_path / "there"
    machine.kill("one")
