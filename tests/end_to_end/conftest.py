"""The stack that the tests of the whole chain share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.testing.stack import RunningStack


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
