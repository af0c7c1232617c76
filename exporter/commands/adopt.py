"""`adopt`: make an application's own tables a source."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
import psycopg

from exporter.aggregation import poll, snapshot
from exporter.commands.common import config_option, find_source, load, reports_errors
from exporter.config.settings import Config, Source
from exporter.database import schema
from exporter.database.connection import connect
from exporter.errors import ConfigError
from exporter.printing import plural
from exporter.sources import adopt as adoption
from exporter.sources import checks, mapping
from exporter.sources.adopt import Begin, Counting, Step
from exporter.sources.explain import rights_to_adopt
from exporter.sources.mapping import Relation


def _list(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        for name in mapping.presets():
            approximate = " (read only: approximate)" * (mapping.load(name).read_only is not None)
            click.echo(f"{name:<20} {mapping.load(name).description}{approximate}".rstrip())
        context.exit()


@click.command()
@click.argument("preset", metavar="PRESET|FILE")
@config_option
@click.option("--dry-run", is_flag=True, help="Print the SQL that is still to run, and change nothing.")
@click.option(
    "--undo",
    is_flag=True,
    help="Remove the triggers, what they captured, and the counters; also by the name of a former source.",
)
@click.option("--list", is_flag=True, is_eager=True, expose_value=False, callback=_list,
              help="Print the presets there are, and what each is for.")  # fmt: skip
@click.option("--allow-publications", is_flag=True, help="Go on although a publication would send our tables along.")
@reports_errors
def adopt(preset: str, path: Path, dry_run: bool, undo: bool, allow_publications: bool) -> None:
    """Make the tables of PRESET (or of the mapping in FILE) a source.

    Creates triggers that write what the mapping reads into tables of our own; the tables themselves stay as they are.
    The rows that they hold are counted once, and from then on every change that the mapping counts. No statement of an
    application waits longer than a tenth of a second. It may run again at any time.

    \b
    Examples:
      platform-exporter adopt --list
      platform-exporter adopt stratlogic --config platform-exporter.yml --dry-run
      platform-exporter adopt stratlogic --config platform-exporter.yml
      platform-exporter adopt stratlogic --config platform-exporter.yml --undo
    """
    config = load(path)
    if preset == "native":
        raise ConfigError("invalid preset `native`: it is the event store; run `schema apply` instead of `adopt`")
    source = find_source(config, preset, path)
    if source is None and undo and _undo_former(config, preset, dry_run=dry_run):
        return
    if source is None:
        mapping.load(preset)  # an unknown preset has the better message
        raise ConfigError(
            f"{path}: no entry of `sources` has the preset {preset!r}; add `- preset: {preset}` "
            "(and its `database`, if the tables are not in the event store)"
        )
    chosen = mapping.load(source.preset)
    if chosen.read_only and not undo:
        click.echo(
            f"{source.label}: nothing to do, as its tables may only be read: `serve` counts them by time, "
            "approximately, in the event store; `preview` shows what, and `doctor` whether it can"
        )
        return
    with connect(mapping.store_of(config, source), "adopt") as connection:
        schema.check_server(connection)
        if undo:
            adopted = [] if chosen.read_only else [stream.table for stream in chosen.streams.values()]
            with rights_to_adopt(connection, *mapping.tables(chosen)):
                steps = adoption.undo_steps(connection, source.label, adopted)
        else:
            steps = adoption.steps(connection, source, chosen)
            for finding in checks.findings(connection, chosen, allow_publications):
                click.echo(f"{'-- ' if dry_run else ''}{finding}")
            if any(step.stream for step in steps):
                click.echo(f"{'-- ' if dry_run else ''}{_OF_DUMPS}")
        if dry_run:
            _print(steps)
            return
        counting = _counting(config, source)
        adoption.carry_out(connection, steps, click.echo, counting)
        if not undo:
            # The columns of an earlier version go once the rows that they mark are counted.
            adoption.carry_out(connection, adoption.steps(connection, source, chosen), click.echo, counting)
            checks.require_readable(connection, source)
        state = "no longer a source" if undo else "a source"
        tables = ", ".join(mapping.tables(chosen))
        click.echo(f"{source.label}: {tables} is {state} in {connection.info.dbname}")


_OF_DUMPS = (
    "dumps without schema `monitoring` (pg_dump -n, -t) will have triggers whose function they lack, and restoring "
    "them reports errors: docs/adopting.md has the commands that leave them out"
)


def _print(steps: list[Step]) -> None:
    for step in steps:
        click.echo(f"-- {step.purpose}\n{step.sql.rstrip(';')};\n")


def _undo_former(config: Config, name: str, *, dry_run: bool) -> bool:
    """Remove a source that the configuration does not have any more, where it was counted; return whether it was."""
    databases = [config.database, *map(config.database_of, config.sources)]
    for database in (one for number, one in enumerate(databases) if one not in databases[:number]):
        with connect(database, "adopt") as connection, rights_to_adopt(connection):
            if checks.relation_kind(connection, Relation("monitoring.source")) is None:
                continue
            query = "SELECT EXISTS (SELECT FROM monitoring.source WHERE name = %s)"
            if connection.execute(query, [name]).fetchone() != (True,):
                continue
            steps = adoption.undo_steps(connection, name)
            if dry_run:
                _print(steps)
                return True
            adoption.carry_out(connection, steps, click.echo)
            click.echo(f"{name}: no longer a source in {connection.info.dbname}")
            return True
    return False


def _counting(config: Config, source: Source) -> Counting:
    streams = {stream.name: stream for stream in mapping.plan(source).streams}

    @contextmanager
    def counting(name: str) -> Iterator[Begin]:
        stream = streams[name]
        with connect(config.database_of(source), "adopt") as second, ExitStack() as transaction:
            poll.register(second, source.label)
            cursor = snapshot.read(second, stream)
            if cursor is not None and cursor.relation.startswith("monitoring."):
                yield lambda: lambda: None  # triggers were made again: what was there is counted
                return

            def begin() -> Callable[[], None]:
                now = transaction.enter_context(poll.begun(second, stream))
                if now is None:
                    raise psycopg.errors.LockNotAvailable(f"source {source.label} is being counted")
                return lambda: click.echo(_counted(poll.first(second, stream, config.limits, now), stream))

            yield begin

    return counting


def _counted(counted: poll.Counted, stream: mapping.Stream) -> str:
    return f"count what {stream.relation} holds: {plural(counted.seen, 'row')}, {counted.rejected} rejected"
