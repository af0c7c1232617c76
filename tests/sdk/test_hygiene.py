"""What importing the SDK costs an application."""

import ast
import subprocess
import sys
from pathlib import Path

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
    code = "import platform_sdk as s\ns.init(dsn='x', app='a', flush_interval_seconds=60, spool_folder='')"

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


def test_psycopg_is_imported_inside_functions_only() -> None:
    """At module level only type checkers may see psycopg."""
    for path in SDK.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.startswith("psycopg") for name in names), path
