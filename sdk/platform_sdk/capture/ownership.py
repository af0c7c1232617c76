"""Whose code a frame is: the application's, a library's, or that of something installed which may be either.

An application that pip installed, as in most containers, lies beside its libraries. It is known by its name in the
option `in_app`; else by the module that called `init`; else by what its installation says: it was installed from a
folder, or it requires this SDK.
"""

import os
import re
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Literal

from platform_sdk import loading
from platform_sdk.capture.exceptions import is_library
from platform_sdk.capture.libraries import LIBRARIES

Owner = Literal["application", "installed", "library"]

_PLACES = re.compile(r".*/(?:site|dist)-packages/([^/.]+)")

_starter: set[str] = set()


def started_by(frame: FrameType | None) -> None:
    """Note whose code called `init`: the first that is neither this SDK's, Python's nor a known library's."""
    while frame is not None:
        file = frame.f_code.co_filename
        package = package_of(file)
        if package not in LIBRARIES and not (package is None and is_library(file)):
            if package is not None:
                _starter.add(package)
            return
        frame = frame.f_back


class Ownership:
    """Whose code is whose, by the option `in_app` or by where it lies. Asked by the writer, once a place."""

    def __init__(self, in_app: tuple[str, ...] = ()) -> None:
        self._in_app = in_app
        self._named: frozenset[str] | None = None

    def owner(self, file: str, module: str) -> Owner:
        """Return whose code a file is."""
        if file.startswith("<") and module != "__main__":  # generated: templates, dataclasses, exec
            return "library"
        if self._in_app:
            named = any(module == prefix or module.startswith(f"{prefix}.") for prefix in self._in_app)
            return "application" if named else "library"
        if file.startswith("<"):
            return "application"
        if not file.startswith("/") and file.endswith((".pyx", ".pxd", ".pxi", ".py")):
            file = _compiled(file, module)
        package = package_of(file)
        if package is None:
            return "library" if is_library(file) else "application"
        if package in LIBRARIES:
            return "library"
        return "application" if package in self._applications() else "installed"

    def _applications(self) -> frozenset[str]:
        if self._named is None:
            self._named = frozenset(_starter) | installed_applications()
        return self._named


def package_of(file: str) -> str | None:
    """Return the installed package that a file belongs to, None if it is not an installed one's."""
    found = _PLACES.match(file)
    return found[1] if found else None


def _compiled(file: str, module: str) -> str:
    """Return the file that compiled code lies in, whose frames name only its source: `pandas/_libs/index.pyx`.

    Where its module is not loaded, it counts as installed.
    """
    package = module.partition(".")[0]
    for name in () if package in LIBRARIES else (module, package):
        place = getattr(sys.modules.get(name), "__file__", None)
        if isinstance(place, str):
            return place
    return f"/site-packages/{package}/{file}"


def installed_applications() -> frozenset[str]:
    """Return the packages of distributions that were installed from a folder, or that require this SDK. Some ms."""
    try:
        with loading.without_fork():
            from importlib import metadata
        return frozenset(name for one in metadata.distributions() if _is_application(one) for name in _packages(one))
    except Exception:  # noqa: BLE001 - damaged metadata: nothing is known then
        return frozenset()


def _is_application(distribution: "metadata.Distribution") -> bool:  # type: ignore[name-defined] # noqa: F821
    if '"dir_info"' in (distribution.read_text("direct_url.json") or ""):
        return True
    return "\nRequires-Dist: platform-exporter-sdk" in (distribution.read_text("METADATA") or "")


def _packages(distribution: "metadata.Distribution") -> Iterator[str]:  # type: ignore[name-defined] # noqa: F821
    for file in distribution.files or ():
        if file.suffix == ".py":
            yield file.parts[0].removesuffix(".py")


def module_name(module: str, file: str) -> str:
    """Return a module's name however it was started: `__main__` by its file, a template by the end of its path."""
    if "/" in module or "\\" in module:
        return "/".join(module.replace("\\", "/").split("/")[-2:])
    if module not in ("__main__", "__mp_main__") or file.startswith("<"):
        return module
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None and getattr(main, "__file__", None) == file:
        return str(spec.name)
    return _name_by_folders(file)


def _name_by_folders(file: str) -> str:
    """Return the name that a file is imported by: the folders around it that are packages count."""
    folder, name = os.path.split(file)
    name = name.removesuffix(".py")
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        folder, package = os.path.split(folder)
        name = f"{package}.{name}"
    return name
