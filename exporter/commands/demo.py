"""Simulate a platform, so that a new installation has something to show."""

import logging
import signal
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from types import FrameType

import click

from exporter.commands.common import config_option, load, log_to_stderr, progress, reports_errors
from exporter.config.settings import Config
from exporter.database import schema
from exporter.database.connection import connect
from exporter.demo import event_history, live
from exporter.demo.platform import APPS
from exporter.errors import ConfigError
from exporter.times import parse_time

logger = logging.getLogger("exporter.demo")


@click.command()
@config_option
@click.option("--past", "since", help="First write past events (7d, 12h, or since a date), unless there are any.")
@click.option("--no-live", is_flag=True, help="Only write past events.")
@click.option("--speed", type=click.FloatRange(0.01, 100), default=1.0, show_default=True,
              help="Amount of traffic; 1 is two or three events a second.")  # fmt: skip
@click.option("--seed", default=1, show_default=True, help="Another seed gives other events and incidents.")
@click.option("--remove", is_flag=True, help="Remove everything that this command ever wrote, and exit.")
@reports_errors
def demo(path: Path, since: str | None, no_live: bool, speed: float, seed: int, remove: bool) -> None:
    """Simulate a platform, so that every dashboard has something to show.

    A shop and some scrapers write events through the SDK, more by day than by night. Within ten minutes of the start
    most things that can go wrong do: an API fails, a release brings errors, a site bans a scraper, jobs hang, logins
    fail. All of it is invented and marked as such: the apps are demo-shop and demo-harvest, user agents end in `demo`,
    and only Redis queues whose names begin with `demo` are written to.

    The user of `database` must be a member of platform_writer; --past and --remove need the schema's owner. What
    Prometheus has stored of the demo ends with Prometheus's retention.

    \b
    Examples:
      platform-exporter demo --config FILE --past 7d
      platform-exporter demo --config FILE --remove
    """
    log_to_stderr("info")
    config = load(path)
    named = [probe for probe in config.probes.redis if not probe.sentinels]  # a Sentinel's name is not a host
    queues = [live.Queues(probe, Random(seed)) for probe in named]  # noqa: S311 - invented data
    if remove:
        with connect(config.database, "demo") as connection:
            events = event_history.remove(connection)
        for one in queues:
            one.remove()
        click.echo(f"removed: {', '.join(APPS)}, {events:,} events", err=True)
        return
    if since:
        _write_past(config, since, seed, speed)
    if not no_live:
        _run_live(config, queues, seed, speed)


def _write_past(config: Config, since: str, seed: int, speed: float) -> None:
    now = datetime.now(UTC)
    period = event_history.Period(parse_time(since, now).timestamp(), now.timestamp())
    if period.begins >= period.ends:
        raise ConfigError(f"invalid --past {since}: expected a time in the past, e.g. 7d or a date")
    with (
        connect(config.database, "demo") as connection,
        progress("past", 1000) as bar,
    ):
        schema.check_version(connection, "store")
        written = event_history.write(
            connection, period, seed, speed, lambda share: bar.update(int(share * 1000) - bar.pos)
        )
    for app, events in written.items():
        click.echo(
            f"{app}: {events:,} events since {datetime.fromtimestamp(period.begins, UTC):%Y-%m-%d %H:%M}Z", err=True
        )
    if not written:
        click.echo(f"{', '.join(APPS)} have events already: no past events were added", err=True)


def _run_live(config: Config, queues: list[live.Queues], seed: int, speed: float) -> None:
    with connect(config.database, "demo") as connection:
        live.prepare(connection)
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    logger.info("simulating %s until stopped; all of it is demo data", " and ".join(APPS))
    live.run(live.LiveSettings(config.database, seed, speed, time.time()), queues, stop)
    for one in queues:
        one.close()
