"""`users`: what is stored of one user: hand it out, or erase it."""

import contextlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from exporter.aggregation import label_sets
from exporter.commands.common import by_option, config_option, load, reports_errors
from exporter.config.settings import Config, Database, Source
from exporter.database import personal, schema
from exporter.database.connection import connect
from exporter.database.personal import Connection
from exporter.errors import ConfigError, DatabaseError, UnreachableError
from exporter.printing import plural
from exporter.sources import mapping


@click.group()
def users() -> None:
    """Hand out or erase what the event stores hold of one user, by user id, or of a consumer who is a person.

    The database user of the configuration must own the schema: no other role may read and change events. What
    applications keep in tables of their own is theirs to hand out (docs/personal-data.md).

    \b
    Examples:
      platform-exporter users export 4711 --config FILE -o 4711.json
      platform-exporter users erase 4711 --config FILE --app shop --yes
      platform-exporter users erase ada --config FILE --consumer --yes
    """


_app = click.option("--app", help="Only this app (default: all; ids of different apps may be different people).")

_consumer = click.option("--consumer", is_flag=True, help="USER_ID is the name of a consumer, no user id.")


@users.command()
@click.argument("user_id")
@config_option
@_app
@_consumer
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="A file (default: standard output)."
)
@reports_errors
def export(user_id: str, path: Path, app: str | None, consumer: bool, output: Path | None) -> None:
    """Write all rows of USER_ID as JSON: {TABLE: [ROW, ...]}. Exit status 0, also where there is none."""
    found: dict[str, list[dict[str, Any]]] = {}
    with _stores(load(path), user_id) as connections:
        for connection in connections:
            for table, rows in personal.rows_of(connection, user_id, app, consumer=consumer).items():
                found.setdefault(table, []).extend(rows)
    text = json.dumps(found, indent=2, ensure_ascii=False)
    if output is None:
        click.echo(text)
    else:
        output.touch(mode=0o600)
        output.write_text(f"{text}\n", encoding="utf-8")
    click.echo(f"{plural(sum(map(len, found.values())), 'row')} of this user", err=True)


@users.command()
@click.argument("user_id")
@config_option
@_app
@_consumer
@click.option("--yes", is_flag=True, help="Do not ask.")
@by_option
@reports_errors
def erase(user_id: str, path: Path, app: str | None, consumer: bool, yes: bool, by: str) -> None:
    """Remove USER_ID, and all that tells who it is, from the rows that hold it.

    Counters stay as they are: the rows stay, without user, session, address, user agent, query, context and details.
    Those of a consumer then count for _other_, its series end, and alerts about it lose its name. monitoring.audit
    stores that it was done, without the id. Exit status 1 if it was not done.
    """
    config = load(path)
    erased: Counter[str] = Counter()
    with _stores(config, user_id) as connections, contextlib.ExitStack() as stack:
        counting = [_counting(stack, config, source) for source in config.sources] if consumer else []
        held = [personal.rows_of(connection, user_id, app, consumer=consumer) for connection in connections]
        count = sum(len(rows) for tables in held for rows in tables.values())
        if not yes and not (sys.stdin.isatty() and click.confirm(f"Erase this user in {plural(count, 'row')}?")):
            raise ConfigError(f"{plural(count, 'row')} hold this user: nothing was changed; give --yes to erase it")
        for connection in connections:
            erased.update(personal.erase(connection, user_id, app, by, consumer=consumer))
        erased["series"] = sum(label_sets.forget_consumer(one, user_id, app, by) for one in counting)
    units = {"series": "label set"}
    found = (f"{of}: {plural(number, units.get(of, 'row'))}" for of, number in erased.items() if number)
    click.echo(", ".join(found) or "no rows")


def _counting(stack: contextlib.ExitStack, config: Config, source: Source) -> Connection:
    """Return a connection to the counters of a source. Raises UnreachableError, DatabaseError."""
    return _connected(stack, mapping.store_of(config, source), source.label)


def _connected(stack: contextlib.ExitStack, database: Database, source: str | None) -> Connection:
    """Return a connection, of which all are opened before anything is changed. Raises UnreachableError."""
    try:
        return stack.enter_context(connect(database, "users"))
    except UnreachableError as error:
        where = f"source {source}: " if source else ""
        raise UnreachableError(
            f"{where}{error}; nothing was exported or erased, as that needs all databases of `sources`"
        ) from error


@contextlib.contextmanager
def _stores(config: Config, user_id: str) -> Iterator[list[Connection]]:
    """Yield connections to all event stores, as their owner. Raises ConfigError, DatabaseError."""
    if not user_id:
        raise ConfigError("invalid USER_ID '': expected the id as the application gave it to the SDK")
    with contextlib.ExitStack() as stack:
        found = []
        for store in config.stores:
            connection = _connected(stack, store, config.store_name(store))
            schema.check_version(connection, "store")
            if not personal.may_change(connection):
                raise DatabaseError(
                    f"user {connection.info.user} may not read and change events in {store.place}: "
                    "run this as the owner of the schema monitoring, as `schema apply`"
                )
            found.append(connection)
        yield found
