"""The table of what exporter-toolkit does, with the exporter in its place."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.errors import WebConfigError
from exporter.web.routes import build_app
from tests.exposition.serving import FakeSite, serving
from tests.exposition.web_config_cases import CASES, Folder, outcome


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Return the folder of all cases' certificates."""
    return Folder(tmp_path_factory.mktemp("web"))


@contextlib.contextmanager
def serve(web_config: Path) -> Iterator[int | None]:
    """Serve with a file, and yield the port; None where the file is refused."""
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(serving(build_app(FakeSite()), web_config))
        except WebConfigError:
            yield None
            return
        yield running.port


@pytest.mark.parametrize("name", CASES)
def test_outcome_is_the_toolkits(folder: Folder, name: str) -> None:
    """The same file and the same client have the same outcome."""
    case = CASES[name]

    assert outcome(folder, case, serve) == (case.seen, case.seen_then)
