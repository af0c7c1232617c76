"""Logins that PostgreSQL refuses, whatever language it refuses them in: the reason comes from the SQLSTATE."""

from collections.abc import Iterator

import psycopg
import pytest

from exporter.probes.base import Reason, Status
from tests.probes.probing import postgresql, target
from tools.stack.process import poll_until
from tools.stack.servers import Postgres

PREPARED = """
CREATE ROLE locked NOLOGIN
CREATE ROLE rejected LOGIN
CREATE ROLE unlisted LOGIN
CREATE ROLE guarded LOGIN PASSWORD 'right'
CREATE ROLE single LOGIN CONNECTION LIMIT 0
CREATE ROLE outsider LOGIN
CREATE DATABASE closed ALLOW_CONNECTIONS false
CREATE DATABASE private
REVOKE CONNECT ON DATABASE private FROM PUBLIC
"""
RULES = """host all rejected all reject
host all guarded all scram-sha-256
host all postgres,locked,single,outsider,nobody all trust
"""
REFUSALS = {
    "wrong password": ("guarded:wrong", "postgres", Reason.AUTH),
    "no such role": ("nobody", "postgres", Reason.AUTH),
    "may not log in": ("locked", "postgres", Reason.AUTH),
    "pg_hba.conf rejects": ("rejected", "postgres", Reason.AUTH),
    "no entry in pg_hba.conf": ("unlisted", "postgres", Reason.AUTH),
    "may not connect to the database": ("outsider", "private", Reason.AUTH),
    "too many connections for the role": ("single", "postgres", Reason.AUTH),
    "the database takes no connections": ("outsider", "closed", Reason.REFUSED),
    "no such database": ("outsider", "nowhere", Reason.OTHER),
}


@pytest.fixture(scope="module", params=["postgres", "german_postgres"])
def server(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """Return a server of each language that lets few people in."""
    server: Postgres = request.getfixturevalue(request.param)
    rules = server.data_dir / "data" / "pg_hba.conf"
    before = rules.read_text()
    with server.connect() as connection:
        for statement in PREPARED.strip().splitlines():
            connection.execute(statement.encode())
        rules.write_text(RULES)
        connection.execute("SELECT pg_reload_conf()")
        poll_until(lambda: not lets_in(server, "rejected"))
        yield server
        rules.write_text(before)
        connection.execute("SELECT pg_reload_conf()")
        for statement in reversed(PREPARED.strip().splitlines()):
            if statement.startswith("CREATE"):
                connection.execute(f"DROP {' '.join(statement.split()[1:3])}".encode())


def lets_in(server: Postgres, user: str) -> bool:
    try:
        psycopg.connect(f"postgresql://{user}@{server.address}/postgres").close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.mark.parametrize("case", REFUSALS)
def test_the_reason_of_a_refused_login(server: Postgres, case: str) -> None:
    """The cause is the server's own sentence, without the SQLSTATE and the place in its source."""
    user, database, reason = REFUSALS[case]
    with target(postgresql(f"postgresql://{user}@{server.address}/{database}")) as subject:
        result = subject.ask()

    assert (result.status, result.reason) == (Status.UNHEALTHY, reason), result.cause
    assert "FATAL:" in result.cause
    assert ".c:" not in result.cause
