"""Give Prometheus the past: what the tables held before it was there."""

import contextlib
import os
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import click

from exporter.commands.common import config_option, load, progress, reports_errors
from exporter.config.settings import Config
from exporter.database.connection import connect
from exporter.errors import BackfillError, ConfigError
from exporter.exposition import collector
from exporter.history import blocks, increments, openmetrics, replay, tables
from exporter.history.increments import Span
from exporter.sources import mapping
from exporter.times import parse_time

HEAD_SECONDS = 3 * 3600
"""What a running Prometheus may hold in memory alone. A block that reached into it would, at the next start, keep it
from reading what its write-ahead log has of the same time: https://prometheus.io/docs/prometheus/latest/storage/"""

LEAST_STEP_SECONDS = 10
"""Prometheus answers a query with 11,000 points a series at most; a block has 6,480 of them then."""

MOST_STEP_SECONDS = 240
"""Prometheus takes a series for ended after five minutes without a sample."""


@click.command()
@config_option
@click.option("--output", "-o", "folder", type=click.Path(path_type=Path, file_okay=False, exists=True), required=True,
              help="Prometheus's data folder (--storage.tsdb.path), or any other to copy from.")  # fmt: skip
@click.option("--since", default="7d", show_default=True, help="From when: 24h, 30d (ago), or a date or time.")
@click.option("--until", help="To when; as --since (default: 3h ago, see below).")
@click.option("--step", "step_seconds", type=click.IntRange(LEAST_STEP_SECONDS, MOST_STEP_SECONDS), default=60,
              show_default=True, help="Seconds between two samples.")  # fmt: skip
@click.option("--source", "names", multiple=True, help="Only these sources (default: all of the configuration).")
@click.option("--rules", type=click.Path(path_type=Path, exists=True), help="Rule files, too: a folder or a file.")
@click.option("--promtool", type=click.Path(path_type=Path), help="The program (default: in PATH).")
@click.option("--prometheus", type=click.Path(path_type=Path), help="The program, for --rules (default: in PATH).")
@click.option("--job", default="platform-exporter", show_default=True, help="The label that Prometheus adds.")
@click.option("--instance", help="The label that Prometheus adds (default: `listen` of the configuration).")
@reports_errors
def backfill(
    path: Path, folder: Path, since: str, until: str | None, step_seconds: int, names: tuple[str, ...],
    rules: Path | None, promtool: Path | None, prometheus: Path | None, job: str, instance: str | None,
) -> None:  # fmt: skip
    """Turn the rows of the past into blocks of Prometheus's database, so that charts begin before it did.

    Counters, histograms and gauges of events, of adopted tables too, as if Prometheus had scraped all the time; the
    thresholds of today; with --rules what the recording rules make of them. A source must have been counted once
    (`serve`): the past ends where its counters are. A running Prometheus sees new blocks within a minute or two.

    A Prometheus that has run for hours keeps the last three in memory; give it nothing newer, which is the default.
    One that was started only now has nothing to lose: `--until` the time of its start.

    \b
    Example:
      platform-exporter backfill --config FILE --since 30d --rules prometheus/rules -o DATA
    """
    config = load(path)
    span = _span(since, until, step_seconds)
    tool = blocks.program("promtool", promtool)
    server = blocks.program("prometheus", prometheus) if rules else None
    labels = {"instance": instance or config.listen, "job": job}
    with tempfile.TemporaryDirectory(prefix=".backfill-", dir=folder) as name:
        staging = Path(name)
        _events(config, names, span, labels, tool, staging)
        if rules and server:
            files = sorted(rules.glob("*.yml")) if rules.is_dir() else [rules]
            layers = blocks.layers(files)
            with progress("rules", sum(map(len, layers)) * len(list(span.pieces(blocks.BLOCK_SECONDS)))) as bar:
                replay.evaluate((server, tool), layers, span, staging, bar.update)
        made = _deliver(staging, folder)
    click.echo(f"{made} blocks from {_shown(span.start)} to {_shown(span.end)} are in {folder}", err=True)


def _span(since: str, until: str | None, step_seconds: int) -> Span:
    now = datetime.now(UTC)
    end = parse_time(until, now).timestamp() if until else now.timestamp() - HEAD_SECONDS
    start = int(parse_time(since, now).timestamp() // step_seconds * step_seconds)
    steps = int(min(end, now.timestamp()) - start) // step_seconds
    if steps < 1:
        raise ConfigError(f"--since {since} is not before --until {until or '3h'}; wanted an earlier time")
    return Span(start, step_seconds, steps)


def _events(
    config: Config, names: tuple[str, ...], span: Span, labels: dict[str, str], tool: Path, staging: Path
) -> None:
    """Make the blocks of what is counted, and of the thresholds."""
    sources = [tables.named(config, name) for name in names] or config.sources
    with contextlib.ExitStack() as stack:
        pasts = []
        for source in sources:
            connection = stack.enter_context(connect(config.database_of(source), "backfill"))
            read = increments.read(connection, mapping.plan(source), span, config.limits, _tell)
            pasts.append(stack.enter_context(read))
        constants = [("platform_threshold", given, value) for given, value in collector.thresholds(config.thresholds)]
        constants += [("platform_objective", given, value) for given, value in collector.objectives(config.objectives)]
        timeline = openmetrics.Timeline(pasts, constants, span, labels)
        _tell(f"{timeline.series} series, {span.steps + 1} samples each")
        pieces = list(span.pieces(blocks.BLOCK_SECONDS))
        with progress("events", len(pieces)) as bar:
            for first, last in pieces:
                text = staging / "past.om"
                with text.open("w", encoding="utf-8") as out:
                    timeline.write(first, last, out)
                blocks.from_openmetrics(tool, text, staging)
                text.unlink()
                bar.update(1)


def _deliver(staging: Path, folder: Path) -> int:
    """Move whole blocks to where Prometheus looks for them, as its own user where we may; return how many."""
    made = [block for block in staging.iterdir() if (block / "meta.json").exists()]
    if not made:
        raise BackfillError(f"no block came of it: the sources hold nothing that was counted; {folder} is as it was")
    owner = folder.stat()
    for block in made:
        if os.geteuid() == 0:
            for item in (block, *block.rglob("*")):
                shutil.chown(item, owner.st_uid, owner.st_gid)
        block.rename(folder / block.name)
    return len(made)


def _shown(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _tell(text: str) -> None:
    click.echo(text, err=True)
