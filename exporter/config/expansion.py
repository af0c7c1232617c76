"""Variables and secret files: what a configuration takes from elsewhere, `${VAR}` and `X_file: PATH`."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exporter.errors import ConfigError

_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|\{(?P<bad>[^}]*)\}?)")


class Expansion:
    """Expands `${VAR}` and reads `X_file` in every text of a tree of plain values.

    `secrets` are the keys that may be given as `X_file`: those of a Secret, and of mappings that hold some.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], secrets: frozenset[str]) -> None:
        self._folder = folder
        self._environment = environment
        self._secrets = secrets

    def __call__(self, value: Any, where: str = "") -> Any:
        """Return the value with all that it names. Raises ConfigError."""
        if isinstance(value, str):
            return self._expand(value, where)
        if isinstance(value, list):
            return [self(item, f"{where}[{index}]") for index, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        resolved = {}
        for key, item in value.items():
            at = f"{where}.{key}" if where else str(key)
            item = self(item, at)
            name = str(key).removesuffix("_file")
            if name != key and self.is_secret(f"{where}.{name}"):
                if name in value:
                    raise ConfigError(f"both `{at}` and `{at.removesuffix('_file')}` are given: expected one of them")
                key, item = name, _read_secret(item, at, self._folder)
            resolved[key] = item
        return resolved

    def is_secret(self, where: str) -> bool:
        """Tell whether what stands at a path may be a secret: by its key, or by that of a mapping it is in."""
        return not self._secrets.isdisjoint(re.findall(r"\w+", where))

    def _expand(self, text: str, where: str) -> str:
        def replace(match: re.Match[str]) -> str:
            if match.group(0) == "$$":
                return "$"
            name, default = match.group("name"), match.group("default")
            if name is None:
                shown = "" if self.is_secret(where) else f" {match.group(0)!r}"
                raise ConfigError(f"invalid variable{shown} in `{where}`: expected ${{NAME}}, or $$ for a dollar sign")
            value = self._environment.get(name, default)
            if value is None:
                raise ConfigError(
                    f"unknown variable {name} in `{where}`: set it in the environment, or write ${{{name}:-default}}"
                )
            return value

        return _VARIABLE.sub(replace, text)


def _read_secret(item: object, where: str, folder: Path) -> str:
    expected = f"expected the path of a file that holds the secret, readable by user id {os.geteuid()}"
    if not isinstance(item, str) or not item:
        raise ConfigError(f"invalid path {item!r} for `{where}`: {expected}")
    path = folder / item
    try:
        secret = path.read_text(encoding="utf-8").rstrip("\r\n")
        problem = "" if secret else "it is empty"
    except (OSError, ValueError) as error:
        secret, problem = "", why_unreadable(error)
    if problem:
        raise ConfigError(f"invalid path {str(path)!r} for `{where}` ({problem}): {expected}")
    return secret


def why_unreadable(error: OSError | ValueError) -> str:
    """Return why a file could not be read as text."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else "not a path"
