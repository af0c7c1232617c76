"""`users`: what is stored of one user: hand it out, or erase it."""

import contextlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from exporter.aggregation import captured_users, label_sets
from exporter.commands.common import by_option, config_option, load, reports_errors
from exporter.config.settings import Config, Database
from exporter.database import personal, schema
from exporter.database.connection import connect
from exporter.database.personal import Connection, Person
from exporter.errors import ConfigError, DatabaseError, UnreachableError
from exporter.printing import plural
from exporter.sources import mapping
from exporter.sources.mapping import Stream


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
    with _everywhere(load(path), Person(user_id, app, consumer)) as stored:
        for table, row in stored.rows():
            found.setdefault(table, []).append(row)
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
    with _everywhere(config, Person(user_id, app, consumer)) as stored:
        counting = [stored.connect(mapping.store_of(config, source), source.label) for source in config.sources]
        count = sum(1 for _ in stored.rows())
        if not yes and not (sys.stdin.isatty() and click.confirm(f"Erase this user in {plural(count, 'row')}?")):
            raise ConfigError(f"{plural(count, 'row')} hold this user: nothing was changed; give --yes to erase it")
        erased, waiting = stored.erase(by)
        for one in counting if consumer else []:
            erased["series"] += label_sets.forget_consumer(one, user_id, app, by)
    units = {"series": "label set"}
    found = (f"{of}: {plural(number, units.get(of, 'row'))}" for of, number in erased.items() if number)
    click.echo(", ".join(found) or "no rows")
    if waiting:
        changes = plural(waiting, "captured change")
        click.echo(f"{changes} of an adopted table must be counted first: run this again in a minute", err=True)


@dataclass
class _Stored:
    """Where a person's rows are: event stores, and databases of adopted tables with the changes captured there."""

    person: Person
    stack: contextlib.ExitStack
    stores: list[Connection] = field(default_factory=list)
    adopted: list[tuple[Connection, list[Stream]]] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)

    def connect(self, database: Database, source: str | None) -> Connection:
        """Return a connection, of which all are opened before anything is changed. Raises UnreachableError."""
        try:
            return self.stack.enter_context(connect(database, "users"))
        except UnreachableError as error:
            where = f"source {source}: " if source else ""
            raise UnreachableError(
                f"{where}{error}; nothing was exported or erased, as that needs all databases of `sources`"
            ) from error

    def collect_sessions(self) -> None:
        """Collect the person's sessions first: a store may have rows of one whose user another store names."""
        found = {one for store in self.stores for one in personal.sessions_of(store, self.person)}
        for connection, streams in self.adopted:
            found |= {one for stream in streams for one in captured_users.sessions(connection, stream, self.person)}
        self.sessions = sorted(found)

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each row with its table's name."""
        for store in self.stores:
            for table, rows in personal.rows_of(store, self.person, self.sessions).items():
                yield from ((table, row) for row in rows)
        for connection, streams in self.adopted:
            for stream in streams:
                rows = captured_users.rows_of(connection, stream, self.person, self.sessions)
                yield from ((f"captured {stream.source}/{stream.name}", row) for row in rows)

    def erase(self, by: str) -> tuple[Counter[str], int]:
        """Return how many rows were changed by table, and how many changes have to be counted first."""
        erased: Counter[str] = Counter()
        waiting = 0
        for store in self.stores:
            erased.update(personal.erase(store, self.person, self.sessions, by))
        for connection, streams in self.adopted:
            done = {"captured": 0}
            with connection.transaction():
                for stream in streams:
                    removed, left = captured_users.erase(connection, stream, self.person, self.sessions)
                    done["captured"] += removed
                    waiting += left
                done["actor"] = personal.forget_actors(connection, self.person, self.sessions)
                if any(done.values()):
                    personal.note(connection, done, self.person, by)
            erased.update(done)
        return erased, waiting


@contextlib.contextmanager
def _everywhere(config: Config, person: Person) -> Iterator[_Stored]:
    """Yield all places of the configuration, as their owner. Raises ConfigError, DatabaseError."""
    if not person.name:
        raise ConfigError("invalid USER_ID '': expected the id as the application gave it to the SDK")
    with contextlib.ExitStack() as stack:
        stored = _Stored(person, stack)
        for store in config.stores:
            connection = stored.connect(store, config.store_name(store))
            schema.check_version(connection, "store")
            if not personal.may_change(connection):
                raise DatabaseError(
                    f"user {connection.info.user} may not read and change events in {store.place}: "
                    "run this as the owner of the schema monitoring, as `schema apply`"
                )
            stored.stores.append(connection)
        for source in config.sources:
            plan = mapping.plan(source)
            if source.preset != "native":
                connection = stored.connect(mapping.store_of(config, source), source.label)
                if schema.exists(connection, "counting"):
                    stored.adopted.append((connection, captured_users.streams_of(connection, plan)))
        stored.collect_sessions()
        yield stored
