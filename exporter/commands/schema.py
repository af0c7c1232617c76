"""`schema`: create, upgrade or show the schema `monitoring`."""

from pathlib import Path

import click

from exporter.commands.common import config_option, load, reports_errors
from exporter.database import schema as sql
from exporter.database.connection import connect


@click.group()
def schema() -> None:
    """Create, upgrade or show the schema `monitoring` of the event store."""


@schema.command()
@config_option
@reports_errors
def apply(path: Path) -> None:
    """Create or upgrade the schema in the event store (`database` in the configuration), and in further ones.

    Those are the databases of sources with `preset: native`. Each is done by itself: where one fails, the others before
    it are done.

    It may run any number of times and from any earlier version. The user needs the rights to create schemas and roles;
    the exporter itself needs the role platform_exporter only:

    \b
      GRANT platform_exporter TO your_exporter_user;
      GRANT platform_writer TO your_application_user;
      GRANT platform_grafana TO your_grafana_user;
      GRANT platform_grafana_restricted TO your_other_grafana_user;

    The last two are for dashboards; set limits for their users as in docs/access.md.
    """
    config = load(path)
    for store in config.stores:
        with connect(store, "schema") as connection:
            sql.apply(connection)
            click.echo(f"schema monitoring is at version {sql.VERSION} in {store.place}")


@schema.command()
@reports_errors
def show() -> None:
    """Print the schema's SQL, for those whose database administrator runs it."""
    click.echo(sql.show(), nl=False)
