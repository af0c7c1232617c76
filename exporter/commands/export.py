"""`export`: rows written to a file, for a spreadsheet or a notebook."""

import codecs
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import click
import psycopg

from exporter.commands.common import config_option, load, progress, reports_errors
from exporter.database import schema
from exporter.database.connection import connect, time_of
from exporter.database.values import readable
from exporter.errors import ConfigError, PlatformError
from exporter.history import filters, formats, tables
from exporter.history.tables import Table
from exporter.printing import plural
from exporter.sources import mapping
from exporter.sources.explain import rights_to_read
from exporter.times import parse_time
from platform_sdk.events.base import Column


@click.command()
@click.argument("kind", metavar="KIND", type=click.Choice(tables.NAMES))
@config_option
@click.option(
    "--source", "source_name", help="Read this source of the configuration (default: the first that has KIND)."
)
@click.option("--since", default="24h", show_default=True, help="From when: 90m, 24h, 7d (ago), or a date or time.")
@click.option("--until", help="Until when, exclusive; as --since (default: now).")
@click.option("--where", "conditions", multiple=True, metavar="CONDITION", help="Only rows that meet all of these.")
@click.option("--columns", help="Only these columns, separated by commas.")
@click.option("--personal", is_flag=True, help="Include addresses, user agents and details.")
@click.option("--format", "format_", type=click.Choice(list(formats.FORMATS)), default="csv", show_default=True)
@click.option("--bom", is_flag=True, help="Begin a CSV with a byte order mark, by which Excel knows that it is UTF-8.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="The file (default: standard output)."
)
@reports_errors
def export(
    kind: str, path: Path, source_name: str | None, since: str, until: str | None, conditions: tuple[str, ...],
    columns: str | None, personal: bool, format_: str, bom: bool, output: Path | None,
) -> None:  # fmt: skip
    """Write the rows of KIND, oldest first, as CSV, JSON or Parquet.

    A CONDITION is COLUMN OPERATOR VALUE: = != < <= > >= and ~ !~ for regular expressions, or `COLUMN is null`. Rows
    are written in batches: a million of them need no more memory than a thousand. In a CSV, a text that a spreadsheet
    would run as a formula (it begins with = + - @, a tab or a line end) has an apostrophe before it; JSON and Parquet
    hold texts as they are.

    \b
    Examples:
      platform-exporter export error --config FILE --since 7d --where severity=high -o errors.csv
      platform-exporter export http_request --config FILE --where 'status>=500' --format json
      platform-exporter export scraping_run --config FILE --source stratlogic --since 30d
    """
    config = load(path)
    _times(since, until, datetime.now(UTC))  # what is invalid is said before anything is connected
    source = tables.choose(config, kind, source_name)
    table = tables.find(kind, source)
    chosen = tables.chosen(table, columns, personal)
    if bom and format_ != "csv":
        raise ConfigError(f"--bom with --format {format_}: expected --format csv, other formats say their encoding")
    if format_ == "parquet" and output is None and sys.stdout.isatty():
        raise PlatformError("--format parquet would write bytes to the terminal: expected --output FILE")
    database = config.database_of(source) if table.streams else mapping.store_of(config, source)
    native = source.preset == "native" or table.relation == f"monitoring.{kind}"
    read = [relation for stream in table.streams for relation in (stream.relation, *stream.reads)]
    with (
        connect(database, "export", native=native) as connection,
        rights_to_read(connection, *read),
        connection.transaction(),
    ):
        connection.execute(
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
        )  # the rows counted are those written
        if not any(stream.adopted for stream in table.streams):
            # These two are in every source's database.
            adopted = source.preset != "native" and kind in ("error_issue", "audit")
            schema.check_version(connection, "counting" if adopted else "store")
        query = _query(connection, table, chosen, _times(since, until, time_of(connection)), conditions)
        total = connection.execute(b"SELECT count(*) FROM (" + query + b") counted").fetchone()
        rows = total[0] if total else 0
        with _destination(output) as out, progress("rows", rows, show_pos=True) as bar:
            out.write(codecs.BOM_UTF8 if bom else b"")
            formats.FORMATS[format_](connection, query.decode(), chosen, out, bar.update)
    click.echo(
        f"{plural(rows, 'row')} of {kind} from {source.label} written to {output or 'standard output'}", err=True
    )


def _times(since: str, until: str | None, now: datetime) -> tuple[datetime, datetime]:
    begin, end = parse_time(since, now), parse_time(until, now) if until else now
    if begin >= end:
        raise ConfigError(f"--since {since} is not before --until {until or 'now'}: expected an earlier time")
    return begin, end


def _query(
    connection: psycopg.Connection, table: Table, columns: list[Column], times: tuple[datetime, datetime],
    conditions: tuple[str, ...],
) -> bytes:  # fmt: skip
    """Return SQL with its parameters as literals: COPY takes none."""
    texts, values = [f'"{table.at}" >= %s', f'"{table.at}" < %s'], list[object](times)
    for text in conditions:
        condition, parameters = filters.condition(text, table)
        texts.append(condition)
        values += parameters
    listed = ", ".join(_shown(connection, column) for column in columns)
    statement = f'SELECT {listed} FROM ({table.query()}) held WHERE {" AND ".join(texts)} ORDER BY "{table.at}"'
    return psycopg.ClientCursor(connection).mogrify(statement, values).encode()


def _shown(connection: psycopg.Connection, column: Column) -> str:
    name = f'"{column.name}"'
    if column.type not in ("text", "jsonb"):
        return name
    return f"({readable(connection, name)})::{column.type} AS {name}"


@contextlib.contextmanager
def _destination(output: Path | None) -> Iterator[BinaryIO]:
    """Yield standard output, or a file that gets its name only once it is complete. Raises PlatformError."""
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with tempfile.NamedTemporaryFile(dir=output.parent, prefix=f".{output.name}.", delete=False) as file:
            partial = Path(file.name)
            try:
                yield file  # type: ignore[misc]  # a wrapper of a binary file
                file.close()
                partial.chmod(0o666 & ~_umask())
                partial.replace(output)
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise PlatformError(
            f"--output {output}: cannot be written ({error.strerror}): expected a file in a writable folder"
        ) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
