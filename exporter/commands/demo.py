"""Play a platform that does not exist, for those who want to see something."""

import logging
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from types import FrameType

import click

from exporter.commands.common import config_option, load, log_to_stderr, reports_errors
from exporter.config.settings import Config
from exporter.database import schema
from exporter.database.connection import connect
from exporter.demo import live, past, removal
from exporter.demo.platform import APPS
from exporter.demo.queues import Queues
from exporter.errors import ConfigError
from exporter.times import moment

logger = logging.getLogger("exporter.demo")


@click.command()
@config_option
@click.option("--past", "since", help="First write a past: 7d, 12h, or since a date. Once: nothing is added to events.")
@click.option("--no-live", is_flag=True, help="Only write the past.")
@click.option("--speed", type=click.FloatRange(0.01, 100), default=1.0, show_default=True,
              help="How much traffic; 1 is two or three events a second.")  # fmt: skip
@click.option("--seed", default=1, show_default=True, help="Another one, another past and other incidents.")
@click.option("--remove", is_flag=True, help="Remove all that this command ever wrote, and end.")
@reports_errors
def demo(path: Path, since: str | None, no_live: bool, speed: float, seed: int, remove: bool) -> None:
    """Play a platform that does not exist, so that every dashboard has something to show.

    A shop and some scrapers write events through the SDK, by day more than by night; within ten minutes of the start
    most that can go wrong does: an API fails, a release brings errors, a site bans a scraper, jobs hang, logins fail.
    All of it is invented, and marked: the apps are demo-shop and demo-harvest, user agents end in `demo`, and queues
    in Redis are written to only where the configuration names some that begin with `demo`.

    The user of `database` must be one that may write events (a member of platform_writer); for --past and --remove,
    the schema's owner. What Prometheus has stored of it goes with its retention.

    \b
    Examples:
      platform-exporter demo --config FILE --past 7d
      platform-exporter demo --config FILE --remove
    """
    log_to_stderr("info")
    config = load(path)
    queues = [Queues(probe, Random(seed)) for probe in config.probes.redis]  # noqa: S311 - invented data
    if remove:
        with connect(config.database, "demo") as connection:
            events = removal.remove(connection)
        for one in queues:
            one.remove()
        click.echo(f"removed: {', '.join(APPS)}, {events:,} rows", err=True)
        return
    if since:
        _write_past(config, since, seed, speed)
    if not no_live:
        _play(config, queues, seed, speed)


def _write_past(config: Config, since: str, seed: int, speed: float) -> None:
    now = datetime.now(UTC)
    span = past.Span(moment(since, now).timestamp(), now.timestamp())
    if span.begins >= span.ends:
        raise ConfigError(f"--past {since} is not in the past; wanted 7d, or a date")
    with (
        connect(config.database, "demo") as connection,
        click.progressbar(length=1000, label="past", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar,
    ):
        schema.check_version(connection, "store")
        written = past.write(connection, span, seed, speed, lambda share: bar.update(int(share * 1000) - bar.pos))
    for app, events in written.items():
        click.echo(
            f"{app}: {events:,} events since {datetime.fromtimestamp(span.begins, UTC):%Y-%m-%d %H:%M}Z", err=True
        )
    if not written:
        click.echo(f"{', '.join(APPS)} have events already: no past is added", err=True)


def _play(config: Config, queues: list[Queues], seed: int, speed: float) -> None:
    with connect(config.database, "demo") as connection:
        live.prepare(connection)
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    logger.info("%s are played: demo data, until this is ended", " and ".join(APPS))
    live.run(live.Play(config.database, seed, speed, time.time()), queues, stop)
    for one in queues:
        one.close()
