"""Make the stack's login users: each may do its own work and nothing else, and has a generated password."""

from collections.abc import Callable

import psycopg
from psycopg import sql

from tools.stack.demo import DATABASES
from tools.stack.servers import Postgres

# User -> the roles it is a member of. The first three roles are those of `platform-exporter schema apply`.
MEMBERS = {
    "exporter": ("platform_exporter", "pg_monitor"),
    "writer": ("platform_writer",),
    "grafana": ("platform_grafana",),
    # On a machine of one's own, with nobody but an administrator in Grafana. Elsewhere: docs/access.md
    "grafana_restricted": ("platform_grafana_restricted",),
}

# As in deploy/docker/setup.py: settings belong to logins, members do not take over those of their roles.
DASHBOARDS = """alter role {role} connection limit 20;
alter role {role} set statement_timeout = '15s';
alter role {role} set idle_in_transaction_session_timeout = '60s';
alter role {role} set default_transaction_read_only = on"""


def make_users(server: Postgres, password_of: Callable[[str], str]) -> None:
    """Create or mend all users; may run as often as you like."""
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
            for rights in ("select, insert, update on all tables", "usage on all sequences"):
                connection.execute(sql.SQL(f"grant {rights} in schema public to {{}}").format(application))


def _make(connection: psycopg.Connection[tuple[object, ...]], user: str, password: str) -> None:
    known = connection.execute("select 1 from pg_roles where rolname = %s", [user]).fetchone()
    verb = sql.SQL("alter" if known else "create")
    statement = sql.SQL("{} role {} login password {}").format(verb, sql.Identifier(user), sql.Literal(password))
    connection.execute(statement)
