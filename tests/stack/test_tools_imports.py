"""Who may import whom beside the product: tools never import tests, and tests never import benchmarks."""

import ast
from pathlib import Path

import pytest

from tools.stack.checkout import CHECKOUT


def _imported(path: Path) -> set[str]:
    """Return the names of the modules that a file imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize(("folder", "forbidden"), [("tools", "tests"), ("tests", "tools.benchmarks")])
def test_no_file_imports_what_stands_above_it(folder: str, forbidden: str) -> None:
    """What both need is in tools/testing."""
    found = {
        (str(path.relative_to(CHECKOUT)), name)
        for path in (CHECKOUT / folder).rglob("*.py")
        for name in _imported(path)
        if f"{name}.".startswith(f"{forbidden}.")
    }

    assert found == set()
