"""`series`: the label sets of the counters, the fattest first, and how to end some."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import psycopg

from exporter.aggregation import label_sets
from exporter.aggregation.label_sets import Group, Selection
from exporter.commands.common import (
    by_option,
    config_option,
    json_option,
    load,
    options,
    parse_labels,
    reports_errors,
    require_source,
)
from exporter.config.settings import Config, Source
from exporter.database import schema
from exporter.database.connection import connect
from exporter.errors import ConfigError, CountError, DatabaseError
from exporter.printing import plural, table
from exporter.sources import mapping


@click.group()
def series() -> None:
    """List the label sets of the counters, the fattest first, and end those of no more use.

    \b
    Examples:
      platform-exporter series list --config FILE
      platform-exporter series list --config FILE --app shop --json
      platform-exporter series forget --config FILE --app old-shop
      platform-exporter series forget --config FILE --app shop --label route=/raw/17 --yes
    """


_filters = options(
    reports_errors,
    config_option,
    click.option("--source", help="Only this source (default: all)."),
    click.option("--app", "apps", multiple=True, help="Only this app; may be repeated."),
    click.option("--metric", "metrics", multiple=True, help="Only this metric; may be repeated."),
    click.option(
        "--label", "labels", multiple=True, metavar="NAME=VALUE", callback=parse_labels,
        help="Only label sets with this label; may be repeated, all must match.",
    ),
    json_option,
)  # fmt: skip


@series.command("list")
@_filters
@click.option("--limit", type=click.IntRange(1, 100_000), default=30, show_default=True, help="The most lines.")
def list_(path: Path, source: str | None, as_json: bool, limit: int, **given: Any) -> None:
    """List how many label sets each app has of each metric, which label makes them, and when one was last counted."""
    config = load(path)
    groups = [group for each in _sources(config, path, source) for group in _listed(config, each, Selection(**given))]
    groups.sort(key=lambda group: -group.label_sets)
    _print(groups[:limit], as_json)
    if not as_json:
        total = plural(sum(group.label_sets for group in groups), "label set")
        hint = "" if groups else " (none matches; a metric has its whole name, such as platform_errors_total)"
        click.echo(f"{total}{hint}; {config.limits.series_per_metric:,} per metric and source are shared by its apps")


@series.command()
@_filters
@click.option("--yes", is_flag=True, help="Do it; without it, only show what would be forgotten.")
@by_option
@click.option("--note", help="The reason, for the audit.")
def forget(path: Path, source: str | None, as_json: bool, yes: bool, by: str, note: str | None, **given: Any) -> None:
    """End the series of an app, of a metric or with a label: they are gone from /metrics with the next poll.

    What such a label set counts later is a new series, which begins at 0. Rows are not removed. Without --yes nothing
    is changed.
    """
    selection = Selection(**given)
    if not selection:
        raise ConfigError("nothing selects what to forget: expected --app, --metric or --label")
    config = load(path)
    chosen = _sources(config, path, source)
    groups = [group for each in chosen for group in _listed(config, each, selection)]
    if not groups:
        raise CountError("no series matches; see `platform-exporter series list`")
    _print(groups, as_json)
    found = sum(group.label_sets for group in groups)
    if not yes:
        click.echo(f"{plural(found, 'label set')} would be forgotten; nothing was changed: add --yes", err=as_json)
        return
    done = sum(_forget(config, each, selection, by, note) for each in chosen)
    click.echo(f"{plural(done, 'label set')} forgotten: they are gone with the next poll", err=as_json)


def _sources(config: Config, path: Path, name: str | None) -> tuple[Source, ...]:
    return config.sources if name is None else (require_source(config, name, path, "--source"),)


def _listed(config: Config, source: Source, selection: Selection) -> list[Group]:
    plan = mapping.plan(source)
    with connect(mapping.store_of(config, source), "series") as connection:
        schema.check_version(connection, "store" if plan.native else "counting")
        return label_sets.listed(connection, plan, selection)


def _forget(config: Config, source: Source, selection: Selection, by: str, note: str | None) -> int:
    with connect(mapping.store_of(config, source), "series") as connection:
        try:
            return label_sets.forget(connection, mapping.plan(source), selection, by, note)
        except psycopg.errors.LockNotAvailable as error:
            raise DatabaseError(
                f"source {source.label} has been counted for more than 10 s; nothing of it was forgotten: try again"
            ) from error


def _print(groups: list[Group], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"series": [asdict(group) for group in groups]}, indent=2, default=str))
        return
    headings = ("SOURCE", "APP", "METRIC", "LABEL SETS", "OF ALL APPS", "WIDEST LABEL", "LAST COUNTED")
    rows = [
        (g.source, g.app, g.metric, f"{g.label_sets:,}", f"{g.in_budget:,}", g.widest, f"{g.counted_at:%Y-%m-%d %H:%M}")
        for g in groups
    ]
    for line in table(headings, rows):
        click.echo(line)
