"""Make the checkout's virtual environment, with nothing but the standard library of the Python that runs this.

Debian and Ubuntu split pip off their Python: `python3 -m venv` then fails until python3-venv is installed, which needs
root. Their pip is a wheel in a package of its own, which this unpacks into the checkout instead.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from tools.stack.errors import StackError
from tools.stack.programs import debian
from tools.stack.programs.catalogue import SearchPath

PIP_PACKAGE = "python3-pip-whl"


def make_environment(folder: Path) -> str:
    """Make a virtual environment with pip, unless it is there and works; return a word on how.

    Raises StackError: what is missing and what to do about it.
    """
    if _has_pip(folder):
        return "there already"
    shutil.rmtree(folder, ignore_errors=True)
    reasons = []
    for name, make in (("venv", _venv), ("virtualenv", _virtualenv), ("uv", _uv), (PIP_PACKAGE, _unpacked_pip)):
        try:
            make(folder)
        except (OSError, subprocess.CalledProcessError, StackError) as error:
            reasons.append(f"{name}: {_reason(error)}")
        if _has_pip(folder):
            return name
        shutil.rmtree(folder, ignore_errors=True)
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    raise StackError(
        f"cannot make a virtual environment with {sys.executable} ({'; '.join(reasons)}). "
        f"Install the missing part, `apt-get install python{version}-venv`, and try again"
    )


def _has_pip(folder: Path) -> bool:
    python = folder / "bin" / "python"
    # Also false where the Python that it was made with has been removed since.
    return python.exists() and _run([str(python), "-m", "pip", "--version"]).returncode == 0


def _venv(folder: Path) -> None:
    _run([sys.executable, "-m", "venv", str(folder)]).check_returncode()


def _virtualenv(folder: Path) -> None:
    _run([_found("virtualenv"), "--python", sys.executable, str(folder)]).check_returncode()


def _uv(folder: Path) -> None:
    _run([_found("uv"), "venv", "--seed", "--python", sys.executable, str(folder)]).check_returncode()


def _unpacked_pip(folder: Path) -> None:
    debian.program(PIP_PACKAGE, "pip", None, SearchPath().tools)
    root = debian.root_of(PIP_PACKAGE, None, SearchPath().tools)
    wheel = next(root.glob("usr/share/python-wheels/pip-*.whl"), None)
    if wheel is None:
        raise StackError(f"{root} holds no wheel of pip")
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)]).check_returncode()
    # A wheel of pip runs from where it lies, and installs itself.
    _run([str(folder / "bin/python"), f"{wheel}/pip", "install", "--no-index", str(wheel)]).check_returncode()


def _found(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise StackError("not found")
    return path


def _run(argv: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        said = ((error.stderr or "") + (error.stdout or "")).strip()
        return said.splitlines()[0][:200] if said else f"status {error.returncode}"
    return str(error)


if __name__ == "__main__":
    try:
        make_environment(Path(sys.argv[1]))
    except StackError as error:
        sys.exit(f"stack: {error}")
