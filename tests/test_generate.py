"""What is generated is what is committed, and says from what it is generated."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from alertmanager import generate as alertmanager
from deploy.helm import generate as chart
from exporter.exposition import reference
from grafana import generate as grafana
from prometheus import generate as prometheus
from tests.exposition import golden

ROOT = Path(__file__).resolve().parents[1]

GENERATED: dict[str, Callable[[], dict[Path, str]]] = {
    "exporter.exposition.reference": lambda: reference.documents(ROOT),
    "prometheus.generate": prometheus.committed,
    "alertmanager.generate": alertmanager.committed,
    "grafana.generate": lambda: {
        grafana.FOLDER / f"{name}.json": grafana.rendered(board) for name, board in grafana.boards().items()
    },
    "deploy.helm.generate": chart.committed,
    "tests.exposition.golden": lambda: {path: golden.exposition(kind) for path, kind in golden.FILES.items()},
}


def stale(module: str) -> list[str]:
    """Return the files that a generator would write otherwise than they are."""
    return [str(path) for path, text in GENERATED[module]().items() if path.read_text(encoding="utf-8") != text]


@pytest.mark.parametrize("module", list(GENERATED))
def test_generating_again_changes_nothing(module: str) -> None:
    """What `make generate` would write stands in the checkout already; in a process that no other test has changed."""
    code = f"from tests.test_generate import stale; print(stale({module!r}))"
    fresh = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)

    assert (fresh.stdout, fresh.stderr) == ("[]\n", "")


def test_make_generate_runs_all_of_them() -> None:
    """A new generator is named in the Makefile and here."""
    (listed,) = re.findall(r"^GENERATORS := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert listed.split() == list(GENERATED)
