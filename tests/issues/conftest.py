"""Fixtures of the tests of issues: a database with the schema and three issues."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from exporter.database import schema
from tests.aggregation.counting import Store
from tools.stack.servers import Postgres

TEMPLATE = "issues_template"


@pytest.fixture(scope="session")
def issues_template(postgres: Postgres) -> str:
    """Return the name of a database with the schema and three issues, to copy from."""
    store = Store(postgres.create_database(TEMPLATE))
    with psycopg.connect(store.dsn, autocommit=True) as connection:
        schema.apply(connection)
    for app, severity, error_type, release in (
        ("shop", "high", "ValueError", "1.0"),
        ("shop", "low", "KeyError", "2.0"),
        ("prices", "critical", "ValueError", None),
    ):
        store.execute(
            "INSERT INTO monitoring.error (at, app, severity, error_type, message, endpoint, fingerprint, release, "
            "user_id, stack_trace) "
            "VALUES (now() - interval '1 h', %s, %s, %s, 'it \"broke\"', '/x', %s, %s, 'u1', 'Trace')",
            [app, severity, error_type, f"f/{error_type}", release],
        )
    store.poll("error")
    return TEMPLATE


@pytest.fixture
def store(postgres: Postgres, issues_template: str, request: pytest.FixtureRequest) -> Iterator[Store]:
    """Return a fresh store with three issues."""
    name = f"issues_{abs(hash(request.node.nodeid)):x}"
    with postgres.connect() as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(issues_template))
        )
    yield Store(postgres.dsn_of(name))
    postgres.drop_database(name)
