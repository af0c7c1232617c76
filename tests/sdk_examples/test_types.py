"""What docs/sdk.md shows passes the two usual type checkers, as users' own code has to."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sdk_examples import document

ROOT = Path(__file__).parents[2]

BEFORE = {
    "Django": "MIDDLEWARE: list[str] = []\nINSTALLED_APPS: list[str] = []\n",
    "Huey": 'redis_url = "redis://127.0.0.1"\n',
    "RQ": 'redis_url = "redis://127.0.0.1"\n',
    "SciTeX Cloud's calls": "import requests\n\nendpoint_url = ''\nquery_params = {'q': 'x'}\nuser = object()\n",
    "StratLogic's calls": "db = minio_client = object()\n",
}
"""What stands before a block in the file that it belongs to, and a module of the application's own."""

JOBS = "def scrape(pages: int) -> None: ...\n"

CHECKERS = {
    # Celery, Scrapy and RQ have no types of their own.
    "mypy": ("-m", "mypy", "--strict", "--ignore-missing-imports", "--allow-untyped-decorators", "--no-incremental"),
    "pyright": ("-m", "pyright", "--pythonpath", sys.executable),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a file for each block."""
    files = tmp_path_factory.mktemp("blocks")
    (files / "jobs.py").write_text(JOBS)
    for heading, below in document.blocks().items():
        for number, block in enumerate(each for each in below if each.language == "python"):
            name = f"{re.sub('[^a-z0-9]+', '_', heading.lower())}_{number}"
            (files / f"block_{name}.py").write_text(BEFORE.get(heading, "") + block.text)
    return files


@pytest.mark.parametrize("checker", list(CHECKERS))
def test_blocks_are_typed(folder: Path, checker: str) -> None:
    """No error in any block; the package says that it is typed."""
    files = [path.name for path in sorted(folder.glob("block_*.py"))]
    done = subprocess.run(
        [sys.executable, *CHECKERS[checker], *files], cwd=folder, capture_output=True, text=True, timeout=500,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "MYPYPATH": str(ROOT / "sdk"), "PYTHONPATH": str(folder)},
    )  # fmt: skip

    assert len(files) > 15
    assert (ROOT / "sdk/platform_sdk/py.typed").exists()
    assert done.returncode == 0, done.stdout + done.stderr
