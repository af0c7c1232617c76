"""`preview`: what would be counted, from the real tables, before anything is."""

import contextlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import psycopg

from exporter.aggregation import read_only
from exporter.commands.common import config_option, find_source, json_option, load, reports_errors
from exporter.config.settings import Source
from exporter.database import schema
from exporter.database.connection import connect
from exporter.errors import ConfigError, PlatformError
from exporter.exposition import kinds
from exporter.inspection import preview as looking
from exporter.inspection import printing
from exporter.inspection.preview import Line, Preview
from exporter.sources import adopt, checks, mapping
from exporter.sources.mapping import SourcePlan

TIMEOUT_SECONDS = 15


@click.command()
@click.argument("name", metavar="MAPPING|SOURCE")
@config_option
@click.option("--stream", "only", help="Only this stream of the mapping.")
@json_option
@reports_errors
def preview(name: str, path: Path, only: str | None, as_json: bool) -> None:
    """Show what would be counted: rows, the series they make, what is rejected and why. Writes nothing.

    Reads a bounded part of each table (it says which), so it may run on a huge one, before `adopt` or after, with no
    right but SELECT. User ids are shown as hashes, addresses and other personal columns not at all.

    \b
    Examples:
      platform-exporter preview stratlogic --config platform-exporter.yml
      platform-exporter preview my-tables.yml --config platform-exporter.yml --json
    """
    config = load(path)
    source = find_source(config, name, path) or _unlisted(name, path)
    plan = mapping.plan(source)
    streams = [stream for stream in plan.streams if only in (None, stream.name)]
    if not streams and only is not None:
        known = ", ".join(stream.name for stream in plan.streams)
        raise ConfigError(f"invalid --stream {only!r}: expected one of {known}")
    with connect(config.database_of(source), "preview", native=plan.native) as connection:
        connection.execute(f"SET statement_timeout = '{TIMEOUT_SECONDS}s'; SET jit = off")
        _check(connection, source, plan)
        try:
            with connection.transaction(force_rollback=True):
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                found = [looking.read(connection, stream, config.limits) for stream in streams]
                states = [] if only else list(looking.states(connection, plan))
        except psycopg.errors.QueryCanceled as error:
            raise PlatformError(
                f"source {source.label}: a statement took longer than {TIMEOUT_SECONDS} s, and nothing was changed: "
                "preview one table with --stream, or make `where` and `join` cheaper (an index?)"
            ) from error
    if as_json:
        click.echo(json.dumps(_json(source, found, states), indent=2))
        return
    for one in found:
        for line in printing.preview(one, config.limits):
            click.echo(line)
    for relation, lines in states:
        for line in printing.state(relation, lines):
            click.echo(line)


def _unlisted(name: str, path: Path) -> Source:
    """Return the source that a mapping would be, in the event store's database, before it is in the configuration."""
    is_file = name.endswith((".yml", ".yaml"))
    given = str(path.parent / name) if is_file and (path.parent / name).exists() else name
    return Source(preset=type(Source().preset)(given))


def _check(connection: psycopg.Connection, source: Source, plan: SourcePlan) -> None:
    """Raise what `adopt` or `serve` would raise of a mapping that names what is not there."""
    schema.check_server(connection)
    if plan.native:
        schema.check_version(connection, "store")
        return
    chosen = mapping.load(source.preset)
    checks.require_tables(connection, source, chosen)
    checks.require_columns(connection, source)
    if plan.read_only:
        for read in plan.streams:
            read_only.require_time(connection, read)
        return
    for name, stream in chosen.streams.items():
        # What SQL reads is found by a view that is rolled back: who may not make one learns it from `adopt`.
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction):
            adopt.learn(connection, source, name, stream)


def _json(source: Source, previews: list[Preview], states: list[tuple[str, list[Line]]]) -> dict[str, Any]:
    return {
        "source": source.label,
        "streams": [
            {
                "stream": one.stream.name, "table": one.stream.relation, "kind": one.stream.kind.name,
                "looked_at": one.sample.which, "whole_table": one.sample.whole, "rows": one.rows,
                "rows_after_join": one.joined, "rows_meeting_where": one.there, "rows_counting": one.counting,
                "rows_rejected": one.rejected, "cursor_indexed": one.indexed,
                "how": printing.how(one), "types": one.types, "newest": one.newest,
                "series": _series(one.series),
                "label_sets": one.label_sets,
                "rejections": [asdict(found) | {"cause": printing.cause(found)} for found in one.rejections],
                "spellings": [asdict(spelling) for spelling in one.spellings],
                "not_mapped": {
                    name: [effect.replace("`", "") for effect in effects]
                    for name, effects in kinds.effects(one.stream.kind).items() if name not in one.stream.columns
                },
            }
            for one in previews
        ],
        "states": [{"table": relation, "series": _series(lines)} for relation, lines in states],
    }  # fmt: skip


def _series(lines: list[Line]) -> list[dict[str, Any]]:
    return [{"name": name, "labels": labels, "value": value} for name, labels, value in lines]
