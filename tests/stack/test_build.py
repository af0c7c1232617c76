"""What runs beside the servers: MinIO is compiled in the background, once, and again where that failed."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools.stack import down, up
from tools.stack.process import Command, Process, poll_until
from tools.stack.programs.search import find
from tools.stack.state import StackState
from tools.stack.up import build_minio

WORKS = 'printf "#!/bin/sh\\necho minio version BUILT\\n" > "$GOBIN/minio"; chmod +x "$GOBIN/minio"'


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StackState]:
    """Return a stack's state; what it runs is ended with the test."""
    (tmp_path / "stack").mkdir()
    state = StackState(tmp_path / "stack")
    yield state
    down.run(state.folder)


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that makes a `go` of these lines of shell the only one; its cache is the test's own."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("PLATFORM_TOOLS_DIR", str(tmp_path / "tools"))

    def install(lines: str) -> None:
        program = tmp_path / "go"
        program.write_text(f'#!/bin/sh\nmkdir -p "$GOBIN"\n{lines}\n')
        program.chmod(0o755)

    return install


def _ended(build: Process) -> str:
    poll_until(lambda: not build.alive, what="the end of the build")
    return build.log.read_text()


def test_the_next_start_finds_what_was_built(state: StackState, go: Callable[[str], None]) -> None:
    """The build ends in the checkout's cache, where programs are looked for first."""
    go(WORKS)
    _ended(build_minio(state))

    assert find("minio", obtain=False).version == "BUILT"


def test_a_failed_build_is_logged_and_begins_again(
    state: StackState, go: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """The reason is in the log that the message names, and the next start tries once more."""
    go("echo no space left on device; exit 1")
    log = _ended(build_minio(state))
    go(WORKS)
    _ended(build_minio(state))

    assert "no space left on device" in log
    assert "did not finish and begins again" in capsys.readouterr().out
    assert find("minio", obtain=False).version == "BUILT"


def test_one_build_at_a_time_and_down_ends_it(state: StackState, go: Callable[[str], None]) -> None:
    """A second start leaves the running build alone; `down` ends it and what it started."""
    go("exec sleep 600")
    build = build_minio(state)
    poll_until(build.log.read_text, what="the beginning of the build")
    again = build_minio(state)

    down.run(state.folder)

    assert build.pid == again.pid
    assert not build.alive


@pytest.mark.parametrize("name", ["backfill", "whatever"])
def test_down_lets_a_process_tidy_up(state: StackState, name: str) -> None:
    """It is asked to end as its pid file says: a backfill ends its Prometheus and removes its temporary folders."""
    backfill = Process(name, state.folder)
    script = "trap 'touch tidy; exit' TERM; touch ready; while :; do sleep 0.1; done"
    backfill.start(Command(["bash", "-c", script], folder=state.folder))
    poll_until((state.folder / "ready").exists)
    down.run(state.folder)

    assert not backfill.alive
    assert (state.folder / "tidy").exists()
    assert not (state.folder / f"{name}.pid").exists()


def test_an_interrupted_start_ends_what_it_started(
    state: StackState, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What ran before it keeps running."""
    before, new = Process("redis", state.folder), Process("postgres", state.folder)
    before.start(Command(["sleep", "600"]))

    def interrupted(start: up.Start) -> None:
        new.start(Command(["sleep", "600"]))
        raise KeyboardInterrupt

    monkeypatch.setattr(up.Start, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        up.run(state.folder, up.Options())

    running = (before.alive, new.alive)
    before.stop()

    assert running == (True, False)
    assert "postgres ended" in capsys.readouterr().out
