"""What commands share: options, errors that become exit statuses, logging."""

import contextlib
import functools
import getpass
import json
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

import click

from exporter.config import loader as configuration
from exporter.config.settings import Config, Source
from exporter.errors import ConfigError, PlatformError

F = TypeVar("F", bound=Callable[..., Any])

FAILED, MISUSED = 1, 2
LONGEST_ACTOR = 200

FILE = click.Path(path_type=Path, dir_okay=False)

config_option = click.option(
    "--config",
    "--config.file",
    "path",
    type=FILE,
    required=True,
    envvar="PLATFORM_EXPORTER_CONFIG",
    show_envvar=True,
    help="The configuration file (YAML).",
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _myself() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"  # a container's user id without a name
    return f"{user}@{socket.gethostname()}"[:LONGEST_ACTOR]


def _actor(context: click.Context, option: click.Parameter, by: str) -> str:
    from exporter.issues.parsing import actor_named  # only commands that change something need it

    if (name := actor_named(by)) is None:
        raise click.BadParameter(
            f"invalid name {by!r}: expected 1 to {LONGEST_ACTOR} printable characters of one alphabet, not `exporter`"
        )
    return name


by_option = click.option(
    "--by", default=_myself, callback=_actor, show_default="user@host", help="Who does it, for the audit."
)


def options(*given: Callable[[F], F]) -> Callable[[F], F]:
    """Return a decorator that adds these options, which are shown in this order."""
    return lambda command: functools.reduce(lambda one, option: option(one), reversed(given), command)


def in_one_line(text: str) -> str:
    """Return a text of which parts came from a file, without what would move a terminal's cursor or end the line."""
    return "".join(character if character.isprintable() else " " for character in " ".join(text.split()))


def reports_errors(command: F) -> F:
    """Turn errors meant for people into one line on stderr and the exit status they stand for."""

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except ConfigError as error:
            click.echo(f"platform-exporter: {in_one_line(str(error))}", err=True)
            sys.exit(MISUSED)
        except PlatformError as error:
            click.echo(f"platform-exporter: {error}", err=True)
            sys.exit(FAILED)
        except Exception as error:
            psycopg = sys.modules.get("psycopg")  # where it was not imported, no error is its own
            if psycopg is None or not isinstance(error, psycopg.Error):
                raise
            from exporter.database.connection import reason_of

            # Foreseen refusals are PlatformErrors; what else a server may answer is shown as it says it.
            hint = f" ({error.diag.message_hint})" if error.diag.message_hint else ""
            click.echo(
                f"platform-exporter: PostgreSQL: {error.diag.message_primary or reason_of(error)}{hint}", err=True
            )
            sys.exit(FAILED)

    return wrapper  # type: ignore[return-value]  # functools.wraps keeps the signature, which mypy cannot see


def load(path: Path) -> Config:
    """Read the configuration. Raises ConfigError."""
    return configuration.load(path)


def find_source(config: Config, name: str, path: Path) -> Source | None:
    """Return the configured source with this name, preset or mapping file; None where there is none.

    A file's path starts at the configuration's folder, or at the current one. Raises ConfigError where several match.
    """
    file = str(path.parent / name) if name.endswith((".yml", ".yaml")) else name
    matches = [s for s in config.sources if name in (s.preset, s.label) or s.preset in (file, str(Path(name)))]
    if len(matches) > 1:
        raise ConfigError(f"{path}: several entries of `sources` have the preset {name!r}; give the `name` of one")
    return matches[0] if matches else None


def require_source(config: Config, name: str, path: Path, argument: str) -> Source:
    """Return the configured source that `find_source` finds; raises ConfigError, which names the argument, for none."""
    found = find_source(config, name, path)
    if found is None:
        known = ", ".join(source.label for source in config.sources)
        raise ConfigError(f"invalid {argument} {name!r}: expected one of {known}")
    return found


def parse_labels(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Return the labels of an option that may be repeated, each NAME=VALUE; a callback of click's."""
    pairs = [text.partition("=") for text in given]
    if wrong := [name + equals for name, equals, _ in pairs if not name or not equals]:
        raise click.BadParameter(f"invalid label {wrong[0]!r}: expected NAME=VALUE, e.g. route=/orders")
    return {name: value for name, _, value in pairs}


class Progress(Protocol):
    """What is told how far something is."""

    def update(self, steps: int, /) -> None:
        """Note that so many more steps are done."""


class _Lines:
    """Progress for a log: a line on standard error each 10 %."""

    def __init__(self, label: str, length: int) -> None:
        self._label, self._length, self._done, self._began = label, length, 0, time.monotonic()

    def update(self, steps: int, /) -> None:
        """Print a line if another tenth is done."""
        before, self._done = self._done, self._done + steps
        tenths = 10 * self._done // self._length
        if tenths > 10 * before // self._length:
            left = (time.monotonic() - self._began) * (self._length / self._done - 1)
            click.echo(f"{self._label}: {10 * tenths} %, {timedelta(seconds=round(left))} left", err=True)


def progress(label: str, length: int, *, show_pos: bool = False) -> "click._termui_impl.ProgressBar[int]":
    """Return a bar on standard error; it shows nothing if that is not a terminal."""
    return click.progressbar(
        length=length, label=label, file=sys.stderr, show_pos=show_pos, hidden=not sys.stderr.isatty()
    )


def logged_progress(label: str, length: int) -> contextlib.AbstractContextManager[Progress]:
    """Return a bar on standard error, or lines if that is not a terminal: of what takes minutes."""
    return progress(label, length) if sys.stderr.isatty() else contextlib.nullcontext(_Lines(label, length))


class _JsonFormatter(logging.Formatter):
    """A record as a line of JSON, for what collects logs."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        found = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        return json.dumps(found, ensure_ascii=False)


def log_to_stderr(level: str, form: str = "text") -> None:
    """Set up logging for a long-running command: one line a record, UTC, to stderr; `form` is text or json."""
    formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(name)s: %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if form == "json" else formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler])


@contextlib.contextmanager
def ended_in_order() -> Iterator[None]:
    """End by SIGTERM as by Ctrl-C: else temporary folders would stay, and a Prometheus in them."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
