"""Read the configuration: the only reader of YAML, environment variables and secret files.

YAML -> `${VAR}` -> `X_file` -> defaults of thresholds -> `settings.Config` -> checks across keys. Every error is a
ConfigError of one line that names the file, the key, the value (never a secret's) and what was wanted.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints
from urllib.parse import urlsplit

import msgspec
import psycopg.conninfo

from exporter.config import settings, strict_yaml, thresholds
from exporter.config.settings import Config, Secret
from exporter.errors import ConfigError

SECRET_KEYS = frozenset({"dsn", "url", "password", "access_key", "secret_key", "bearer_token", "token"})
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
        return _parse(text, path.parent, environment)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _parse(text: str, folder: Path, environment: Mapping[str, str]) -> Config:
    try:
        tree = strict_yaml.load(text)
    except strict_yaml.StrictYamlError as error:
        raise ConfigError(f"not YAML: {error}") from error
    if not isinstance(tree, dict):
        kind = "nothing" if tree is None else type(tree).__name__
        raise ConfigError(f"holds {kind}, wanted a mapping with at least the key `database`")
    tree = _resolve(tree, "", folder, environment)
    _resolve_paths(tree, folder)
    thresholds.merge_defaults(tree)
    try:
        config = settings.convert(tree)
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(str(error), tree)) from None  # its message may quote what must not be shown
    for problem in _problems(config):
        raise ConfigError(problem)
    return config


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
            shown = "what follows a dollar sign" if _is_secret(where) else f"`{match.group(0)}`"
            raise ConfigError(f"`{where}`: {shown} is no variable; wanted ${{NAME}}, or $$ for a dollar sign")
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
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"`{where}`: {str(path)!r} cannot be read ({_reason(error)}); wanted a file holding the secret, "
            f"readable by user id {os.geteuid()}"
        ) from error
    if not secret:
        raise ConfigError(f"`{where}`: {path} is empty; wanted a file holding the secret")
    return secret


def _resolve_paths(tree: dict[str, Any], folder: Path) -> None:
    """Make mapping and CA files and the spool's folder relative to the configuration's folder, like secret files."""
    for source in _mappings(tree.get("sources")):
        preset = source.get("preset")
        if isinstance(preset, str) and preset.endswith((".yml", ".yaml")):
            source["preset"] = str(folder / preset)
    probes = tree.get("probes")
    for target in _mappings(probes.get("minio")) if isinstance(probes, dict) else ():
        if isinstance(target.get("ca_file"), str):
            target["ca_file"] = str(folder / target["ca_file"])
    for section, key in (("alertmanager", "ca_file"), ("alerts", "spool_folder")):
        values = tree.get(section)
        if isinstance(values, dict) and isinstance(values.get(key), str):
            values[key] = str(folder / values[key])


def _mappings(value: object) -> Iterator[dict[str, Any]]:
    yield from (item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def _explain(message: str, tree: object) -> str:
    """Rewrite msgspec's message so that the key comes first and its value is shown, unless it may hold a secret."""
    problem, _, path = message.partition(" - at `")
    where = path.rstrip("`").removeprefix("$").lstrip(".")
    if problem.startswith("Object contains unknown field"):
        return _explain_unknown(problem.split("`")[1], where)
    problem = problem.replace("Object missing required field", "missing key")
    if not where:
        return problem
    found, value = _look_up(tree, where)
    # Where a section was wanted and a text given, that text is likely a DSN.
    of_section = "`object" in problem or "`array" in problem
    if not found or of_section or _is_secret(where) or not isinstance(value, str | int | float | None):
        return f"`{where}`: {problem}"
    return f"`{where}` is {value!r}: {problem}"


def _explain_unknown(key: str, where: str) -> str:
    """Say which key is unknown, and which there are; a key that looks like no key may be a DSN."""
    shown = f"`{key}`" if re.fullmatch(r"[\w.-]{1,64}", key) else "(not shown)"
    section = _section_at(where)
    known = list(section.__struct_fields__)
    known += [f"{name}_file" for name in known if name in SECRET_KEYS]
    close = difflib.get_close_matches(key, known, n=1)
    advice = f"did you mean `{close[0]}`?" if close else f"wanted one of {', '.join(known)}"
    return f"unknown key {shown}{f' in `{where}`' if where else ''}; {advice}"


def _section_at(where: str) -> type[msgspec.Struct]:
    """Return the section that a path such as `probes.redis[0]` leads to."""
    section: type[msgspec.Struct] = Config
    for step in re.findall(r"\w+", where):
        section = _section_in(get_type_hints(section).get(step)) or section
    return section


def _section_in(hint: Any) -> type[msgspec.Struct] | None:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint
    return next(filter(None, map(_section_in, get_args(hint))), None)


def _is_secret(where: str) -> bool:
    return where.rsplit(".", 1)[-1] in SECRET_KEYS


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
    yield from _duplicates("sources", [source.label for source in config.sources])
    for index, source in enumerate(config.sources):
        if source.database:
            yield from _dsn_problems(f"sources[{index}].database.dsn", source.database.dsn)
        yield from _label_problems(f"sources[{index}].sample_labels", source.sample_labels or ())
    for index, target in enumerate(config.probes.postgresql):
        yield from _dsn_problems(f"probes.postgresql[{index}].dsn", target.dsn)
    for index, redis in enumerate(config.probes.redis):
        yield from _redis_problems(f"probes.redis[{index}].url", redis.url)
    for index, minio in enumerate(config.probes.minio):
        yield from _minio_problems(f"probes.minio[{index}]", minio)
    yield from _alertmanager_problems(config.alertmanager)
    for kind in settings.Probes.__struct_fields__:
        yield from _duplicates(f"probes.{kind}", [target.name for target in getattr(config.probes, kind)])
    yield from thresholds.problems(config.thresholds)


def _dsn_problems(where: str, dsn: Secret) -> Iterator[str]:
    """Yield what is wrong with a DSN, without quoting it; the parser's own message would, password and all."""
    try:
        parts = psycopg.conninfo.conninfo_to_dict(dsn.reveal())
    except psycopg.ProgrammingError:
        yield f"`{where}`: not a PostgreSQL connection string; wanted postgresql://USER@HOST:PORT/DATABASE or key=value"
        return
    # A password with @ or / in it makes libpq take its end for the host, and show it in every message.
    hosts, ports = str(parts.get("host") or "").split(","), str(parts.get("port") or "").split(",")
    if any("@" in host[1:] for host in hosts) or not all(port == "" or _is_port(port) for port in ports):
        yield (
            f"`{where}`: host or port are none; wanted postgresql://USER@HOST:PORT/DATABASE, and in a password "
            "%40 for @, %2F for / and %3A for : (or put it into `password_file`, as it is)"
        )


def _redis_problems(where: str, url: Secret) -> Iterator[str]:
    try:
        parts = urlsplit(url.reveal())
        good = parts.scheme in ("redis", "rediss", "unix") and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good:
        yield (
            f"`{where}`: wanted redis://HOST:PORT/NUMBER, rediss:// or unix://PATH, and in a password %2F for /, %40 "
            "for @ and so on (or put it into `password_file`, as it is)"
        )


def _minio_problems(where: str, target: settings.MinioProbe) -> Iterator[str]:
    match = re.fullmatch(r"(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::(\d+))?", target.endpoint)
    if not match or (match[1] and not _is_port(match[1])):
        shown = "" if "@" in target.endpoint else f" is {target.endpoint!r}"
        yield f"`{where}.endpoint`{shown}: wanted HOST:PORT without scheme, user or path"
    if target.ca_file is not None and not os.access(target.ca_file, os.R_OK):
        yield f"`{where}.ca_file` is {target.ca_file!r}: cannot be read; wanted a PEM file of certificates"


def _alertmanager_problems(target: settings.Alertmanager) -> Iterator[str]:
    for index, url in enumerate(target.urls):
        where = f"alertmanager.urls[{index}]"
        try:
            parts = urlsplit(url)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if "@" in url:
            yield f"`{where}` holds a user or a password; wanted http://HOST:PORT, and `username` and `password_file`"
        elif not good or parts.query or parts.fragment:
            yield f"`{where}` is {url!r}: wanted http://HOST:PORT or https://HOST:PORT, with Alertmanager's path if any"
    if len(set(target.urls)) < len(target.urls):
        yield "`alertmanager.urls` names one Alertmanager twice; wanted each once"
    if (target.username is None) != (target.password is None):
        yield "`alertmanager`: one of `username` and `password_file` is missing; wanted both or none"
    if target.bearer_token and target.username:
        yield "`alertmanager`: both `username` and `bearer_token_file` are given; wanted one way to sign in"
    if target.ca_file is not None and not os.access(target.ca_file, os.R_OK):
        yield f"`alertmanager.ca_file` is {target.ca_file!r}: cannot be read; wanted a PEM file of certificates"


def _label_problems(where: str, names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        if name in ("app", "le", "quantile") or name.startswith("__"):
            yield f"`{where}`: {name!r} has a meaning of its own in every series; wanted another label"


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) <= 65535


def _duplicates(where: str, names: list[str]) -> Iterator[str]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"`{where}`: the name {name!r} is given twice; wanted one entry per name (set `name`)"


def parse_address(text: str) -> tuple[str, int]:
    """Split HOST:PORT or [V6]:PORT or :PORT (all addresses). Raises ValueError that says what was wanted."""
    host, colon, port = text.rpartition(":")
    if not colon or not (_is_port(port) or port == "0") or (":" in host and not host.startswith("[")):
        raise ValueError("wanted HOST:PORT such as 127.0.0.1:9847, [::1]:9847 or :9847")
    return host.strip("[]"), int(port)


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else "no path"
