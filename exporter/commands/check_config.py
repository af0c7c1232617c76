"""Check a configuration file without connecting to anything."""

from pathlib import Path

import click

from exporter.commands.common import FILE, load, reports_errors
from exporter.errors import ConfigError, MappingError
from exporter.exposition import queries
from exporter.sources import mapping


@click.command("check-config")
@click.argument("path", metavar="FILE", type=FILE)
@reports_errors
def check_config(path: Path) -> None:
    """Say whether FILE is a good configuration, and what it configures.

    Reads the secret files it names, connects to nothing. Exit status 0 if good, 2 if not.
    """
    config = load(path)
    plans = []
    queries.check(config)
    for source in config.sources:
        try:
            plans.append((source, mapping.plan(source)))
        except MappingError as error:
            raise ConfigError(f"{path}: `sources`, {source.label}: {error}") from error
    click.echo(f"{path}: good")
    click.echo(f"  listen     {config.listen}")
    click.echo(f"  store      {config.database.place}")
    for source, plan in plans:
        where = config.database_of(source).place
        click.echo(f"  source     {source.label}: {', '.join(stream.relation for stream in plan.streams)} in {where}")
    for component in config.probes.__struct_fields__:
        for target in getattr(config.probes, component):
            click.echo(f"  probe      {component} {target.name}")
    for query in config.queries:
        names = ", ".join(family.name for family in queries.families_of(query).values())
        click.echo(f"  query      {query.name}: {names} from {(query.database or config.database).place}")
