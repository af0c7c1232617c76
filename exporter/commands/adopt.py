"""`adopt`: make an application's own tables a source."""

from pathlib import Path

import click

from exporter.commands.common import config_option, find_source, load, reports_errors
from exporter.database import schema
from exporter.database.connection import connect
from exporter.errors import ConfigError
from exporter.sources import adopt as adoption
from exporter.sources import checks, mapping


@click.command()
@click.argument("preset", metavar="PRESET|FILE")
@config_option
@click.option("--dry-run", is_flag=True, help="Print the SQL that is still to run, and change nothing.")
@click.option("--undo", is_flag=True, help="Remove the columns, indexes and counters.")
@reports_errors
def adopt(preset: str, path: Path, dry_run: bool, undo: bool) -> None:
    """Make the tables of PRESET (or of the mapping in FILE) a source.

    Adds two columns and an index to each table, without a rewrite and without a lock longer than half a second. The
    rows that the tables hold are counted once, and from then on every new row. It may run again at any time.

    \b
    Examples:
      platform-exporter adopt stratlogic --config platform-exporter.yml --dry-run
      platform-exporter adopt stratlogic --config platform-exporter.yml
    """
    config = load(path)
    if preset == "native":
        raise ConfigError("invalid preset `native`: it is the event store; run `schema apply` instead of `adopt`")
    source = find_source(config, preset, path)
    if source is None:
        mapping.load(preset)  # an unknown preset has the better message
        raise ConfigError(
            f"{path}: no entry of `sources` has the preset {preset!r}; add `- preset: {preset}` "
            "(and its `database`, if the tables are not in the event store)"
        )
    chosen = mapping.load(source.preset)
    with connect(config.database_of(source), "adopt") as connection:
        schema.check_server(connection)
        make = adoption.undo_steps if undo else adoption.steps
        steps = make(connection, source, chosen)
        if dry_run:
            for step in steps:
                click.echo(f"-- {step.purpose}\n{step.sql.rstrip(';')};\n")
            return
        adoption.carry_out(connection, steps, click.echo)
        if not undo:
            checks.require_readable(connection, source)
        state = "no longer a source" if undo else "a source"
        click.echo(f"{source.label}: {', '.join(mapping.tables(chosen))} is {state} in {connection.info.dbname}")
