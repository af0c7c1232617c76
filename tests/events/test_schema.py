"""The schema converges, whatever it finds, and takes any event that is complete."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import psycopg
import pytest

from exporter.database import schema
from exporter.errors import DatabaseError, SchemaError
from platform_sdk.events import EVENTS, KINDS
from platform_sdk.events.base import TRACE, EventKind
from tests.servers import Database
from tools.stack.process import poll_until
from tools.stack.servers import Postgres

VALUES = {"timestamptz": "now()", "text": "'counter'", "integer": "200", "bigint": "1", "double precision": "0.1"}
"""A value of each type that is valid in any column."""


def minimal(kind: EventKind) -> str:
    """Return columns and values of an event with nothing but what it needs."""
    columns = [column for column in kind.all_columns if column.required and column.default is None]
    values = ("'x'" if column.name == "app" else VALUES[column.type] for column in columns)
    return f"({', '.join(column.name for column in columns)}) VALUES ({', '.join(values)})"


MINIMAL = {kind.name: minimal(kind) for kind in EVENTS}
"""What an event of each kind needs at least."""

STRUCTURE = """
SELECT 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
LEFT JOIN pg_attrdef d ON (adrelid, adnum) = (attrelid, attnum)
WHERE c.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname LIKE 'monitoring%') AND c.relkind IN ('r', 'p', 'v')
    AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT 'index', tablename, indexname, indexdef, NULL FROM pg_indexes WHERE schemaname = 'monitoring'
UNION ALL SELECT 'grant', c.relname, grantee::regrole::text, privilege_type, NULL
FROM pg_class c, aclexplode(c.relacl)
WHERE NOT c.relispartition AND c.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname LIKE 'monitoring%')
ORDER BY 1, 2, 3, 4, 5"""


def apply(database: Database) -> None:
    with database.connect() as connection:
        schema.apply(connection)


def test_it_may_be_applied_twice(database: Database) -> None:
    """The second time changes nothing, and keeps what is in the tables."""
    apply(database)
    database.execute(f"INSERT INTO monitoring.sample {MINIMAL['sample']}")
    before = database.execute(STRUCTURE)
    apply(database)

    assert database.execute(STRUCTURE) == before
    assert database.execute("SELECT count(*) FROM monitoring.sample") == [(1,)]


def test_it_is_applied_again_after_a_deadlock(applied: Database) -> None:
    """A poll or autovacuum takes its locks in an order of its own; who is ended by PostgreSQL tries again."""
    for table in ("http_request", "error"):
        applied.execute(f"ALTER TABLE monitoring.{table} DROP COLUMN trace_id CASCADE")
    applied.execute("UPDATE monitoring.schema_version SET version = version - 2")
    waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation IS NOT NULL"
    with applied.connect() as other, ThreadPoolExecutor(1) as pool:
        # It never looks for a deadlock itself: the one that does is `apply`.
        other.execute("SET deadlock_timeout = '1h'")
        with other.transaction():
            other.execute("LOCK TABLE monitoring.error IN ACCESS SHARE MODE")
            done = pool.submit(apply, applied)
            poll_until(lambda: applied.execute(waits))
            other.execute("LOCK TABLE monitoring.http_request IN ACCESS SHARE MODE")

        assert done.result(timeout=120) is None


@pytest.mark.parametrize(
    "missing",
    [
        "ALTER TABLE monitoring.http_request DROP COLUMN weight CASCADE",
        "ALTER TABLE monitoring.http_request DROP COLUMN release CASCADE",
        "ALTER TABLE monitoring.error DROP COLUMN trace_id CASCADE",
        "DROP TABLE monitoring.sample CASCADE",
        "DROP TABLE monitoring.sdk_ledger CASCADE",
        "DROP TABLE monitoring.former_cluster",
        "DROP INDEX monitoring.error_tx",
        "DROP INDEX monitoring.actor_last_seen",
        "DROP VIEW monitoring_views.api_call",
        "DROP SCHEMA monitoring_views CASCADE",
        "DROP FUNCTION monitoring.ensure_partition",
        "REVOKE ALL ON monitoring.rollup FROM platform_exporter",
    ],
)
def test_an_earlier_version_converges(applied: Database, missing: str) -> None:
    """Whatever an older schema lacks is added, and its version grows."""
    wanted = {row[:4] for row in applied.execute(STRUCTURE)}
    applied.execute(missing)
    applied.execute("UPDATE monitoring.schema_version SET version = version - 1")
    apply(applied)

    assert wanted <= {row[:4] for row in applied.execute(STRUCTURE)}
    assert applied.execute("SELECT DISTINCT version FROM monitoring.schema_version") == [(schema.VERSION,)]


def test_what_is_no_longer_required_may_be_null(applied: Database) -> None:
    """An older schema required how long a background task took."""
    applied.execute("ALTER TABLE monitoring.background_task ALTER COLUMN duration_seconds SET NOT NULL")
    apply(applied)
    applied.execute(
        "INSERT INTO monitoring.background_task (at, app, task, outcome) VALUES (now(), 'a', 't', 'success')"
    )

    assert applied.execute("SELECT duration_seconds FROM monitoring.background_task") == [(None,)]


def test_an_upgrade_counts_no_row_again(applied: Database) -> None:
    """Added columns leave old rows' transaction and cluster alone."""
    applied.execute(f"INSERT INTO monitoring.http_request {MINIMAL['http_request']}")
    before = applied.execute("SELECT tx, cluster FROM monitoring.http_request")
    applied.execute("ALTER TABLE monitoring.http_request DROP COLUMN weight CASCADE")
    apply(applied)

    assert applied.execute("SELECT tx, cluster FROM monitoring.http_request") == before


@pytest.mark.parametrize("kind", [kind.name for kind in EVENTS if TRACE[0] in kind.columns])
def test_writers_of_before_need_no_change(applied: Database, kind: str) -> None:
    """An SDK that knows nothing of traces names the columns that it knows; theirs are NULL."""
    applied.execute(f"SET ROLE platform_writer; INSERT INTO monitoring.{kind} {MINIMAL[kind]}")

    assert applied.execute(f"SELECT trace_id, trace_sampled FROM monitoring.{kind}") == [(None, None)]


def test_it_knows_when_nothing_is_to_be_done(database: Database) -> None:
    """Neither an empty database nor an older part of it is current; what was applied is."""
    seen = []
    for change in ("SELECT 1", None, "UPDATE monitoring.schema_version SET version = version - 1 WHERE part = 'store'"):
        database.execute(change) if change else apply(database)
        with database.connect() as connection:
            seen.append(schema.is_current(connection))

    assert seen == [False, True, False]


@pytest.mark.parametrize("part", ["counting", "store"])
def test_a_newer_schema_is_refused(applied: Database, part: str) -> None:
    """An old program does not touch what a newer one made."""
    applied.execute("UPDATE monitoring.schema_version SET version = %s WHERE part = %s", [schema.VERSION + 1, part])

    with pytest.raises(SchemaError, match=rf"version {schema.VERSION + 1}.*upgrade platform-exporter"):
        apply(applied)


def test_two_at_the_same_time_take_turns(database: Database) -> None:
    """Two replicas' init containers may apply at once."""
    program = "import psycopg, sys; from exporter.database.schema import apply; "
    program += "apply(psycopg.connect(sys.argv[1], autocommit=True))"
    command = [sys.executable, "-c", program, database.dsn]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]

    assert [process.communicate()[1] for process in started] == [b""] * 3


def test_shown_sql_runs_through_psql(database: Database, postgres: Postgres) -> None:
    """A database administrator gets the same schema manually as the command makes."""
    psql = [str(postgres.binary.path / "psql"), "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-q", database.dsn]
    run = subprocess.run(psql, input=schema.show(), capture_output=True, text=True, check=False)
    shown = database.execute(STRUCTURE)
    apply(database)

    assert run.returncode == 0, run.stderr
    assert database.execute(STRUCTURE) == shown


@pytest.mark.parametrize("kind", KINDS)
def test_a_minimal_event(applied: Database, kind: str) -> None:
    """Time, app and what a metric needs are enough, in any language that can INSERT."""
    applied.execute(f"INSERT INTO monitoring.{kind} {MINIMAL[kind]}")

    query = f"SELECT app, tx IS NOT NULL, cluster = monitoring.cluster_id() FROM monitoring.{kind}"
    assert applied.execute(query) == [("x", True, True)]


@pytest.mark.parametrize("kind", KINDS)
def test_partitions_of_a_week(applied: Database, kind: str) -> None:
    """Yesterday to seven days ahead; a new event is in its day, not in the default partition."""
    applied.execute(f"INSERT INTO monitoring.{kind} {MINIMAL[kind]}")
    names = {row[0] for row in applied.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = to_regclass(%s)", [f"monitoring.{kind}"]
    )}  # fmt: skip
    today = datetime.now(UTC)
    days = {f"monitoring.{kind}_{today + timedelta(days=day):%Y%m%d}" for day in range(-1, 8)}

    assert names == days | {f"monitoring.{kind}_default"}
    assert applied.execute(f"SELECT count(*) FROM monitoring.{kind}_default") == [(0,)]


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Los_Angeles", "Asia/Kolkata"])
def test_days_are_days_of_utc(applied: Database, zone: str) -> None:
    """Whatever zone the session that creates a partition is in."""
    with applied.connect() as connection:
        connection.execute(f"SET timezone = '{zone}'; SET datestyle = 'SQL, DMY'")
        connection.execute("SELECT monitoring.ensure_partition('error', '2020-02-03')")
        for at in ("2020-02-03 00:00:00Z", "2020-02-03 23:59:59.999999Z"):
            connection.execute(
                "INSERT INTO monitoring.error (at, app, error_type) VALUES (%s::timestamptz, 'a', 'E')", [at]
            )

    assert applied.execute("SELECT count(*) FROM monitoring.error_20200203") == [(2,)]


def test_the_cluster_is_looked_up_once_a_statement(applied: Database) -> None:
    """The default is folded to a constant: called per row it would cost a bulk load its speed."""
    plan = applied.execute("EXPLAIN (VERBOSE, COSTS OFF) SELECT monitoring.cluster_id() FROM generate_series(1, 10)")

    assert "cluster_id" not in str(plan)


@pytest.mark.parametrize(("version", "refused"), [(120022, True), (130000, False), (180004, False)])
def test_servers_older_than_13_are_refused(version: int, refused: bool) -> None:
    """The message says what was found and what is expected."""
    info = SimpleNamespace(server_version=version, host="db", port=5432)
    connection = cast(psycopg.Connection, SimpleNamespace(info=info))

    if refused:
        with pytest.raises(DatabaseError, match="db:5432 is version 12; expected 13 or newer"):
            schema.check_server(connection)
    else:
        schema.check_server(connection)


def test_a_user_without_rights_is_told_the_grant(database: Database) -> None:
    """What to run, word for word."""
    apply(database)
    database.execute("DROP SCHEMA monitoring CASCADE")
    with database.connect() as connection:
        connection.execute("CREATE ROLE nobody_special_schema; SET ROLE nobody_special_schema")
        try:
            with pytest.raises(DatabaseError, match="GRANT CREATE ON DATABASE"):
                schema.apply(connection)
        finally:
            connection.execute("RESET ROLE; DROP ROLE nobody_special_schema")


def test_the_newest_postgresql_takes_it(newest_postgres: Postgres) -> None:
    """Applied twice, an event of every kind."""
    database = Database(newest_postgres, "schema_test")
    newest_postgres.create_database(database.name)
    apply(database)
    apply(database)
    for kind, values in MINIMAL.items():
        database.execute(f"INSERT INTO monitoring.{kind} {values}")

    assert database.execute("SELECT count(*) FROM monitoring.sample") == [(1,)]
    newest_postgres.drop_database(database.name)
