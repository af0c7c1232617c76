"""Call a function when the application has imported a module, without importing it.

A finder in front of `sys.meta_path` asks the others where the module is, and has them call the function when it has
been executed. It changes nothing about the module: not its loader's class, not its spec.
"""

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from platform_sdk.diagnostics import note

_waiting: dict[str, Callable[[], object]] = {}


class _Finder(MetaPathFinder):
    """Finds nothing itself."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _waiting:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                _follow(spec)
                return spec
        return None


_finder = _Finder()


def when_imported(name: str, call: Callable[[], object]) -> None:
    """Call a function, once, after the next import of a module."""
    _waiting[name] = call
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def forget() -> None:
    """Wait for nothing any more."""
    _waiting.clear()
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)


def _follow(spec: ModuleSpec) -> None:
    """Have the module's loader, of which each import has its own, call the function after it."""
    loader = spec.loader
    execute = getattr(loader, "exec_module", None)
    if loader is None or execute is None:
        return

    def exec_module(module: ModuleType) -> None:
        del loader.exec_module  # the one below: the class's own is there again
        execute(module)
        call = _waiting.pop(spec.name, None)
        if call is not None:
            call()

    try:
        loader.exec_module = exec_module  # type: ignore[method-assign]  # of this object only
    except AttributeError as error:  # a loader of another make
        note("integrations", f"{spec.name} cannot be watched: {error}")
