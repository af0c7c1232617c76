"""Read the configuration: the only reader of YAML, environment variables and secret files.

YAML -> `${VAR}` -> `X_file` -> defaults of thresholds -> `settings.Config` -> checks across keys. Every error is a
ConfigError that names the key, the value (never a secret's) and what was wanted.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import psycopg.conninfo
import yaml

from exporter import settings
from exporter.errors import ConfigError
from exporter.settings import Band, Config, Secret

SECRET_KEYS = frozenset({"dsn", "url", "password", "access_key", "secret_key"})
"""The keys that may be given as `X_file: PATH` instead."""

_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|\{(?P<bad>[^}]*)\}?)")


def load(path: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Read the file at `path`.

    Relative paths in it (secret files, mapping files) start at its folder. Raises ConfigError.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({_reason(error)}); wanted a YAML file in UTF-8") from error
    return parse(text, path, environment)


def parse(text: str, path: Path, environment: Mapping[str, str]) -> Config:
    """Turn the text of a configuration file into a Config; `path` names it in errors. Raises ConfigError."""
    try:
        tree = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a SafeLoader that also refuses duplicate keys
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: holds {type(tree).__name__}, wanted a mapping with at least the key `database`")
    tree = _resolve(tree, "", path.parent, environment)
    tree = _resolve_presets(tree, path.parent)
    _merge_threshold_defaults(tree)
    try:
        config = settings.convert(tree)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_explain(str(error), tree)}") from error
    for problem in _problems(config):
        raise ConfigError(f"{path}: {problem}")
    return config


class _StrictLoader(yaml.SafeLoader):
    """Load plain YAML values and refuse a key given twice, of which YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"key `{key}` is given twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def _resolve(value: Any, where: str, folder: Path, environment: Mapping[str, str]) -> Any:
    """Expand `${VAR}` and read `X_file`, in every text below `value`."""
    if isinstance(value, str):
        return _expand(value, where, environment)
    if isinstance(value, list):
        return [_resolve(item, f"{where}[{index}]", folder, environment) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    resolved = {}
    for key, item in value.items():
        at = f"{where}.{key}" if where else str(key)
        item = _resolve(item, at, folder, environment)
        name = str(key).removesuffix("_file")
        if str(key).endswith("_file") and name in SECRET_KEYS:
            if name in value:
                raise ConfigError(f"`{at}` and `{at.removesuffix('_file')}` are both given; wanted one of them")
            key, item = name, _read_secret(item, at, folder)
        resolved[key] = item
    return resolved


def _expand(text: str, where: str, environment: Mapping[str, str]) -> str:
    def replace(match: re.Match[str]) -> str:
        if match.group(0) == "$$":
            return "$"
        name, default = match.group("name"), match.group("default")
        if name is None:
            raise ConfigError(
                f"`{where}`: `{match.group(0)}` is no variable; wanted ${{NAME}}, or $$ for a dollar sign"
            )
        value = environment.get(name, default)
        if value is None:
            raise ConfigError(
                f"`{where}`: the environment variable {name} is not set; set it, or write ${{{name}:-default}}"
            )
        return value

    return _VARIABLE.sub(replace, text)


def _read_secret(item: object, where: str, folder: Path) -> str:
    if not isinstance(item, str) or not item:
        raise ConfigError(f"`{where}` is {item!r}; wanted the path of a file that holds the secret")
    path = folder / item
    try:
        secret = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"`{where}`: {path} cannot be read ({_reason(error)}); wanted a file holding the secret, "
            f"readable by user id {os.geteuid()}"
        ) from error
    if not secret:
        raise ConfigError(f"`{where}`: {path} is empty; wanted a file holding the secret")
    return secret


def _resolve_presets(tree: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make mapping files that sources name relative to the configuration's folder, like secret files."""
    sources = tree.get("sources")
    for source in sources if isinstance(sources, list) else []:
        preset = source.get("preset") if isinstance(source, dict) else None
        if isinstance(preset, str) and preset.endswith((".yml", ".yaml")):
            source["preset"] = str(folder / preset)
    return tree


def _merge_threshold_defaults(tree: dict[str, Any]) -> None:
    """Let a file override one severity of an indicator and keep the defaults of the others."""
    given = tree.get("thresholds")
    if not isinstance(given, dict):
        return
    for indicator, defaults in settings.Thresholds().indicators().items():
        if isinstance(given.get(indicator), dict):
            band = {severity: getattr(defaults, severity) for severity in Band.__struct_fields__}
            given[indicator] = band | given[indicator]


def _explain(message: str, tree: object) -> str:
    """Rewrite msgspec's message so that the key comes first and its value is shown, unless it is a secret."""
    problem, _, path = message.partition(" - at `")
    where = path.rstrip("`").removeprefix("$").lstrip(".")
    problem = problem.replace("Object contains unknown field", "unknown key").replace(
        "Object missing required field", "missing key"
    )
    if problem.startswith("unknown key"):
        return f"{problem}{f' in `{where}`' if where else ''}{_suggest(problem.split('`')[1])}"
    if not where:
        return problem
    found, value = _look_up(tree, where)
    if not found or where.rsplit(".", 1)[-1] in SECRET_KEYS:
        return f"`{where}`: {problem}"
    return f"`{where}` is {value!r}: {problem}"


def _suggest(key: str) -> str:
    known = {name for section in _sections(settings._Settings) for name in section.__struct_fields__}
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean `{close[0]}`?" if close else ""


def _sections(base: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for section in base.__subclasses__():
        yield section
        yield from _sections(section)


def _look_up(tree: Any, where: str) -> tuple[bool, Any]:
    """Return whether the value at a path such as `probes.redis[0].name` was found, and the value."""
    for step in re.findall(r"[^.\[\]]+", where):
        try:
            tree = tree[int(step)] if isinstance(tree, list) else tree[step]
        except (KeyError, IndexError, ValueError, TypeError):
            return False, None
    return True, tree


def _problems(config: Config) -> Iterator[str]:
    """Yield what is wrong across keys, in the order of the file."""
    try:
        parse_address(config.listen)
    except ValueError as error:
        yield f"`listen` is {config.listen!r}: {error}"
    yield from _dsn_problems("database.dsn", config.database.dsn)
    labels = [source.label for source in config.sources]
    yield from _duplicates("sources", labels)
    for index, source in enumerate(config.sources):
        if source.database:
            yield from _dsn_problems(f"sources[{index}].database.dsn", source.database.dsn)
    for index, target in enumerate(config.probes.postgresql):
        yield from _dsn_problems(f"probes.postgresql[{index}].dsn", target.dsn)
    for index, redis in enumerate(config.probes.redis):
        if urlsplit(redis.url.reveal()).scheme not in ("redis", "rediss", "unix"):
            yield f"`probes.redis[{index}].url`: wanted redis://, rediss:// or unix://"
    for index, minio in enumerate(config.probes.minio):
        if "/" in minio.endpoint:
            yield f"`probes.minio[{index}].endpoint` is {minio.endpoint!r}: wanted HOST:PORT without scheme or path"
    for kind in settings.Probes.__struct_fields__:
        yield from _duplicates(f"probes.{kind}", [target.name for target in getattr(config.probes, kind)])
    yield from _threshold_problems(config)


def _dsn_problems(where: str, dsn: Secret) -> Iterator[str]:
    try:
        psycopg.conninfo.conninfo_to_dict(dsn.reveal())
    except psycopg.ProgrammingError:
        # The parser's own message may quote the DSN, and so the password in it.
        yield f"`{where}`: not a PostgreSQL connection string; wanted postgresql://USER@HOST:PORT/DATABASE or key=value"


def _duplicates(where: str, names: list[str]) -> Iterator[str]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"`{where}`: the name {name!r} is given twice; wanted one entry per name (set `name`)"


def _threshold_problems(config: Config) -> Iterator[str]:
    for indicator, threshold in config.thresholds.indicators().items():
        falling = indicator in config.thresholds.LOWER_IS_WORSE
        bands: dict[str, Band] = {f"thresholds.{indicator}": threshold}
        bands |= {f"thresholds.{indicator}.apps.{name}": band for name, band in threshold.apps.items()}
        bands |= {f"thresholds.{indicator}.apis.{name}": band for name, band in threshold.apis.items()}
        for where, band in bands.items():
            values = [v for v in (band.medium, band.high, band.critical) if v is not None]
            if any((b > a) if falling else (b < a) for a, b in pairwise(values)):
                wanted = "falling" if falling else "rising"
                yield f"`{where}`: medium, high, critical are {values}; wanted {wanted} values"


def parse_address(text: str) -> tuple[str, int]:
    """Split HOST:PORT or [V6]:PORT or :PORT (all addresses). Raises ValueError that says what was wanted."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not 0 <= int(port) <= 65535 or (":" in host and not host.startswith("[")):
        raise ValueError("wanted HOST:PORT such as 127.0.0.1:9847, [::1]:9847 or :9847")
    return host.strip("[]"), int(port)


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else "not UTF-8"
