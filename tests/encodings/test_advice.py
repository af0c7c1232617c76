"""Advice can be pasted, whatever the names and whatever the language of the server."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from psycopg import sql
from psycopg.conninfo import make_conninfo

from exporter.__main__ import main
from tests.servers import Database, fresh_database
from tools.stack.servers import Postgres

MAPPING = """app: x
streams:
  one:
    table: '"My Shop"."Order"'
    kind: scraping_run
    join: LEFT JOIN "My Shop"."user" u ON u.id = t.by
    reads: ['"My Shop"."user"']
    columns: {at: t.at, scraper: "coalesce(u.name, t.s)", outcome: "'success'", duration_seconds: t.d}
"""
TABLES = """CREATE ROLE "Shop Owner"; CREATE SCHEMA "My Shop" AUTHORIZATION "Shop Owner"; SET ROLE "Shop Owner";
CREATE TABLE "My Shop"."Order" (id int PRIMARY KEY, at timestamptz DEFAULT now(), s text, d float8, by int);
CREATE TABLE "My Shop"."user" (id int PRIMARY KEY, name text)"""
OPS = "Ops Team"

Run = Callable[..., tuple[int, str]]


@pytest.fixture(params=["postgres", "german_postgres"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """Return a database with tables, an owner and a role whose names need quotes, of a server of each language."""
    server: Postgres = request.getfixturevalue(request.param)
    with fresh_database(server) as database:
        database.execute(TABLES)
        database.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(OPS)))
        yield database
        with database.connect() as connection:
            for role in (OPS, "Shop Owner"):
                connection.execute(sql.SQL("DROP OWNED BY {0} CASCADE").format(sql.Identifier(role)))
    with server.connect() as connection:
        for role in (OPS, "Shop Owner"):
            connection.execute(sql.SQL("DROP ROLE {0}").format(sql.Identifier(role)))


@pytest.fixture
def run(database: Database, tmp_path: Path) -> Run:
    """Return a function that runs a command as the role that may do nothing yet, or as the superuser."""
    (tmp_path / "shop.yml").write_text(MAPPING)

    def run(*words: str, user: str = OPS) -> tuple[int, str]:
        config = tmp_path / "platform-exporter.yml"
        dsn = make_conninfo(database.dsn, user=user)
        config.write_text(json.dumps({"database": {"dsn": dsn}, "sources": [{"preset": "shop.yml"}]}))
        done = CliRunner().invoke(main, [*words, "--config", str(config)])
        return done.exit_code, done.output

    return run


def follow(database: Database, output: str) -> str:
    """Run the SQL that a message gives."""
    line = next(line for line in output.splitlines() if "run: " in line or ", or: " in line)
    advice = line.split("run: " if "run: " in line else ", or: ")[1]
    database.execute(advice)
    return advice


def test_adopt_says_all_that_is_missing(database: Database, run: Run) -> None:
    """Each refusal names what to grant, and in the end the adoption is done."""
    advice = []
    while (done := run("adopt", "shop.yml"))[0] == 1:
        advice.append(follow(database, done[1]))
        assert len(advice) < 8, advice

    assert done[0] == 0, done[1]
    assert f'GRANT USAGE ON SCHEMA "My Shop" TO "{OPS}"; GRANT "Shop Owner" TO "{OPS}";' in advice[0]


def test_doctor_says_all_that_is_missing(database: Database, run: Run) -> None:
    """After the adoption by its owner: rights to what is ours, to the table, to the one that is joined."""
    done = run("adopt", "shop.yml", user="postgres")
    assert done[0] == 0, done[1]
    database.execute('REVOKE ALL ON ALL TABLES IN SCHEMA "My Shop" FROM platform_exporter')
    advice = []
    while "run: " in (output := run("doctor")[1]):
        advice.append(follow(database, output))
        assert len(advice) < 8, advice

    assert "1 table can be counted" in output
    assert f'GRANT platform_exporter TO "{OPS}";' in advice
    assert any('GRANT SELECT ON "My Shop"."user"' in line for line in advice)


def test_a_policy_is_named_not_a_grant(database: Database, run: Run) -> None:
    """SELECT would change nothing where a policy hides rows."""
    done = run("adopt", "shop.yml", user="postgres")
    assert done[0] == 0, done[1]
    database.execute(f'GRANT platform_exporter TO "{OPS}"')
    database.execute('ALTER TABLE "My Shop"."user" ENABLE ROW LEVEL SECURITY')
    output = run("doctor")[1]

    assert follow(database, output) == f'ALTER ROLE "{OPS}" BYPASSRLS;'
    assert "1 table can be counted" in run("doctor")[1]


def test_what_is_missing_of_ours_is_named(database: Database, run: Run) -> None:
    """A column that is missing is the mapping's; a table of ours that someone dropped is made again by adopt."""
    done = run("adopt", "shop.yml", user="postgres")
    assert done[0] == 0, done[1]
    database.execute('ALTER TABLE "My Shop"."user" RENAME name TO other')
    assert "change the mapping or the table" in run("doctor", user="postgres")[1]

    database.execute("ALTER TABLE monitoring.rollup RENAME TO other")
    assert "run `platform-exporter adopt` again" in run("doctor", user="postgres")[1]
