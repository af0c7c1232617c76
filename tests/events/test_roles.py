"""Three roles, each with what its work needs and no more."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import pytest

from exporter.aggregation import poll
from exporter.aggregation.poller import Worker
from exporter.config.settings import Database as Settings
from exporter.config.settings import Limits, Retention, Source
from exporter.database import schema
from exporter.database.connection import connect
from exporter.sections import Secret
from exporter.sources import mapping
from platform_sdk.events import KINDS
from tests.events.test_schema import MINIMAL
from tests.servers import Database

Connection = psycopg.Connection[tuple[Any, ...]]
As = Callable[[str], Any]


@pytest.fixture
def as_role(applied: Database) -> As:
    """Return a function that gives a connection of a login that has just one of the roles."""

    @contextmanager
    def connect(role: str) -> Iterator[Connection]:
        login = f"{role}_login"
        applied.execute(
            f"DO $$ BEGIN CREATE ROLE {login} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$; "
            f"GRANT {role} TO {login}"
        )
        with psycopg.connect(applied.dsn, user=login, autocommit=True) as connection:
            yield connection

    return connect


def refused(connection: Connection, query: str) -> bool:
    try:
        connection.execute(query.encode())
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


@pytest.mark.parametrize("kind", KINDS)
def test_the_writer_inserts(as_role: As, kind: str) -> None:
    """One by one and by COPY."""
    columns = MINIMAL[kind].split(")")[0] + ")"
    with as_role("platform_writer") as connection:
        connection.execute(f"INSERT INTO monitoring.{kind} {MINIMAL[kind]}")
        with connection.cursor() as cursor, cursor.copy(f"COPY monitoring.{kind} {columns} FROM STDIN"):
            pass


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("query", ["SELECT app FROM {}", "UPDATE {} SET app = ''", "DELETE FROM {}", "TRUNCATE {}",
                                   "COPY {} TO STDOUT", "INSERT INTO {} SELECT * FROM {}"])  # fmt: skip
def test_the_writer_does_nothing_else(as_role: As, kind: str, query: str) -> None:
    """A stolen application password reads and changes no event."""
    with as_role("platform_writer") as connection:
        assert refused(connection, query.replace("{}", f"monitoring.{kind}"))


@pytest.mark.parametrize("table", ["rollup", "cursor", "source", "actor", "error_issue", "audit", "alert_notification"])
def test_the_writer_cannot_touch_what_is_counted(as_role: As, table: str) -> None:
    """Neither read nor write."""
    with as_role("platform_writer") as connection:
        assert refused(connection, f"SELECT * FROM monitoring.{table}")
        assert refused(connection, f"DELETE FROM monitoring.{table}")
        assert refused(connection, f"INSERT INTO monitoring.{table} DEFAULT VALUES")


def test_the_writer_keeps_its_jobs_batches_and_ledger(as_role: As) -> None:
    """What the SDK writes beside events."""
    with as_role("platform_writer") as connection:
        connection.execute("INSERT INTO monitoring.batch (id) VALUES (gen_random_uuid())")
        for _ in range(2):
            connection.execute(
                "INSERT INTO monitoring.scraping_job (app, job_id, scraper, status) VALUES ('a', '1', 's', 'running') "
                "ON CONFLICT (app, job_id) DO UPDATE SET progress = 50"
            )
            connection.execute(
                "INSERT INTO monitoring.sdk_ledger AS l (app, process, produced) VALUES ('a', 'p', 1) "
                "ON CONFLICT (app, process) DO UPDATE SET produced = l.produced + excluded.produced"
            )
        assert refused(connection, "DELETE FROM monitoring.scraping_job")


JOB = "INSERT INTO monitoring.scraping_job (app, job_id, scraper, status) VALUES ('{}', '1', 's', 'running')"
PROCESS = "INSERT INTO monitoring.sdk_ledger (app, process, produced) VALUES ('{}', 'p', 1)"


@pytest.fixture
def logins(applied: Database) -> Iterator[Callable[[str], Connection]]:
    """Return a function that gives a connection of a login of its own in platform_writer; all are gone afterwards."""
    with ExitStack() as stack:
        made = [f"writer_{name}_{applied.name}" for name in ("shop", "blog")]
        for login in made:
            applied.execute(f"CREATE ROLE {login} LOGIN; GRANT platform_writer TO {login}")
        yield lambda name: stack.enter_context(
            psycopg.connect(applied.dsn, user=f"writer_{name}_{applied.name}", autocommit=True)
        )
    for login in made:
        applied.execute(f"DROP ROLE {login}")


@pytest.mark.parametrize("statement", [JOB, PROCESS])
def test_a_login_sees_and_changes_only_what_it_wrote(
    logins: Callable[[str], Connection], applied: Database, statement: str
) -> None:
    """The jobs and the ledger of other logins are neither read nor changed, nor is theirs taken over."""
    table = statement.split()[2]
    applied.execute(statement.format("system"))
    shop, blog = logins("shop"), logins("blog")
    shop.execute(statement.format("shop").encode())
    blog.execute(statement.format("blog").encode())

    assert shop.execute(f"SELECT app FROM {table}".encode()).fetchall() == [("shop",)]
    assert shop.execute(f"UPDATE {table} SET app = app".encode()).rowcount == 1
    assert refused(shop, f"{statement.format('blog')} ON CONFLICT DO NOTHING") is False
    assert refused(shop, f"{statement.format('blog')} ON CONFLICT ({_key(table)}) DO UPDATE SET app = 'x'")
    assert refused(shop, f"UPDATE {table} SET writer = 'writer_blog'")


def _key(table: str) -> str:
    return "app, job_id" if "job" in table else "app, process"


def test_a_new_login_may_go_on_for_an_old_one(logins: Callable[[str], Connection], applied: Database) -> None:
    """Where it is a member of it."""
    shop, blog = logins("shop"), logins("blog")
    shop.execute(JOB.format("shop").encode())
    applied.execute(f"GRANT writer_shop_{applied.name} TO writer_blog_{applied.name}")

    assert blog.execute("SELECT app FROM monitoring.scraping_job").fetchall() == [("shop",)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_login_that_is_bound_cannot_forge_events_of_other_apps(
    logins: Callable[[str], Connection], applied: Database, kind: str
) -> None:
    """Neither by INSERT nor by COPY, nor after SET ROLE; its own app's events are stored."""
    applied.execute("SELECT monitoring.bind_writer(%s, 'x')", [f"writer_shop_{applied.name}"])
    columns, _, values = MINIMAL[kind].partition(" VALUES ")
    shop, blog = logins("shop"), logins("blog")
    of_another_app = values.replace("'x'", "'y'", 1)
    forged = f"INSERT INTO monitoring.{kind} {columns} VALUES {of_another_app}"

    assert not refused(shop, f"INSERT INTO monitoring.{kind} {MINIMAL[kind]}")
    assert refused(shop, forged)
    assert refused(shop, f"SET ROLE platform_writer; {forged}")
    assert not refused(blog, forged)
    applied.execute("SELECT monitoring.bind_writer(%s)", [f"writer_shop_{applied.name}"])
    assert not refused(shop, forged)


def test_a_login_that_is_bound_keeps_the_state_of_its_apps(
    logins: Callable[[str], Connection], applied: Database
) -> None:
    """Whichever login wrote it, and of no other app."""
    shop, blog = logins("shop"), logins("blog")
    blog.execute(JOB.format("shop").encode())
    applied.execute("SELECT monitoring.bind_writer(%s, 'shop', 'cart')", [f"writer_shop_{applied.name}"])

    assert shop.execute("SELECT app FROM monitoring.scraping_job").fetchall() == [("shop",)]
    assert not refused(shop, PROCESS.format("cart"))
    assert refused(shop, PROCESS.format("blog"))
    assert refused(shop, "SELECT monitoring.bind_writer(session_user)")


@pytest.mark.parametrize("role", ["platform_writer", "platform_grafana"])
@pytest.mark.parametrize(
    "function",
    [
        "ensure_partition('error', '2020-01-01')",
        "drop_partition('error', '2020-01-01')",
        "trim_default('error', now())",
        "has_uncounted('error_default', 'error')",
        "has_newer('error_default', pg_current_snapshot())",
        "may_write('x')",
    ],
)
def test_only_the_exporter_keeps_partitions(as_role: As, role: str, function: str) -> None:
    """Functions with their owner's rights are not for everyone."""
    with as_role(role) as connection:
        assert refused(connection, f"SELECT monitoring.{function}")


FOR_ALL = {
    "cluster_id()": "takes no argument, says the cluster's number, and is a column's default for whoever inserts",
    "is_own(text,text)": "policies ask it of whoever reads a row, and it tells sessions of their own login only",
}
OPEN = """SELECT p.oid::regprocedure::text FROM pg_proc p
    CROSS JOIN LATERAL aclexplode(coalesce(proacl, acldefault('f', proowner))) a
    WHERE pronamespace = 'monitoring'::regnamespace AND prosecdef AND a.grantee = 0 ORDER BY 1"""


def test_no_function_with_rights_is_everyones(applied: Database) -> None:
    """Not after an upgrade of an installation where all were, a function of `adopt` among them."""
    applied.execute(
        "CREATE FUNCTION monitoring.capture_7() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN END'; "
        "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA monitoring TO PUBLIC; "
        "UPDATE monitoring.schema_version SET version = 1"
    )
    before = applied.execute(OPEN)
    with psycopg.connect(applied.dsn, autocommit=True) as connection:
        schema.apply(connection)

    assert len(before) > len(FOR_ALL) + 5
    assert applied.execute(OPEN) == [(f"monitoring.{function}",) for function in FOR_ALL]


STEAL = """
    CREATE TYPE pg_temp.event AS (x int);
    CREATE FUNCTION pg_temp.steal(pg_temp.event) RETURNS text LANGUAGE plpgsql AS
        $$ BEGIN EXECUTE format('ALTER ROLE %I SUPERUSER', session_user); RETURN 'x'; END $$;
    CREATE CAST (pg_temp.event AS text) WITH FUNCTION pg_temp.steal(pg_temp.event) AS IMPLICIT;
    CREATE TEMP TABLE mine (app pg_temp.event);
    CREATE TRIGGER mine AFTER INSERT ON mine REFERENCING NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION monitoring.check_app();
    INSERT INTO mine VALUES (row(1))"""


@pytest.mark.parametrize("granted", [False, True])
def test_no_login_takes_the_owners_rights(
    logins: Callable[[str], Connection], applied: Database, granted: bool
) -> None:
    """Not by the check's trigger on a table of its own, whose type has a cast; not even where it may make one."""
    if granted:
        applied.execute("GRANT EXECUTE ON FUNCTION monitoring.check_app() TO PUBLIC")
    shop = logins("shop")

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="for tables of schema" if granted else "function"):
        shop.execute(STEAL)
    assert applied.execute("SELECT rolsuper FROM pg_roles WHERE rolname = %s", [shop.info.user]) == [(False,)]


def test_new_state_has_its_writer(logins: Callable[[str], Connection]) -> None:
    """A row that names none would be everyone's."""
    shop = logins("shop")

    assert refused(
        shop, JOB.format("shop").replace("status)", "status, writer)").replace("'running'", "'running', NULL")
    )
    assert refused(shop, PROCESS.format("shop").replace("produced)", "produced, writer)").replace("1)", "1, NULL)"))


def test_a_role_that_cannot_sign_in_is_not_bound(applied: Database) -> None:
    """It would bind none of its members."""
    with pytest.raises(psycopg.errors.WrongObjectType, match=r"cannot sign in.*expected a login"):
        applied.execute("SELECT monitoring.bind_writer('platform_writer', 'shop')")
    applied.execute("SELECT monitoring.bind_writer('platform_writer')")


@pytest.mark.parametrize("applied_again", [False, True])
def test_only_tables_of_events_are_checked(
    logins: Callable[[str], Connection], applied: Database, applied_again: bool
) -> None:
    """What is captured of an application's table has no app; a check that an earlier version put there is removed."""
    applied.execute("CREATE TABLE monitoring.captured_7 (slot smallint) PARTITION BY LIST (slot)")
    bind = f"SELECT monitoring.bind_writer('writer_shop_{applied.name}', 'x')"
    if applied_again:
        applied.execute(
            f"{bind}; CREATE TRIGGER check_app AFTER INSERT ON monitoring.captured_7 REFERENCING NEW TABLE AS added "
            "FOR EACH STATEMENT EXECUTE FUNCTION monitoring.check_app()"
        )
        with psycopg.connect(applied.dsn, autocommit=True) as connection:
            schema.apply(connection)
    else:
        applied.execute(bind)

    checked = applied.execute("SELECT relname FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid "
                              "WHERE tgname = 'check_app' AND tgparentid = 0 ORDER BY 1")  # fmt: skip
    assert checked == [(kind,) for kind in sorted(KINDS)]


def test_the_exporter_serves(as_role: As, applied: Database) -> None:
    """Its role is enough for polls, states and maintenance, dropping partitions included."""
    with as_role("platform_exporter") as connection:
        dsn = psycopg.conninfo.make_conninfo(applied.dsn, user=connection.info.user)
    for kind, values in MINIMAL.items():
        applied.execute(f"INSERT INTO monitoring.{kind} {values}")
        applied.execute(f"SELECT monitoring.ensure_partition('{kind}', '2020-01-01')")
        applied.execute(f"DROP TABLE monitoring.{kind}_{_next_week(applied)}")
    worker = Worker(mapping.plan(Source()), Settings(dsn=Secret(dsn)), Limits(), Retention())
    for _ in MINIMAL:  # a day is removed after each poll
        worker.poll()
    worker._disconnect()

    assert worker.view.problems == ()
    assert applied.execute(
        "SELECT to_regclass('monitoring.error_20200101') IS NULL, to_regclass(%s) IS NOT NULL",
        [f"monitoring.error_{_next_week(applied)}"],
    ) == [(True, True)]


def _next_week(applied: Database) -> str:
    return str(applied.execute("SELECT to_char((now() AT TIME ZONE 'UTC')::date + 7, 'YYYYMMDD')")[0][0])


@pytest.mark.parametrize("query", [
    "INSERT INTO monitoring.sample " + MINIMAL["sample"], "DELETE FROM monitoring.http_request",
    "UPDATE monitoring.error SET app = ''", "DROP TABLE monitoring.sample_default", "CREATE TABLE monitoring.mine ()",
    "TRUNCATE monitoring.audit", "DELETE FROM monitoring.audit",
])  # fmt: skip
def test_the_exporter_changes_no_event(as_role: As, query: str) -> None:
    """It counts what others write."""
    with as_role("platform_exporter") as connection:
        assert refused(connection, query)


def test_partitions_made_by_the_exporter_belong_to_the_owner(as_role: As, applied: Database) -> None:
    """Otherwise an upgrade by the owner would fail on them."""
    with as_role("platform_exporter") as connection:
        connection.execute("SELECT monitoring.ensure_partition('error', '2020-01-01')")

    assert applied.execute(
        "SELECT count(DISTINCT relowner) FROM pg_class WHERE relname LIKE 'error%' AND relkind IN ('r', 'p') "
        "AND relnamespace = 'monitoring'::regnamespace"
    ) == [(1,)]


def test_a_function_with_rights_cannot_be_tricked_by_names(as_role: As, applied: Database) -> None:
    """Not by quotes in a name, and not by objects of the caller that hide the real ones."""
    with as_role("platform_exporter") as connection:
        connection.execute("CREATE TEMP TABLE pg_class (oid oid)")
        connection.execute("SELECT monitoring.ensure_partition('error', '2020-01-01')")
        with pytest.raises(psycopg.Error):
            connection.execute(
                "SELECT monitoring.ensure_partition('error (x int); DROP TABLE monitoring.error; --', '2020-01-02')"
            )

    assert applied.execute("SELECT to_regclass('monitoring.error') IS NOT NULL") == [(True,)]


def test_dashboards_see_the_views(as_role: As, applied: Database) -> None:
    """Every kind and the state tables, events included."""
    for kind, values in MINIMAL.items():
        applied.execute(f"INSERT INTO monitoring.{kind} {values}")
    with as_role("platform_grafana") as connection:
        for view in (
            *KINDS,
            "scraping_job",
            "error_issue",
            "alert_notification",
            "manual_alert",
            "audit",
            "sdk_ledger",
        ):
            rows = connection.execute(f"SELECT * FROM monitoring_views.{view}".encode()).fetchall()
            assert len(rows) == (view in KINDS)


def test_dashboards_see_no_users(as_role: As) -> None:
    """No view has a column that names a user, an address, a user agent, a stack trace, or free text that may."""
    with as_role("platform_grafana") as connection:
        columns = {row[0] for row in connection.execute(
            "SELECT attname FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid "
            "WHERE relnamespace = 'monitoring_views'::regnamespace"
        ).fetchall()}  # fmt: skip

    assert columns
    assert not columns & {"ip", "user_agent", "query", "context", "user_id", "session_id", "stack_trace", "details"} - {
        "details"  # of the audit: of operators
    }


def test_dashboards_count_users_they_cannot_name(as_role: As, applied: Database) -> None:
    """The hash tells users apart; no role may read its salt, or small ids could be tried out."""
    for user in ("1", "2", "2"):
        applied.execute(
            "INSERT INTO monitoring.user_activity (at, app, activity, user_id) VALUES (now(), 'x', 'y', %s)", [user]
        )
    with as_role("platform_grafana") as connection:
        hashes = connection.execute("SELECT user_hash FROM monitoring_views.user_activity").fetchall()
        assert refused(connection, "SELECT salt FROM monitoring.view_salt")
    with as_role("platform_exporter") as connection:
        assert refused(connection, "SELECT salt FROM monitoring.view_salt")

    assert len(hashes) == 3
    assert len(set(hashes)) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_restricted_dashboards_see_all(as_role: As, applied: Database, kind: str) -> None:
    """Every column of every kind, and the views of others; ordinary dashboards see none of it."""
    query = f"SELECT {', '.join(column.name for column in KINDS[kind].all_columns)} FROM monitoring_restricted.{kind}"
    with as_role("platform_grafana_restricted") as connection:
        connection.execute(query.encode())
        connection.execute(f"SELECT * FROM monitoring_views.{kind}".encode())
        assert refused(connection, f"SELECT * FROM monitoring.{kind}")
        assert refused(connection, f"DELETE FROM monitoring_restricted.{kind}")
    with as_role("platform_grafana") as connection:
        assert refused(connection, query)


def test_an_error_is_found_by_its_issue(as_role: As, applied: Database) -> None:
    """The view's fingerprint is the issue's, where a writer gave none or a very long one; an index finds it."""
    for endpoint, fingerprint in (("/x", None), (None, ""), ("/x", "f" * 300), ("/x", "short")):
        applied.execute(
            "INSERT INTO monitoring.error (at, app, error_type, endpoint, fingerprint) "
            "VALUES (now(), 'x', 'E', %s, %s)",
            [endpoint, fingerprint],
        )
    for stream in mapping.plan(Source()).streams:
        with connect(Settings(dsn=Secret(applied.dsn)), "test") as connection:
            poll.register(connection, "native")
            poll.poll(connection, stream, Limits())
    query = "EXPLAIN SELECT 1 FROM monitoring_views.error WHERE app = 'x' AND fingerprint = 'short' AND at > now()"

    with as_role("platform_grafana") as connection:
        assert connection.execute(
            "SELECT count(*) FROM monitoring_views.error_issue JOIN monitoring_views.error USING (app, fingerprint)"
        ).fetchone() == (4,)
        connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        plan = str(connection.execute(query.encode()).fetchall())
        assert "Index Cond" in plan
        assert "CASE" in plan.partition("Index Cond")[2].partition(",)")[0]


def test_no_text_is_too_long_for_an_index(applied: Database) -> None:
    """An error is stored however long its app, type, endpoint and fingerprint are, and however badly they compress."""
    long = "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 900) n)"
    for fingerprint in (long, "NULL"):
        applied.execute(
            "INSERT INTO monitoring.error (at, app, error_type, endpoint, fingerprint) "
            f"VALUES (now(), {long}, {long}, {long}, {fingerprint})"
        )

    assert applied.execute("SELECT count(*), max(length(app)) FROM monitoring_views.error") == [(2, 200)]


@pytest.mark.parametrize("table", ["http_request", "http_request_default", "rollup", "actor", "error_issue"])
def test_dashboards_see_no_tables(as_role: As, table: str) -> None:
    """The schema monitoring is closed to Grafana."""
    with as_role("platform_grafana") as connection:
        assert refused(connection, f"SELECT * FROM monitoring.{table}")


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM monitoring_views.error_issue",
        "UPDATE monitoring_views.audit SET actor = ''",
        "INSERT INTO monitoring_views.user_activity " + MINIMAL["user_activity"],
    ],
)
def test_dashboards_only_read(as_role: As, query: str) -> None:
    """Simple views can be written through; not by this role."""
    with as_role("platform_grafana") as connection:
        assert refused(connection, query)
