"""Tell code that is installed, or Python's own, from the application's."""

import sys
import sysconfig

_INSTALLED = ("/site-packages/", "/dist-packages/")
_PYTHON = tuple(
    {f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib")} | {f"{sys.base_prefix}/lib/python"}
)


def is_library(file: str) -> bool:
    """Tell by the name of the file that holds the code."""
    return file.startswith(_PYTHON) or any(part in file for part in _INSTALLED)
