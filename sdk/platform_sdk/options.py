"""The SDK's options, from arguments and PLATFORM_SDK_* environment variables."""

import os
import re
import socket
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, TypedDict

from platform_sdk import stores
from platform_sdk.capture.context import spelled
from platform_sdk.errors import OptionError

PREFIX = "PLATFORM_SDK_"

Errors = tuple[type[BaseException] | str, ...]
"""Classes of exceptions, and names of them."""

BeforeSend = Callable[[dict[str, Any]], Mapping[str, Any] | None]
"""A function of an event that returns it, changed or not, or None to drop it: see `delivery.before_send`."""

Consumer = str | Callable[[Mapping[str, str]], object]
"""The name of a header, or a function of a request's headers, by names in lower case, that returns a name."""

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
    """The event store that this process writes to: of several, that of the app and this host."""
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
    adopt_stores: tuple[str, ...] = ()
    """Event stores that this one replaces, as HOST:PORT/DATABASE: what is spooled for them is stored here."""
    exit_timeout_seconds: float = 2.0
    # What is recorded.
    redact_keys: tuple[str, ...] = ()
    in_app: tuple[str, ...] = ()
    """Prefixes of the application's own modules; empty means all that is neither installed nor part of Python, and the
    application itself where it is installed."""
    ignore_errors: Errors = ()
    """Exceptions that are not recorded, with their subclasses: classes, or names such as "django.http.Http404"."""
    before_send: BeforeSend | None = None
    """A function, called in the writer thread, that may drop or change each event."""
    prices: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """What a million tokens cost by model: a mapping as in `model_usage.Price`, or the path of a TOML file of it."""
    proxy_providers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Who provides the proxies that scrapers go through: hosts and prices by name (see `outgoing.proxies`), or the path
    of a TOML file of that."""
    # For the integrations.
    excluded_paths: tuple[str, ...] = LEFT_OUT
    """Prefixes of paths that are not recorded unless the answer was a 5xx."""
    integrations: tuple[str, ...] = ()
    """What `init` switches on: "auto", or names, of which those with a minus are left out; see `integrations`."""
    trusted_proxies: int = 0
    """How many proxies in front of the application are trusted about X-Forwarded-For."""
    activity_rules: Mapping[str, tuple[str, str | None, str | None]] = field(default_factory=dict)
    """Route template -> (activity, module, feature); a finished request on it is an activity too."""
    consumer: Consumer | None = None
    """On whose behalf requests are served: a header's name, or a function of a request's headers; see `consumers`."""
    # For what reads: the summary of health, and the modules of platform_sdk.migrate.
    read_dsn: str | None = field(default=None, repr=False)
    """Where they read, and as whom; None: `dsn`."""
    exporter_url: str | None = field(default=None, repr=False)
    """The exporter's address, which knows how components are and resolves issues; may hold a user and a password."""
    errors_token: str | None = field(default=None, repr=False)
    """The exporter's `errors.token`, by which issues are resolved."""
    # What follows from the options above.
    other_dsns: tuple[str, ...] = field(default=(), repr=False, metadata={"derived": True})
    """The stores that were given beside `dsn`."""
    left_out: tuple[str, ...] = field(default=(), repr=False, metadata={"derived": True})
    """What is wrong with `prices`: what they are about is recorded without a cost."""


Texts = list[str] | tuple[str, ...] | set[str] | frozenset[str]


class GivenOptions(TypedDict, total=False):
    """What `init` takes by keyword beside dsn, app and release: see `Options`."""

    password: str | None
    enabled: bool
    plain_events: int
    other_events: int
    urgent_events: int
    buffer_bytes: int
    flush_interval_seconds: float
    batch_events: int
    sample_above_per_second: float | None
    connect_timeout_seconds: float
    statement_timeout_seconds: float
    synchronous_commit: bool
    retry_seconds: float
    pending_bytes: int
    spool_folder: str
    spool_bytes: int
    exit_timeout_seconds: float
    adopt_stores: Texts
    redact_keys: Texts
    in_app: Texts
    ignore_errors: Collection[type[BaseException] | str]
    before_send: BeforeSend | None
    prices: Mapping[str, Mapping[str, float]] | str
    proxy_providers: Mapping[str, Mapping[str, Any]] | str
    integrations: Texts | str
    excluded_paths: Texts
    trusted_proxies: int
    activity_rules: Mapping[str, tuple[str, str | None, str | None]]
    consumer: Consumer | None
    read_dsn: str | None
    exporter_url: str | None
    errors_token: str | None


def all_options() -> "tuple[Field[Any], ...]":
    """Return the options that `init` takes."""
    return tuple(option for option in fields(Options) if "derived" not in option.metadata)


def read(given: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Options:
    """Return the options: an argument wins over the environment, and that over the default.

    Raises OptionError naming the option, its value and what was expected.
    """
    environment = os.environ if environment is None else environment
    types = {option.name: option.type for option in all_options()}
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
        if name == "integrations" and isinstance(value, str):
            value = _parsed(value, kind)
        if name == "prices":
            values[name], values["left_out"] = _prices(value, place)
            continue
        if name == "proxy_providers":
            values[name] = _proxy_providers(value, place)
            continue
        if name == "dsn":
            values[name] = stores.listed(value, _DSN)
            continue
        values[name] = _checked(value, kind, place, above_zero=name in _ABOVE_ZERO)
    for name in ("dsn", "app"):
        if not any(values.get(name, ())):
            raise OptionError(f"missing option {name!r}: call init({name}=...) or set {PREFIX}{name.upper()}")
    dsns = values["dsn"]
    if len(dsns) > 1 and values.get("adopt_stores"):
        # An event that the former store may hold must go to the one that is a copy of it.
        raise OptionError("invalid adopt_stores beside several stores in dsn: expected one store, which replaces them")
    values["dsn"] = dsns[0] if len(dsns) == 1 else stores.chosen(dsns, values["app"], socket.gethostname())
    return Options(**values, other_dsns=tuple(dsn for dsn in dsns if dsn != values["dsn"]))


def unknown_variables(environment: Mapping[str, str] | None = None) -> list[str]:
    """Return the variables of the SDK's prefix that name no option, each with what it may be a misspelling of."""
    given = os.environ if environment is None else environment
    known = [option.name.upper() for option in all_options()] + [f"{name.upper()}_FILE" for name in _SECRET]
    unknown = [name for name in given if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in known]
    if not unknown:
        return []
    from difflib import get_close_matches  # not loaded where all is well

    alike = [get_close_matches(name.removeprefix(PREFIX), known, n=1) or ["<option>"] for name in unknown]
    return [f"{name}: expected {PREFIX}{option}" for name, (option,) in zip(unknown, alike, strict=True)]


def check_dsn(dsn: str) -> None:
    """Raise OptionError where libpq could never read a DSN as it was meant; all that can be said without loading it."""
    if not stores.is_valid(dsn) or not (stores.is_url(dsn) or _KEYWORD.match(dsn)):
        raise OptionError(f"invalid value for dsn (not shown): expected {_DSN}")


_DSN = (
    "postgresql://<user>@<host>:<port>/<database> (no +driver, as SQLAlchemy has it) or key=value, or a list of them; "
    "in a password %25 for %, %40 for @, %2F for /"
)
_KEYWORD = re.compile(r"\s*[a-z_]+\s*=")
_HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

LONGEST_SECONDS, MOST = 1e9, 1e15
"""What an option takes at most: the wait that Python's locks can still last, and numbers that a float holds exactly."""

# With 0 nothing would ever be stored, the writer would never rest, or a timeout of PostgreSQL's be switched off.
_ABOVE_ZERO = ("batch_events", "flush_interval_seconds", "connect_timeout_seconds", "statement_timeout_seconds")
_SECRET = ("dsn", "password", "read_dsn", "exporter_url", "errors_token")
"""Options that may be read from a file: PLATFORM_SDK_DSN_FILE and so on."""

_LISTS = (tuple[str, ...], Errors)
_FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def _from_environment(name: str, key: str, environment: Mapping[str, str]) -> str | None:
    path = environment.get(f"{key}_FILE")
    if path is None or name not in _SECRET:
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
    return [part.strip() for part in text.split(",") if part.strip()] if kind in _LISTS else text


def _checked(value: Any, kind: Any, place: str, *, above_zero: bool) -> Any:
    """Return a value in the option's type. Raises OptionError."""
    if kind in (str, str | None):
        if isinstance(value, str | os.PathLike) or spelled(value) is not None:
            return str(value)
        raise OptionError(f"invalid {type(value).__name__} for {place}: expected a text")
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
    elif kind == Errors:
        expected = "a list of classes of exceptions, or of their names"
        if isinstance(value, list | tuple | set | frozenset) and all(map(_is_error, value)):
            return tuple(value)
    elif kind == Consumer | None:
        expected = "the name of a header, or a function of a request's headers as an argument of init()"
        if callable(value) or (isinstance(value, str) and _HEADER.fullmatch(value)):
            return value
    elif kind == BeforeSend | None:
        expected = "a function of an event, as an argument of init()"
        if callable(value):
            return value
    else:
        expected = "a mapping of routes to (activity, module, feature), as an argument of init()"
        if isinstance(value, Mapping):
            return value
    raise OptionError(f"invalid {_shown(value)} for {place}: expected {expected}")


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - the application's class
        return f"<{type(value).__name__}>"


def _prices(value: Any, place: str) -> tuple[Mapping[str, Mapping[str, float]], tuple[str, ...]]:
    """Return a table of prices, read from a file if it is a path, and what is wrong with it, which is left out."""
    expected = "models with a price of 0 or more for input, output, cache_read or cache_creation"
    prices: dict[str, Mapping[str, float]] = {}
    wrong = []
    try:
        place, table = _table(value, place, expected)
    except OptionError as error:
        return {}, (str(error),)
    for model, price in _models(table):
        if "*" in model:
            wrong.append(f"invalid model {model!r} for {place}: expected a model's name, with or without its date")
        elif not isinstance(price, Mapping) or not price or not all(map(_is_price, price.values())):
            wrong.append(f"invalid {_shown(price)} for {place}, model {model!r}: expected {expected}")
        elif misspelt := _misspelt(price):
            wrong.append(f"invalid {misspelt[0]!r} for {place}, model {model!r}: expected {misspelt[1]}")
        else:
            prices[model] = dict(price)
    return prices, tuple(wrong)


def _models(table: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield models and their prices. To TOML [gpt-4.1] is a table in another one, which may be a model, too."""
    for name, value in table.items():
        inner = (
            {key: one for key, one in value.items() if isinstance(one, Mapping)} if isinstance(value, Mapping) else {}
        )
        yield from _models(inner, f"{prefix}{name}.")
        if not inner:
            yield f"{prefix}{name}", value
        elif own := {key: one for key, one in value.items() if key not in inner}:
            yield f"{prefix}{name}", own


def _misspelt(price: Mapping[Any, float]) -> tuple[Any, str] | None:
    """Return a kind of tokens that is none, and what it may be meant to be; the names of tiers are the provider's."""
    from platform_sdk.model_usage import KINDS

    known = (*KINDS, "batch", "flex", "priority")
    if not (unknown := [name for name in price if name not in known]):
        return None
    from difflib import get_close_matches  # not loaded where all is well

    alike = ((name, match) for name in unknown for match in get_close_matches(str(name), known, n=1))
    return next(alike, None if any(kind in price for kind in KINDS) else (unknown[0], " or ".join(KINDS)))


def _proxy_providers(value: Any, place: str) -> Mapping[str, Mapping[str, Any]]:
    """Return a table of providers of proxies, read from a file if it is a path. Raises OptionError."""
    expected = (
        f"names with `hosts`, a list of at least one HOST, HOST:PORT or *.DOMAIN without a user, and {', '.join(_PAID)}"
        " at a price of 0 or more where they are paid for"
    )
    place, table = _table(value, place, expected)
    for name, one in table.items():
        hosts = one.get("hosts") if isinstance(one, Mapping) else None
        good = isinstance(hosts, list | tuple) and hosts and all(map(_is_host, hosts))
        if not good or not all(key == "hosts" or (key in _PAID and _is_price(price)) for key, price in one.items()):
            # A URL with a user and a password may stand there: its value is left out.
            raise OptionError(f"invalid value (not shown) for {place}, provider {name!r}: expected {expected}")
    _check_providers(place, {str(name): one["hosts"] for name, one in table.items()})
    return {str(name): dict(one) for name, one in table.items()}


def _check_providers(place: str, providers: Mapping[str, Sequence[str]]) -> None:
    """Raise OptionError for a name that would be mistaken for another's, or a host of which two providers are said."""
    whose: dict[str, str] = {}
    for name, hosts in providers.items():
        if not name.isprintable() or not name.strip() or name in ("other", "_other_"):
            expected = "a printable name, and not that of proxies in no list (other) or of what found no room (_other_)"
            raise OptionError(f"invalid provider {name!r} for {place}: expected {expected}")
        for host in map(str.lower, hosts):
            if (before := whose.setdefault(host, name)) != name:
                expected = f"each host once, {before!r} has it already"
                raise OptionError(f"invalid host {host!r} for {place}, provider {name!r}: expected {expected}")


_PAID = ("request", "page", "gigabyte")


def _is_host(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"(\*\.)?[A-Za-z0-9.:_\[\]-]+", value) is not None


def _table(value: Any, place: str, expected: str) -> tuple[str, Mapping[Any, Any]]:
    """Return a table and where it stands, read from a file if it is a path. Raises OptionError."""
    if isinstance(value, str | os.PathLike):
        import tomllib  # not loaded where no file is read

        try:
            place, value = f"{place} ({value})", tomllib.loads(Path(value).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise OptionError(
                f"invalid {str(value)!r} for {place}: expected a TOML file of {expected} ({error})"
            ) from error
    if not isinstance(value, Mapping):
        shown = type(value).__name__
        raise OptionError(f"invalid {shown} for {place}: expected {expected}, or the path of a TOML file of them")
    return place, value


def _is_price(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LONGEST_SECONDS


def _is_error(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, type) and issubclass(value, BaseException))
