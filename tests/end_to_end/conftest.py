"""What the tests of the whole chain share: a stack, and a way to end what they start."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.end_to_end.stack import RunningStack


@pytest.fixture(scope="module")
def stack(server_folder: Path) -> Iterator[RunningStack]:
    """Return a stack that runs, demo traffic and all; a test that stops part of it starts that again."""
    running = RunningStack(server_folder / "stack")
    try:
        running.up()
        yield running
    finally:
        if running.folder.exists():
            running.run("clean")


@pytest.fixture
def enter() -> Iterator[ExitStack]:
    """Return what is left when the test ends."""
    with ExitStack() as stack:
        yield stack
