"""`backfill`: blocks of the time before Prometheus was started."""

import contextlib
import os
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import click

from exporter.commands.common import config_option, ended_in_order, load, logged_progress, reports_errors
from exporter.config.settings import Config, Source
from exporter.database.connection import connect
from exporter.errors import ConfigError, PlatformError
from exporter.exposition import collector
from exporter.exposition.labels import added_labels
from exporter.history import blocks, increments, openmetrics, replay, tables
from exporter.history.increments import TimeGrid
from exporter.printing import plural
from exporter.sources import mapping
from exporter.times import parse_time

HEAD_SECONDS = 3 * 3600
"""What a running Prometheus may hold in memory only. A block of that time would, at the next start, keep it from
reading what its write-ahead log has of the same time: https://prometheus.io/docs/prometheus/latest/storage/"""

Constant = tuple[str, dict[str, str], float]
"""A gauge that never changed: name, labels, value."""

LEAST_STEP_SECONDS = 10
"""Prometheus answers a query with 11,000 points a series at most; a block has 6,480 of them then."""

MOST_STEP_SECONDS = 240
"""Prometheus takes a series for ended after five minutes without a sample."""


@click.command()
@config_option
@click.option("--output", "-o", "folder", type=click.Path(path_type=Path, file_okay=False, exists=True), required=True,
              help="Prometheus's data folder (--storage.tsdb.path), or any other to copy from.")  # fmt: skip
@click.option("--since", default="7d", show_default=True, help="From when: 24h, 30d (ago), or a date or time.")
@click.option("--until", help="Until when; as --since (default: 3h ago, see below).")
@click.option("--step", "step_seconds", type=click.IntRange(LEAST_STEP_SECONDS, MOST_STEP_SECONDS), default=60,
              show_default=True, help="Seconds between two samples.")  # fmt: skip
@click.option("--source", "names", multiple=True, help="Only these sources (default: all of the configuration).")
@click.option(
    "--rules", type=click.Path(path_type=Path, exists=True), help="Recording rules to evaluate: folder or file."
)
@click.option("--promtool", type=click.Path(path_type=Path), help="Its path (default: in PATH).")
@click.option("--prometheus", type=click.Path(path_type=Path), help="Its path, for --rules (default: in PATH).")
@click.option("--job", default="platform-exporter", show_default=True, help="The label `job` that Prometheus adds.")
@click.option("--instance", help="The label `instance` that Prometheus adds (default: `listen` of the configuration).")
@reports_errors
def backfill(
    path: Path, folder: Path, since: str, until: str | None, step_seconds: int, names: tuple[str, ...],
    rules: Path | None, promtool: Path | None, prometheus: Path | None, job: str, instance: str | None,
) -> None:  # fmt: skip
    """Turn stored rows into blocks of Prometheus's database, so that charts begin before Prometheus was started.

    The blocks hold counters, histograms and gauges of events, also of adopted tables, as if Prometheus had scraped
    all the time; today's thresholds; with --rules the results of the recording rules. A source must have been counted
    once (by `serve`): the past ends where its counters are. A running Prometheus sees new blocks within two minutes.

    A Prometheus that has run for hours keeps the last three in memory; by default the blocks end before them. For one
    that was started just now, give the time of its start as --until.

    \b
    Example:
      platform-exporter backfill --config FILE --since 30d --rules prometheus/rules -o DATA
    """
    config = load(path)
    grid = grid_of(since, until, step_seconds, HEAD_SECONDS)
    tool = blocks.program("promtool", promtool)
    server = blocks.program("prometheus", prometheus) if rules else None
    labels = {"instance": instance or config.listen, "job": job}
    with ended_in_order(), tempfile.TemporaryDirectory(prefix=".backfill-", dir=folder) as name:
        staging = Path(name)
        write_events(config, names, grid, labels, tool, staging, promised(config))
        if rules and server:
            evaluate((server, tool), blocks.layers(blocks.rules_of(rules)), grid, staging)
        made = _deliver(staging, folder)
    click.echo(f"{plural(made, 'block')} from {_shown(grid.start)} to {_shown(grid.end)} are in {folder}", err=True)


def grid_of(since: str, until: str | None, step_seconds: int, before_now_seconds: int) -> TimeGrid:
    """Return the times from one to another, by default so long before now. Raises ConfigError, TimeTextError."""
    now = datetime.now(UTC)
    end = parse_time(until, now).timestamp() if until else now.timestamp() - before_now_seconds
    default = f"{before_now_seconds // 3600}h" if before_now_seconds else "now"
    start = int(parse_time(since, now).timestamp() // step_seconds * step_seconds)
    if end > now.timestamp():
        raise ConfigError(f"--until {until} is in the future: expected a time that was, or none for now")
    steps = int(end - start) // step_seconds
    if steps < 1:
        raise ConfigError(f"--since {since} is not before --until {until or default}: expected an earlier time")
    return TimeGrid(start, step_seconds, steps)


def write_events(
    config: Config, names: tuple[str, ...], grid: TimeGrid, labels: dict[str, str], tool: Path, staging: Path,
    constants: list[Constant],
) -> None:  # fmt: skip
    """Make the blocks of events, and of gauges that never changed."""
    sources = [tables.named(config, name) for name in names] or _with_history(config)
    added = added_labels(config)
    with contextlib.ExitStack() as stack:
        pasts = []
        for source in sources:
            plan = mapping.plan(source)
            if plan.read_only:
                raise ConfigError(f"source {source.label} {_NO_HISTORY}")
            connection = stack.enter_context(connect(config.database_of(source), "backfill", native=plan.native))
            read = increments.read(connection, plan, grid, config.limits, _report)
            pasts.append(increments.with_labels(stack.enter_context(read), added.of(source.label)))
        write(openmetrics.Timeline(pasts, constants, grid, labels, added.names), grid, tool, staging)


def write(timeline: openmetrics.Timeline, grid: TimeGrid, tool: Path, staging: Path) -> None:
    """Make the blocks of a timeline."""
    _report(f"{timeline.series} series, {grid.steps + 1} samples each")
    pieces = list(grid.pieces(blocks.BLOCK_SECONDS))
    with logged_progress("events", len(pieces)) as bar:
        for first, last in pieces:
            text = staging / "past.om"
            with text.open("w", encoding="utf-8") as out:
                timeline.write(first, last, out)
            blocks.from_openmetrics(tool, text, staging)
            text.unlink()
            bar.update(1)


def promised(config: Config) -> list[Constant]:
    """Return today's thresholds and objectives as gauges."""
    found = [("platform_threshold", given, value) for given, value in collector.thresholds(config.thresholds)]
    return found + [("platform_objective", given, value) for given, value in collector.objectives(config.objectives)]


def evaluate(programs: tuple[Path, Path], layers: list[list[replay.Rule]], grid: TimeGrid, staging: Path) -> None:
    """Add the results of recording rules to blocks, and show how far that is."""
    pieces = len(list(grid.pieces(blocks.BLOCK_SECONDS)))
    with logged_progress("rules", sum(map(len, layers)) * pieces) as bar:
        replay.evaluate(programs, layers, grid, staging, bar.update)


_NO_HISTORY = "may only be read, and its counters are in another database than its rows: there is no history of it"


def _with_history(config: Config) -> list[Source]:
    """Return all sources of which blocks can be made."""
    left_out = [source for source in config.sources if mapping.plan(source).read_only]
    for source in left_out:
        _report(f"source {source.label} {_NO_HISTORY}")
    return [source for source in config.sources if source not in left_out]


def _deliver(staging: Path, folder: Path) -> int:
    """Move complete blocks to Prometheus's folder, owned by its user if we are root; return how many."""
    made = [block for block in staging.iterdir() if (block / "meta.json").exists()]
    if not made:
        raise PlatformError(f"no blocks were made: the sources hold no counted rows; {folder} is unchanged")
    owner = folder.stat()
    for block in made:
        if os.geteuid() == 0:
            for item in (block, *block.rglob("*")):
                shutil.chown(item, owner.st_uid, owner.st_gid)
        block.rename(folder / block.name)
    return len(made)


def _shown(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _report(text: str) -> None:
    click.echo(text, err=True)
