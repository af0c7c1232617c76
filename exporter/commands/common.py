"""What commands share: options, errors that become exit statuses, logging."""

import functools
import getpass
import logging
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

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
    if not by or len(by) > LONGEST_ACTOR or not by.isprintable():
        raise click.BadParameter(f"invalid name {by!r}: expected 1 to {LONGEST_ACTOR} printable characters")
    return by


by_option = click.option(
    "--by", default=_myself, callback=_actor, show_default="user@host", help="Who does it, for the audit."
)


def reports_errors(command: F) -> F:
    """Turn errors meant for people into one line on stderr and the exit status they stand for."""

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except ConfigError as error:
            click.echo(f"platform-exporter: {error}", err=True)
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


def progress(label: str, length: int, *, show_pos: bool = False) -> "click._termui_impl.ProgressBar[int]":
    """Return a bar on standard error; it shows nothing if that is not a terminal."""
    return click.progressbar(
        length=length, label=label, file=sys.stderr, show_pos=show_pos, hidden=not sys.stderr.isatty()
    )


def log_to_stderr(level: str) -> None:
    """Set up logging for a long-running command: one line a record, UTC, to stderr."""
    formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(name)s: %(message)s", datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler])
