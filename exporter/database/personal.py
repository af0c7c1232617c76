"""What the event store holds of one user: found by the user's id, and by the sessions of that id.

Of a consumer who is a person, by its name. It is a label: rows then count for `_other_`, not for nobody, so that
counters still equal their rows; and alerts have it.
"""

import secrets
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from platform_sdk.events import EVENTS
from platform_sdk.events.base import OTHER, EventKind

Connection = psycopg.Connection[Any]

USER, SESSION, CONSUMER = "user_id", "session_id", "consumer"


def _has(kind: EventKind, *names: str) -> bool:
    return any(column.name in names for column in kind.columns)


TABLES = tuple(kind for kind in EVENTS if _has(kind, USER, CONSUMER))
"""The kinds of events that name users or consumers."""

_ABOUT = """%(consumer)s AND labels->>'consumer' = %(user)s AND (%(app)s::text IS NULL OR labels->>'app' = %(app)s)"""
"""A condition of alerts that have been about the consumer."""

_ABOUT_MANUAL = _ABOUT.replace("labels->>'app' =", "coalesce(app, labels->>'app') =")

KEPT = ("stack_trace",)
"""What is restricted and tells of the program, not of the user."""


@dataclass(frozen=True, slots=True)
class Person:
    """A user by id, or a consumer by name; of one app, where there is one."""

    name: str
    app: str | None = None
    consumer: bool = False

    def parameters(self, sessions: list[str]) -> dict[str, object]:
        """Return the parameters of the statements about the person and these sessions of theirs."""
        return {"user": self.name, "app": self.app, "sessions": sessions, "consumer": self.consumer}


def columns_of(kind: EventKind) -> list[str]:
    """Return the columns of a kind that tell who a user is."""
    return [column.name for column in kind.columns if not column.for_viewers and column.name not in KEPT]


def may_change(connection: Connection) -> bool:
    """Tell whether the session may read and change events."""
    tables = [f"monitoring.{kind.name}" for kind in TABLES]
    row = connection.execute(
        "SELECT bool_and(has_table_privilege(name, 'SELECT') AND has_table_privilege(name, 'UPDATE')) "
        "FROM unnest(%s::text[]) name", [tables],
    ).fetchone()  # fmt: skip
    return bool(row and row[0])


def rows_of(connection: Connection, person: Person, sessions: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the person's rows by table, the oldest first; tables without any are left out."""
    found = {}
    parameters = person.parameters(sessions)
    with connection.transaction():
        for kind in TABLES:
            query = sql.SQL("SELECT to_jsonb(t) - 'tx' - 'cluster' FROM monitoring.{} t WHERE {} ORDER BY at").format(
                sql.Identifier(kind.name), _condition(kind)
            )
            found[kind.name] = [row[0] for row in connection.execute(query, parameters)]
        for table, condition, order in (
            ("alert_notification", _ABOUT, "received_at"), ("manual_alert", _ABOUT_MANUAL, "created_at")
        ):  # fmt: skip
            about = f"SELECT to_jsonb(n) FROM monitoring.{table} n WHERE {condition} ORDER BY {order}"
            found[table] = [row[0] for row in connection.execute(about.encode(), parameters)]
    return {table: rows for table, rows in found.items() if rows}


def erase(connection: Connection, person: Person, sessions: list[str], by: str) -> dict[str, int]:
    """Empty what tells who the person is in all of the rows; return how many there were by table. One transaction.

    A row keeps the transaction it is counted by, so that no counter changes.
    """
    with connection.transaction():
        parameters = person.parameters(sessions)
        erased = {}
        for kind in TABLES:
            new = [f"{name} = NULL" for name in columns_of(kind)]
            if _has(kind, CONSUMER):
                theirs = "%(consumer)s AND consumer = %(user)s"
                new.append(f"consumer = CASE WHEN {theirs} THEN '{OTHER}' ELSE consumer END")
            query = sql.SQL("UPDATE monitoring.{} t SET {} WHERE {}").format(
                sql.Identifier(kind.name), sql.SQL(", ".join(new)), _condition(kind)
            )
            erased[kind.name] = connection.execute(query, parameters).rowcount
        erased["actor"] = forget_actors(connection, person, sessions)
        erased |= _erase_alerts(connection, parameters)
        note(connection, erased, person, by)
    return erased


def forget_actors(connection: Connection, person: Person, sessions: list[str]) -> int:
    """Remove the hashes by which the user and the sessions are counted as active, of every source in a database."""
    return connection.execute(
        """DELETE FROM monitoring.actor WHERE NOT %(consumer)s AND (%(app)s::text IS NULL OR app = %(app)s)
        AND ((kind = 'user' AND id = hashtextextended(%(user)s, 0))
            OR (kind = 'session'
                AND id IN (SELECT hashtextextended(one, 0) FROM unnest(%(sessions)s::text[]) one)))""",
        person.parameters(sessions),
    ).rowcount


def note(connection: Connection, erased: dict[str, int], person: Person, by: str) -> None:
    """Record in the audit who erased how many rows, and not of whom."""
    connection.execute(
        "INSERT INTO monitoring.audit (actor, action, object, details) VALUES (%s, 'users.erase', 'user', %s)",
        [by, Jsonb({**erased, **({"app": person.app} if person.app else {})})],
    )


def _erase_alerts(connection: Connection, parameters: dict[str, object]) -> dict[str, int]:
    """Have alerts about a consumer be about `_other_`; their texts, groups' keys and rows of the audit name it, too."""
    labels = f"""labels = labels || '{{"consumer": "{OTHER}"}}', annotations = '{{}}'"""
    manual = connection.execute(
        f"""WITH found AS (UPDATE monitoring.manual_alert SET {labels} WHERE {_ABOUT_MANUAL} RETURNING id), noted AS (
            UPDATE monitoring.audit SET details = details - 'summary' || '{{"consumer": "{OTHER}"}}'
            WHERE details ? 'consumer' AND object IN (SELECT 'manual_alert/' || id FROM found))
        SELECT count(*) FROM found""".encode(),
        parameters,
    ).fetchone()
    history = connection.execute(
        f"UPDATE monitoring.alert_notification SET group_key = md5(group_key || %(salt)s), {labels} "
        f"WHERE {_ABOUT}".encode(),
        parameters | {"salt": secrets.token_hex()},
    )
    return {"alert_notification": history.rowcount, "manual_alert": manual[0] if manual else 0}


def sessions_of(connection: Connection, person: Person) -> set[str]:
    """Return the sessions that the user's rows name: rows from before a login have a session only."""
    if person.consumer:
        return set()
    query = sql.SQL(" UNION ").join(
        sql.SQL(
            "SELECT session_id FROM monitoring.{} WHERE user_id = %(user)s AND session_id <> '' "
            "AND (%(app)s::text IS NULL OR app = %(app)s)"
        ).format(sql.Identifier(kind.name))
        for kind in TABLES
        if _has(kind, SESSION)
    )
    return {row[0] for row in connection.execute(query, person.parameters([]))}


def _condition(kind: EventKind) -> sql.SQL:
    ways = {
        USER: "NOT %(consumer)s AND t.user_id = %(user)s",
        SESSION: "NOT %(consumer)s AND t.user_id IS NULL AND t.session_id = ANY(%(sessions)s)",
        CONSUMER: "%(consumer)s AND t.consumer = %(user)s",
    }
    found = " OR ".join(way for name, way in ways.items() if _has(kind, name)) or "false"
    return sql.SQL(f"({found}) AND (%(app)s::text IS NULL OR t.app = %(app)s)")
