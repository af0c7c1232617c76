"""Load the configuration: YAML, `${VAR}`, `X_file`, defaults of thresholds, `settings.Config`, checks across keys.

Every error is a ConfigError of one line that names the file, the key, the value (never a secret's) and what was
expected.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from exporter.config import strict_yaml, thresholds
from exporter.config.expansion import Expansion
from exporter.config.places import Place, look_up, place_of
from exporter.config.settings import Config, convert
from exporter.errors import ConfigError, UnreadableError
from exporter.files import YAML_BYTES, read_text
from exporter.redaction import Redactor, shown_key, shown_value, without_secrets
from exporter.sections import Secret, Section


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Read the file at `path`; relative paths in it (secrets, mappings) start at its folder. Raises ConfigError."""
    try:
        text = read_text(path, YAML_BYTES)
    except UnreadableError as error:
        raise ConfigError(f"cannot read {path} ({error}): expected a YAML file in UTF-8") from error
    return parse(text, path, environment)


def parse(text: str, path: Path, environment: Mapping[str, str]) -> Config:
    """Turn the text of a configuration file into a Config; `path` names it in errors. Raises ConfigError."""
    expansion = Expansion(path.parent, environment, SECRET_KEYS)
    try:
        tree = strict_yaml.load(text)
    except strict_yaml.StrictYamlError as error:
        raise ConfigError(f"{path}: invalid YAML: {error}") from error
    try:
        return _parse(tree, path.parent, expansion)
    except ConfigError as error:
        message = Redactor(None, expansion.found).known(str(error))
        raise ConfigError(f"{path}: {without_secrets(message, [tree, *expansion.texts], _KEYS)}") from None


def _parse(tree: Any, folder: Path, expansion: Expansion) -> Config:
    if not isinstance(tree, dict):
        kind = "nothing" if tree is None else type(tree).__name__
        raise ConfigError(f"invalid configuration, holds {kind}: expected a mapping with at least the key `database`")
    tree = expansion(tree)
    thresholds.merge_defaults(tree)
    try:
        config = convert(tree, folder)
    except msgspec.ValidationError as error:
        # Without its cause: msgspec's message may quote what must not be shown.
        place = place_of(error, tree, lambda changed: convert(changed, folder))
        raise ConfigError(_explain(place, tree, expansion)) from None
    for problem in _problems(config, ""):
        raise ConfigError(problem)
    _check_effect(tree, config)
    return config


def _check_effect(tree: dict[str, Any], config: Config) -> None:
    """Refuse a section that is given, but lacks what it does nothing without. Raises ConfigError."""
    if "alertmanager" in tree and not config.alertmanager.urls and not config.stack.alertmanager_url:
        raise ConfigError("missing key `urls` in `alertmanager`: expected the addresses of all Alertmanagers")
    for section in ("alerts", "errors", "watchdog"):
        if section in tree and not tree[section]:
            raise ConfigError(f"missing key `token_file` in `{section}`: expected it, or no `{section}`")


def _problems(value: object, where: str) -> Iterator[str]:
    """Yield what the checks of a section, and of all sections in it, find."""
    if isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _problems(item, f"{where}[{index}]")
    elif isinstance(value, Section):
        for problem in value.problems():
            shown = "" if problem.value is None else shown_value(problem.value)
            yield f"invalid value{shown} for `{_join(where, problem.key)}`: expected {problem.expected}"
        for key in value.__struct_fields__:
            yield from _problems(getattr(value, key), _join(where, key))


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _explain(place: Place, tree: object, expansion: Expansion) -> str:
    """Rewrite msgspec's message with the key and its value, unless that may hold a secret."""
    problem, where = place.problem, place.path
    if problem.startswith("Object contains unknown field"):
        return _explain_unknown(problem.split("`")[1], where)
    if problem.startswith("Object missing required field"):
        return f"missing key `{problem.split('`')[1]}`{f' in `{where}`' if where else ''}"
    if problem.startswith("Invalid enum value"):
        choices = get_args(get_type_hints(_section_at(where)).get(where.rpartition(".")[2]))
        problem = f"expected one of {', '.join(map(str, choices))}"
    problem = problem[0].lower() + problem[1:]
    if place.key is not None:
        return f"invalid key {shown_key(place.key)} in `{where}`: {problem}"
    try:
        found, value = True, look_up(tree, place.steps)
    except (LookupError, TypeError):
        found, value = False, None
    # Where a section is expected and a text given, that text is likely a DSN.
    of_section = "`object" in problem or "`array" in problem
    hidden = not found or of_section or expansion.is_secret(where) or not isinstance(value, str | int | float | None)
    return f"invalid value{'' if hidden else shown_value(value)} for `{where}`: {_duration(place, value) or problem}"


def _duration(place: Place, value: object) -> str:
    """Return how a duration of a wrong type is written; empty where the key is none."""
    if place.steps[-1:] in (("every",), ("grace",)) and not isinstance(value, str):
        return "expected a duration such as 90m"
    seconds = any(str(step).endswith("_seconds") for step in place.steps)
    return "expected a number of seconds, such as 300" if seconds and isinstance(value, str) else ""


def _explain_unknown(key: str, where: str) -> str:
    """Say which key is unknown, and which there are; a key that does not look like one may be a DSN."""
    known = list(_section_at(where).__struct_fields__)
    known += [f"{name}_file" for name in known if name in SECRET_KEYS]
    close = difflib.get_close_matches(key, known, n=1)
    advice = f"did you mean `{close[0]}`?" if close else f"expected one of {', '.join(known)}"
    return f"unknown key {shown_key(key)}{f' in `{where}`' if where else ''}: {advice}"


def _section_at(where: str) -> type[Section]:
    """Return the section that a path such as `probes.redis[0]` leads to."""
    section: type[Section] = Config
    for step in re.findall(r"\w+", where):
        section = next(_sections_in(get_type_hints(section).get(step)), section)
    return section


def _sections_in(hint: Any) -> Iterator[type[Section]]:
    if isinstance(hint, type) and issubclass(hint, Section):
        yield hint
    for inner in get_args(hint):
        yield from _sections_in(inner)


def _secret_keys(section: type[Section]) -> Iterator[str]:
    """Yield the keys that hold a Secret, or a mapping of some, in a section and in those in it."""
    for key, hint in get_type_hints(section).items():
        if hint is Secret or Secret in get_args(hint):
            yield key
        for inner in _sections_in(hint):
            yield from _secret_keys(inner)


SECRET_KEYS = frozenset(_secret_keys(Config))
"""The keys that may be given as `X_file: PATH` instead, and whose values are never shown."""


def _keys(section: type[Section]) -> Iterator[str]:
    """Yield the keys of a section and of those in it."""
    for key, hint in get_type_hints(section).items():
        yield key
        for inner in _sections_in(hint):
            yield from _keys(inner)


_KEYS = frozenset(_keys(Config))
"""What no secret is, whatever it looks like."""
