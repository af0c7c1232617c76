"""Read the SDK's options from arguments and PLATFORM_SDK_* environment variables."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import inf
from pathlib import Path
from typing import Any

from platform_sdk.errors import OptionError

PREFIX = "PLATFORM_SDK_"

LEFT_OUT = ("/static/", "/media/", "/admin/", "/health", "/healthz", "/-/", "/metrics", "/favicon.ico")


def default_spool_folder() -> str:
    """Return a folder of this user's own below the temporary folder."""
    return str(Path(tempfile.gettempdir()) / f"platform-sdk-{os.getuid()}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Hold what `init` was told. Sizes are bytes, counts are events; None in an optional limit means: no such limit.

    The buffer's limits are per priority: `plain_events` for requests that went well, `other_events` for everything
    else, `urgent_events` for errors and finished scraping jobs; `buffer_bytes` for all of them together, of which the
    last fifth is kept for the urgent ones and the one before it from plain requests.
    """

    dsn: str = field(repr=False)
    app: str
    release: str | None = None
    password: str | None = field(default=None, repr=False)
    enabled: bool = True
    # How much may wait in memory.
    plain_events: int = 16_000
    other_events: int = 8_000
    urgent_events: int = 2_000
    buffer_bytes: int = 16 * 2**20
    # How it is sent.
    flush_interval_seconds: float = 1.0
    batch_events: int = 5_000
    sample_above_per_second: float | None = 2_000.0
    connect_timeout_seconds: float = 5.0
    statement_timeout_seconds: float = 10.0
    synchronous_commit: bool = True
    # What is kept while the database is down; an empty folder name means: nothing on disk.
    retry_seconds: float = 30.0
    pending_bytes: int = 4 * 2**20
    spool_folder: str = field(default_factory=default_spool_folder)
    spool_bytes: int = 256 * 2**20
    exit_timeout_seconds: float = 2.0
    # What is recorded.
    redact_keys: tuple[str, ...] = ()
    in_app: tuple[str, ...] = ()
    """Prefixes of the application's own modules; empty means: all that is neither installed nor of Python itself."""
    # For the integrations.
    excluded_paths: tuple[str, ...] = LEFT_OUT
    """Prefixes of paths that are not recorded unless the answer was a 5xx."""
    trusted_proxies: int = 0
    """How many proxies in front of the application may be believed about X-Forwarded-For."""
    activity_rules: Mapping[str, tuple[str, str | None, str | None]] = field(default_factory=dict)
    """Route template -> (activity, module, feature); a finished request on it is an activity too."""


def read(given: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Options:
    """Return the options: an argument wins over the environment, and that over the default.

    Raises OptionError naming the option, its value and what was wanted.
    """
    environment = os.environ if environment is None else environment
    known = {option.name: option for option in fields(Options)}
    for name in given:
        if name not in known:
            raise OptionError(f"{name}: unknown option of platform_sdk.init(); known are {', '.join(known)}")
    values: dict[str, Any] = {}
    for name, option in known.items():
        value = given.get(name)
        if name in _MAY_BE_NONE and name in given:
            values[name] = value
        elif value is None:
            text = _from_environment(name, environment)
            value = None if text is None else _parse(name, text, option.type)
        if value is not None:
            values[name] = value
    for name in ("dsn", "app"):
        if not values.get(name):
            raise OptionError(f"{name}: missing; give init({name}=...) or set {PREFIX}{name.upper()}")
    return Options(**_checked(values))


def _from_environment(name: str, environment: Mapping[str, str]) -> str | None:
    key = PREFIX + name.upper()
    path = environment.get(f"{key}_FILE")
    if path is None or name not in ("dsn", "password"):
        return environment.get(key)
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{key}_FILE: cannot read {path} ({error}); wanted a file that holds the {name}") from error


def _parse(name: str, text: str, annotation: Any) -> Any:
    """Return the value that an environment variable spells, by the option's type."""
    kind = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    try:
        if kind == "bool":
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]
        if kind == "int":
            return int(text)
        if "float" in kind:
            return None if name in _MAY_BE_NONE and text.lower() == "none" else float(text)
    except (KeyError, ValueError):
        raise OptionError(f"{PREFIX}{name.upper()}: {text!r}; wanted a value of type {kind}") from None
    if kind == "tuple":
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if kind == "Mapping":
        raise OptionError(f"{PREFIX}{name.upper()}: cannot be given in the environment; wanted init({name}=...)")
    return text


_MAY_BE_NONE = ("sample_above_per_second",)
# With 0 nothing would ever be stored, the writer would never rest, or a timeout of PostgreSQL's be switched off.
_ABOVE_ZERO = ("batch_events", "flush_interval_seconds", "connect_timeout_seconds", "statement_timeout_seconds")
_NUMBERS = {
    option.name: (int if option.type is int else float)
    for option in fields(Options)
    if option.type in (int, float) or option.name == "sample_above_per_second"
}


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values with numbers and sequences in their proper types. Raises OptionError."""
    for name, value in values.items():
        if name in _NUMBERS and not (value is None and name in _MAY_BE_NONE):
            wanted = "above 0" if name in _ABOVE_ZERO else "of 0 or more"
            good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < inf
            if not good or (name in _ABOVE_ZERO and not value):
                raise OptionError(f"{name}: {value!r}; wanted a number {wanted}")
            values[name] = _NUMBERS[name](value)
        elif name in ("redact_keys", "in_app", "excluded_paths"):
            if not isinstance(value, list | tuple | set | frozenset):
                raise OptionError(f"{name}: {value!r}; wanted a list of texts")
            values[name] = tuple(str(part) for part in value)
        elif name == "activity_rules" and not isinstance(value, Mapping):
            raise OptionError(f"{name}: {value!r}; wanted a mapping of routes to (activity, module, feature)")
        elif name in ("enabled", "synchronous_commit") and not isinstance(value, bool):
            raise OptionError(f"{name}: {value!r}; wanted True or False")
        elif name in ("dsn", "app", "release", "password", "spool_folder"):
            values[name] = str(value)
    return values
