"""What importing the SDK costs an application."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import platform_sdk

ROOT = Path(__file__).parents[2]
SDK = ROOT / "sdk" / "platform_sdk"
FOREIGN = (
    "msgspec",
    "starlette",
    "uvicorn",
    "minio",
    "redis",
    "yaml",
    "prometheus_client",
    "psycopg",
    "click",
    "requests",
)


def loaded_after(code: str) -> set[str]:
    """Return the top-level modules loaded in a fresh interpreter after running code."""
    program = f"import sys\n{code}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_and_init_load_nothing_of_the_server() -> None:
    """Neither the server's dependencies nor psycopg are loaded, not even by the first event."""
    code = "import platform_sdk as s\ns.init(dsn='dbname=x', app='a', flush_interval_seconds=60, spool_folder='')"

    assert loaded_after(code).isdisjoint(FOREIGN)


def test_package_imports_nothing_of_the_exporter() -> None:
    """The SDK is a distribution of its own: `exporter` is not there where an application runs."""
    imported = set()
    for path in SDK.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                imported.add(node.module or "")
            elif isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}

    assert {name for name in imported if name.split(".")[0] == "exporter"} == set()


def test_psycopg_is_imported_by_one_module() -> None:
    """Only `libpq`, which is imported at the first batch, sees psycopg at module level."""
    importers = set()
    for path in SDK.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.startswith("psycopg") for name in names):
                importers.add(path.name)

    assert importers == {"libpq.py"}


def test_import_loads_what_is_used() -> None:
    """Whoever only imports the SDK loads neither its writer nor what describes exceptions, options or logs."""
    unused = {"dataclasses", "inspect", "json", "logging", "pathlib", "socket", "tempfile", "urllib", "uuid"}

    assert loaded_after("import platform_sdk") & unused == loaded_after("") & unused


def test_public_names() -> None:
    """Each can be had, is the function that type checkers see, and is in the list that `import *` reads."""
    (block,) = (
        node
        for node in ast.parse((SDK / "__init__.py").read_text()).body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name)
    )
    homes = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}

    assert homes == {name: f"platform_sdk.{home}" for name, home in platform_sdk._HOMES.items()}
    assert set(homes) < set(platform_sdk.__all__)
    assert {name: getattr(platform_sdk, name).__module__ for name in homes} == homes
    with pytest.raises(AttributeError, match="has no attribute 'lgo_error'"):
        _ = platform_sdk.lgo_error  # type: ignore[attr-defined]
