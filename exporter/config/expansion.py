"""Variables and secret files: what a configuration takes from elsewhere, `${VAR}` and `X_file: PATH`."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exporter.errors import ConfigError, UnreadableError
from exporter.files import NO_TEXT, SECRET_BYTES, read_text
from exporter.redaction import may_be_secret

_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|\{(?P<bad>[^}]*)\}?)")


class Expansion:
    """Expands `${VAR}` and reads `X_file` in every text of a tree of plain values.

    `secrets` are the keys that may be given as `X_file`: those of a Secret, and of mappings that hold some.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], secrets: frozenset[str]) -> None:
        self._folder = folder
        self._environment = environment
        self._secrets = secrets
        self.found: set[str] = set()
        """The secrets met so far: every text at a key that holds one, or at a key of its file."""
        self.texts: set[str] = set()
        """Other texts that variables were expanded in."""

    def __call__(self, value: Any, where: str = "") -> Any:
        """Return the value with all that it names. Raises ConfigError."""
        if isinstance(value, str):
            text = self._expand(value, where)
            if self.is_secret(where):
                self.found |= {value, text}
            elif text != value:
                self.texts.add(text)
            return text
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
                self.found.add(item)
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
                hidden = self.is_secret(where) or may_be_secret(match.group("bad").strip())
                shown = "" if hidden else f" {match.group(0)!r}"
                raise ConfigError(f"invalid variable{shown} in `{where}`: expected ${{NAME}}, or $$ for a dollar sign")
            value = self._environment.get(name, default)
            if value is None:
                raise ConfigError(
                    f"unknown variable {name} in `{where}`: set it in the environment, or write ${{{name}:-default}}"
                )
            return value

        expanded = _VARIABLE.sub(replace, text)
        if NO_TEXT.search(expanded):  # a variable of the environment may hold bytes that are not text
            raise ConfigError(f"invalid text for `{where}`: expected UTF-8, from the environment too")
        return expanded


def _read_secret(item: object, where: str, folder: Path) -> str:
    expected = f"expected the path of a file that holds the secret, readable by user id {os.geteuid()}"
    if not isinstance(item, str) or not item:
        given = "''" if item == "" else f"of type {type(item).__name__}"
        raise ConfigError(f"invalid path {given} for `{where}`: {expected}")
    path, secret = folder / item, ""
    try:
        secret = read_text(path, SECRET_BYTES).removeprefix("\ufeff").rstrip("\r\n")
        problem = "" if secret else "it is empty"
    except UnreadableError as error:
        problem = str(error)
    if problem:
        shown = "" if _is_no_path(item, path) else f" {str(path)!r}"
        raise ConfigError(f"invalid path{shown} for `{where}` ({problem}): {expected}")
    return secret


def _is_no_path(item: str, path: Path) -> bool:
    """Tell whether it may be the secret itself that was given as the path of its file: a key may have slashes."""
    if os.path.lexists(path):
        return False
    bare = item.strip("/")
    if may_be_secret(bare) and ("/" not in bare or "://" in item or "@" in item or "=" in item):
        return True
    return not os.path.isdir(path.parent)  # pathlib's raises where a name is too long
