"""The SDK's options, from arguments and PLATFORM_SDK_* environment variables."""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from platform_sdk.errors import OptionError

PREFIX = "PLATFORM_SDK_"

LEFT_OUT = ("/static/", "/media/", "/admin/", "/health", "/healthz", "/-/", "/metrics", "/favicon.ico")


def default_spool_folder() -> str:
    """Return a folder of this user below the temporary folder."""
    return str(Path(tempfile.gettempdir()) / f"platform-sdk-{os.getuid()}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `init` was called with. Sizes are bytes, counts are events; None in an optional limit means no limit.

    The buffer's limits are per priority: `plain_events` for requests that went well, `other_events` for everything
    else, `urgent_events` for errors and finished scraping jobs; `buffer_bytes` for all of them together, of which the
    last fifth is kept for the urgent ones and the one before it from plain requests.
    """

    dsn: str = field(repr=False)
    app: str
    release: str | None = None
    password: str | None = field(default=None, repr=False)
    enabled: bool = True
    # The buffer in memory.
    plain_events: int = 16_000
    other_events: int = 8_000
    urgent_events: int = 2_000
    buffer_bytes: int = 16 * 2**20
    # Delivery.
    flush_interval_seconds: float = 1.0
    batch_events: int = 5_000
    sample_above_per_second: float | None = 2_000.0
    connect_timeout_seconds: float = 5.0
    statement_timeout_seconds: float = 10.0
    synchronous_commit: bool = True
    # While the database is down; an empty folder name means nothing on disk.
    retry_seconds: float = 30.0
    pending_bytes: int = 4 * 2**20
    spool_folder: str = field(default_factory=default_spool_folder)
    spool_bytes: int = 256 * 2**20
    exit_timeout_seconds: float = 2.0
    # What is recorded.
    redact_keys: tuple[str, ...] = ()
    in_app: tuple[str, ...] = ()
    """Prefixes of the application's own modules; empty means all that is neither installed nor part of Python."""
    # For the integrations.
    excluded_paths: tuple[str, ...] = LEFT_OUT
    """Prefixes of paths that are not recorded unless the answer was a 5xx."""
    trusted_proxies: int = 0
    """How many proxies in front of the application are trusted about X-Forwarded-For."""
    activity_rules: Mapping[str, tuple[str, str | None, str | None]] = field(default_factory=dict)
    """Route template -> (activity, module, feature); a finished request on it is an activity too."""


def read(given: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Options:
    """Return the options: an argument wins over the environment, and that over the default.

    Raises OptionError naming the option, its value and what was expected.
    """
    environment = os.environ if environment is None else environment
    types = {option.name: option.type for option in fields(Options)}
    if unknown := [name for name in given if name not in types]:
        raise OptionError(f"unknown option {unknown[0]!r} of platform_sdk.init(): expected one of {', '.join(types)}")
    values: dict[str, Any] = {}
    for name, kind in types.items():
        value, place = given.get(name), name
        if value is None and not (name in given and kind == float | None):
            place = PREFIX + name.upper()
            text = _from_environment(name, place, environment)
            if text is None:
                continue
            value = _parsed(text, kind)
        values[name] = _checked(value, kind, place, above_zero=name in _ABOVE_ZERO)
    for name in ("dsn", "app"):
        if not values.get(name):
            raise OptionError(f"missing option {name!r}: call init({name}=...) or set {PREFIX}{name.upper()}")
    return Options(**values)


LONGEST_SECONDS, MOST = 1e9, 1e15
"""What an option takes at most: the wait that Python's locks can still last, and numbers that a float holds exactly."""

# With 0 nothing would ever be stored, the writer would never rest, or a timeout of PostgreSQL's be switched off.
_ABOVE_ZERO = ("batch_events", "flush_interval_seconds", "connect_timeout_seconds", "statement_timeout_seconds")
_FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def _from_environment(name: str, key: str, environment: Mapping[str, str]) -> str | None:
    path = environment.get(f"{key}_FILE")
    if path is None or name not in ("dsn", "password"):
        return environment.get(key)
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"invalid {path!r} for {key}_FILE: expected a file with the {name} ({error})") from error


def _parsed(text: str, kind: Any) -> Any:
    """Return the value that an environment variable spells, the text itself if it spells none of this type."""
    if kind is bool:
        return _FLAGS.get(text.lower(), text)
    if kind == float | None and text.lower() == "none":
        return None
    if kind in (int, float, float | None):
        try:
            return int(text) if kind is int else float(text)
        except ValueError:
            return text
    return [part.strip() for part in text.split(",") if part.strip()] if kind == tuple[str, ...] else text


def _checked(value: Any, kind: Any, place: str, *, above_zero: bool) -> Any:
    """Return a value in the option's type. Raises OptionError."""
    if kind in (str, str | None):
        return str(value)
    if kind in (int, float, float | None):
        expected = f"{'a whole number' if kind is int else 'a number'} {'above 0' if above_zero else 'of 0 or more'}"
        if kind == float | None and value is None:
            return None
        number = (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and 0 <= value <= (MOST if kind is int else LONGEST_SECONDS)
        )
        number = number and (kind is not int or value == int(value))
        if number and (value or not above_zero):
            return int(value) if kind is int else float(value)
    elif kind is bool:
        expected = "True or False"
        if isinstance(value, bool):
            return value
    elif kind == tuple[str, ...]:
        expected = "a list of texts"
        if isinstance(value, list | tuple | set | frozenset):
            return tuple(str(part) for part in value)
    else:
        expected = "a mapping of routes to (activity, module, feature), as an argument of init()"
        if isinstance(value, Mapping):
            return value
    raise OptionError(f"invalid {value!r} for {place}: expected {expected}")
