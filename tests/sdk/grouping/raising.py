"""Small programs of real files that raise: the application's own, and what it has installed."""

import importlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from platform_sdk.capture.exceptions import Captured, capture, capture_message
from platform_sdk.capture.fingerprint import fingerprint
from platform_sdk.capture.stacktrace import Stacks

INSTALLED = "venv/lib/python3.11/site-packages/"
Files = Mapping[str, str]


def of_message(text: str, template: str | None = None) -> str:
    """Return the fingerprint of a logged text."""
    return fingerprint(capture_message("LoggedError", text, None, template), Stacks())


def of(files: Files, call: str, in_app: tuple[str, ...] = ()) -> str:
    """Return the fingerprint of what `call`, such as `shop.views.pay(1)`, raises.

    The files are below a folder of their own: those below INSTALLED are installed, the others the application's.
    """
    with tempfile.TemporaryDirectory(prefix="app") as folder:
        return _within(Path(folder).resolve(), files, call, in_app)


def _within(root: Path, files: Files, call: str, in_app: tuple[str, ...]) -> str:
    written(root, files)
    paths = [str(root / "src"), str(root / INSTALLED)]
    path, named = list(sys.path), {name.removeprefix(INSTALLED).split("/")[0].removesuffix(".py") for name in files}
    # What the test's own environment has of these names is put aside.
    aside = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in named}
    sys.path[:0] = paths
    importlib.invalidate_caches()
    try:
        return fingerprint(_raised(call), Stacks(in_app))
    finally:
        sys.path[:] = path
        for name in [name for name in sys.modules if name.split(".")[0] in named]:
            del sys.modules[name]
        sys.modules.update(aside)


def written(root: Path, files: Files) -> None:
    """Write the files: those of the application below `src`."""
    for name, source in files.items():
        file = root / (name if name.startswith("venv/") else f"src/{name}")
        file.parent.mkdir(parents=True, exist_ok=True)
        package = file.parent
        while package not in (root / "src", root / INSTALLED) and root in package.parents:
            (package / "__init__.py").touch()
            package = package.parent
        file.write_text(source, encoding="utf-8")


def _raised(call: str) -> Captured:
    module, _, _ = call.partition("(")[0].rpartition(".")
    try:
        # The frame of the call itself is a test runner's: a library's.
        exec(compile(f"import {module}\n{call}", "/usr/lib/x/site-packages/runner.py", "exec"), {"__name__": "runner"})
    except BaseException as error:  # noqa: BLE001 - SystemExit and groups, too
        assert not isinstance(error, ImportError | SyntaxError), error
        assert error.__traceback__ is not None
        captured = capture(error.with_traceback(error.__traceback__.tb_next))  # without this test's own frame
        assert captured is not None
        return captured
    raise AssertionError(f"{call} raised nothing")


REPORTS = """
import sys
from platform_sdk.capture.exceptions import capture
from platform_sdk.capture.fingerprint import fingerprint
from platform_sdk.capture.stacktrace import Stacks

def report(kind, error, traceback):
    print(fingerprint(capture(error), Stacks()))

sys.excepthook = report
"""


def of_program(files: Files, *arguments: str, folder: str = ".") -> str:
    """Return what a process of this Python prints whose `reports` module makes the fingerprint of what ends it."""
    with tempfile.TemporaryDirectory(prefix="app") as made:
        root = Path(made).resolve()
        written(root, {**files, "reports.py": REPORTS})
        paths = (str(root / "src"), str(root / INSTALLED), *(entry for entry in sys.path if entry))
        done = subprocess.run(
            [sys.executable, *arguments], cwd=root / "src" / folder, env={"PYTHONPATH": ":".join(paths)},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.stdout.startswith("v"), done.stderr
    return done.stdout.strip()
