"""The databases of the stack: the two demo databases, and the login users.

The demo databases, a week of the StratLogic Scraping System and a run of SciTeX Cloud, end at a fixed time; every
timestamp is moved by the same interval, so that the newest event is a few minutes old.
"""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psycopg
from psycopg import sql

from tools.stack.checkout import CHECKOUT
from tools.stack.servers import Postgres

DATABASES = ("stratlogic", "scitex")
NEWEST_AGE = timedelta(minutes=2)

# When an event happened, in the tables of both; other times (a job's heartbeat) may lie later.
EVENT_COLUMNS = ("created_at", "timestamp")


def dump_of(name: str) -> Path:
    """Return the file of a demo database."""
    return CHECKOUT / "tools" / "demo" / f"{name}.sql.gz"


def load(server: Postgres, name: str) -> bool:
    """Create and fill a demo database, once; return False where it is there already."""
    with server.connect() as connection:
        if connection.execute("select 1 from pg_database where datname = %s", [name]).fetchone():
            return False
    # Under another name until it is whole: a load that was interrupted leaves nothing that looks like a database.
    unfinished = f"{name}_loading"
    server.drop_database(unfinished)
    server.create_database(unfinished)
    server.load_sql(dump_of(name), unfinished)
    with server.connect(unfinished) as connection:
        move_to_now(connection)
        connection.execute("vacuum (full, analyze)")
    with server.connect() as connection:
        rename = sql.SQL("alter database {} rename to {}")
        connection.execute(rename.format(sql.Identifier(unfinished), sql.Identifier(name)))
    return True


def move_to_now(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Add one interval to every time of the schema `public`, so that the newest event is NEWEST_AGE old.

    Columns with a zone and without (which hold UTC) alike; none is left in the future.
    """
    with connection.transaction():
        # An interval of days would shift by an hour where a zone's clocks change.
        connection.execute("set local timezone = 'UTC'")
        columns = connection.execute(
            "select table_name, column_name from information_schema.columns c "
            "join information_schema.tables t using (table_schema, table_name) "
            "where table_schema = 'public' and table_type = 'BASE TABLE' and data_type like 'timestamp%' order by 1, 2"
        ).fetchall()
        tables: dict[str, list[str]] = {}
        for table, column in columns:
            tables.setdefault(str(table), []).append(str(column))
        newest = sql.SQL(" union all ").join(
            sql.SQL("select max({}::timestamp) as at from public.{}").format(
                sql.Identifier(column), sql.Identifier(table)
            )
            for table, names in tables.items()
            for column in names
            if column in EVENT_COLUMNS
        )
        row = connection.execute(
            sql.SQL("select extract(epoch from now()::timestamp - max(at))::float8 from ({}) x").format(newest)
        ).fetchone()
        if row is None or row[0] is None:
            return
        interval = sql.Literal(timedelta(seconds=float(str(row[0]))) - NEWEST_AGE)
        for table, names in tables.items():
            moves = sql.SQL(", ").join(_move(name, interval) for name in names)
            connection.execute(sql.SQL("update public.{} set {}").format(sql.Identifier(table), moves))


def _move(column: str, interval: sql.Literal) -> sql.Composed:
    # least() takes no notice of NULL, and would give a job that still runs an end.
    move = "{0} = case when {0} is not null then least({0} + {1}, localtimestamp) end"
    return sql.SQL(move).format(sql.Identifier(column), interval)


# User -> the roles it is a member of. The first three roles are those of `platform-exporter schema apply`.
MEMBERS = {
    "exporter": ("platform_exporter", "pg_monitor"),
    "writer": ("platform_writer",),
    "grafana": ("platform_grafana",),
    # For a machine where only the administrator uses Grafana. Elsewhere: docs/access.md
    "grafana_restricted": ("platform_grafana_restricted",),
}

# As in deploy/docker/setup.py: settings belong to logins, members do not take over those of their roles.
DASHBOARDS = """alter role {role} connection limit 20;
alter role {role} set statement_timeout = '15s';
alter role {role} set idle_in_transaction_session_timeout = '60s';
alter role {role} set default_transaction_read_only = on"""


RESULTS = """create table if not exists public.demo_prices
(site text not null, url text not null, title text, price numeric, scraped_at timestamptz not null default now());
create index if not exists demo_prices_scraped_at on public.demo_prices (scraped_at);
grant select on public.demo_prices to exporter"""
"""What StratLogic's traffic writes as a scraper's results, for a watch to look at."""


def make_users(server: Postgres, password_of: Callable[[str], str]) -> None:
    """Create or update all users; may run as often as you like."""
    with server.connect() as connection:
        for user, roles in {**MEMBERS, **dict.fromkeys(DATABASES, ())}.items():
            _make(connection, user, password_of(user))
            for role in roles:
                grant = sql.SQL("grant {} to {}").format(sql.Identifier(role), sql.Identifier(user))
                connection.execute(grant)
            if user.startswith("grafana"):
                connection.execute(sql.SQL(DASHBOARDS).format(role=sql.Identifier(user)))
    for database in DATABASES:
        # As an application of its own would be: at home in its own tables only.
        application = sql.Identifier(database)
        with server.connect(database) as connection:
            if database == "stratlogic":
                connection.execute(RESULTS)
            for rights in ("select, insert, update on all tables", "usage on all sequences"):
                connection.execute(sql.SQL(f"grant {rights} in schema public to {{}}").format(application))


def _make(connection: psycopg.Connection[tuple[object, ...]], user: str, password: str) -> None:
    known = connection.execute("select 1 from pg_roles where rolname = %s", [user]).fetchone()
    verb = sql.SQL("alter" if known else "create")
    statement = sql.SQL("{} role {} login password {}").format(verb, sql.Identifier(user), sql.Literal(password))
    connection.execute(statement)
