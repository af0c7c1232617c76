"""What the event store holds of one user: found by the user's id, and by the sessions of that id.

Of a consumer who is a person, by its name. It is a label: rows then count for `_other_`, not for nobody, so that
counters still equal their rows; and alerts have it.
"""

import secrets
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

KEPT = ("stack_trace",)
"""What is restricted and tells of the program, not of the user."""


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


def rows_of(
    connection: Connection, user_id: str, app: str | None, *, consumer: bool = False
) -> dict[str, list[dict[str, Any]]]:
    """Return the user's rows by table, the oldest first; tables without any are left out. Or those of a `consumer`."""
    found = {}
    with connection.transaction():
        sessions = _sessions(connection, user_id, app)
        for kind in TABLES:
            query = sql.SQL("SELECT to_jsonb(t) - 'tx' - 'cluster' FROM monitoring.{} t WHERE {} ORDER BY at").format(
                sql.Identifier(kind.name), _condition(kind)
            )
            rows = connection.execute(query, _parameters(user_id, app, sessions, consumer=consumer)).fetchall()
            if rows:
                found[kind.name] = [row[0] for row in rows]
        alerts = connection.execute(
            f"SELECT to_jsonb(n) FROM monitoring.alert_notification n WHERE {_ABOUT} ORDER BY received_at".encode(),
            _parameters(user_id, app, [], consumer=consumer),
        ).fetchall()
    return found | ({"alert_notification": [row[0] for row in alerts]} if alerts else {})


def erase(connection: Connection, user_id: str, app: str | None, by: str, *, consumer: bool = False) -> dict[str, int]:
    """Empty what tells who the user is in all of the rows; return how many there were by table. One transaction.

    A row keeps the transaction it is counted by, so that no counter changes.
    """
    with connection.transaction():
        sessions = _sessions(connection, user_id, app)
        parameters = _parameters(user_id, app, sessions, consumer=consumer)
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
        erased["actor"] = connection.execute(
            """DELETE FROM monitoring.actor WHERE NOT %(consumer)s AND (%(app)s::text IS NULL OR app = %(app)s)
            AND ((kind = 'user' AND id = hashtextextended(%(user)s, 0))
                OR (kind = 'session'
                    AND id IN (SELECT hashtextextended(one, 0) FROM unnest(%(sessions)s::text[]) one)))""",
            parameters,
        ).rowcount
        erased["alert_notification"] = _erase_alerts(connection, parameters)
        connection.execute(
            "INSERT INTO monitoring.audit (actor, action, object, details) VALUES (%s, 'users.erase', 'user', %s)",
            [by, Jsonb({**erased, **({"app": app} if app else {})})],
        )
    return erased


def _erase_alerts(connection: Connection, parameters: dict[str, object]) -> int:
    """Have the history's alerts about a consumer be about `_other_`; their texts and groups' keys name it, too."""
    return connection.execute(
        f"""UPDATE monitoring.alert_notification SET group_key = md5(group_key || %(salt)s),
            labels = labels || '{{"consumer": "{OTHER}"}}', annotations = '{{}}'
        WHERE {_ABOUT}""".encode(),
        parameters | {"salt": secrets.token_hex()},
    ).rowcount


def _sessions(connection: Connection, user_id: str, app: str | None) -> list[str]:
    """Return the sessions that the user's rows name: rows from before a login have a session only."""
    having = [kind.name for kind in TABLES if _has(kind, SESSION)]
    query = sql.SQL(" UNION ").join(
        sql.SQL(
            "SELECT session_id FROM monitoring.{} WHERE user_id = %(user)s AND session_id <> '' "
            "AND (%(app)s::text IS NULL OR app = %(app)s)"
        ).format(sql.Identifier(name))
        for name in having
    )
    return [row[0] for row in connection.execute(query, {"user": user_id, "app": app})]


def _condition(kind: EventKind) -> sql.SQL:
    ways = {
        USER: "NOT %(consumer)s AND t.user_id = %(user)s",
        SESSION: "NOT %(consumer)s AND t.user_id IS NULL AND t.session_id = ANY(%(sessions)s)",
        CONSUMER: "%(consumer)s AND t.consumer = %(user)s",
    }
    found = " OR ".join(way for name, way in ways.items() if _has(kind, name)) or "false"
    return sql.SQL(f"({found}) AND (%(app)s::text IS NULL OR t.app = %(app)s)")


def _parameters(user_id: str, app: str | None, sessions: list[str], *, consumer: bool) -> dict[str, object]:
    return {"user": user_id, "app": app, "sessions": sessions, "consumer": consumer}
