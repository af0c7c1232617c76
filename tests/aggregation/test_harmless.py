"""What `adopt` leaves as it was: every statement of an application, in whatever session it runs."""

import datetime
import re
from pathlib import Path

import psycopg
import pytest

from exporter.database import schema
from exporter.errors import DatabaseError
from exporter.sources import adopt, capture, mapping
from exporter.sources.capture import Reads
from exporter.sources.mapping import Relation
from tests.aggregation.counting import Store
from tests.aggregation.shop import COUNT, FINISHED, NEW, TABLE, Open, Shop
from tests.servers import Database, poll_until

INSERT = 'INSERT INTO "ScrapeJobs" (id) VALUES (%s)'
ON_INSERT = "issues: true"
"""A mapping whose rows count when they are inserted."""


@pytest.mark.parametrize(
    ("change", "counted", "said"),
    [
        ('ALTER TABLE "ScrapeJobs" DROP COLUMN kind', 1, "t.kind, which counts as NULL"),
        ('ALTER TABLE "ScrapeJobs" RENAME COLUMN kind TO sort', 1, "t.kind, which counts as NULL"),
        ('ALTER TABLE "ScrapeJobs" ALTER kind TYPE text', 3, ""),
        ('ALTER TABLE "ScrapeJobs" ADD COLUMN more int DEFAULT 7 NOT NULL', 3, ""),
        ('ALTER TABLE "ScrapeJobs" RENAME TO other', 3, 'table public."ScrapeJobs" does not exist any more'),
        ('CREATE SCHEMA elsewhere; ALTER TABLE "ScrapeJobs" SET SCHEMA elsewhere', 3, "does not exist any more"),
        ('ALTER TABLE "ScrapeJobs" DISABLE TRIGGER ALL', 1, 'triggers on public."ScrapeJobs" are missing or disabled'),
        ('DROP TABLE "ScrapeJobs"; ' + TABLE, 1, "are missing or disabled"),
    ],
)
def test_a_migration(shop: Open, change: str, counted: int, said: str) -> None:
    """A session with prepared statements goes on through a migration of the table; what is missed is said."""
    found = shop(ON_INSERT)
    with found.store.connect() as session:
        session.prepare_threshold = 0
        session.execute(INSERT, [1])
        found.execute(change)
        session.execute("SET search_path = public, elsewhere")
        table = "other" if "RENAME TO" in change else '"ScrapeJobs"'
        for number in (2, 3):
            session.execute(f"INSERT INTO {table} (id) VALUES (%s)", [number])
    (problem,) = found.problems() or ("",)

    assert said in problem
    assert bool(said) == bool(problem)
    assert "adopt" in problem or not problem
    assert found.count() == counted


def test_a_type_that_the_mapping_does_not_fit(shop: Open) -> None:
    """Writing goes on; the problem says what to change; what was captured meanwhile is counted afterwards."""
    found = shop(ON_INSERT)
    with found.store.connect() as session:
        session.execute(INSERT, [1], prepare=True)
        found.execute('ALTER TABLE "ScrapeJobs" ALTER millis DROP DEFAULT, ALTER millis TYPE text')
        session.execute(INSERT.replace("(id)", "(id, millis)").replace("%s", "%s, 8"), [2], prepare=True)
    (problem,) = found.problems()
    found.execute('ALTER TABLE "ScrapeJobs" ALTER millis TYPE int USING millis::int')

    assert "operator does not exist: text / numeric" in problem
    assert 'expected table public."ScrapeJobs" with the columns that its mapping names; change the mapping' in problem
    assert found.count() == 2


def test_a_migration_back(shop: Open) -> None:
    """A column that is there again is read again, and adopt makes disabled triggers work."""
    found = shop(ON_INSERT)
    found.execute('ALTER TABLE "ScrapeJobs" RENAME COLUMN kind TO sort')
    found.execute(
        'ALTER TABLE "ScrapeJobs" RENAME COLUMN sort TO kind', 'ALTER TABLE "ScrapeJobs" DISABLE TRIGGER USER'
    )
    found.adopt()
    found.execute(NEW)

    assert found.problems() == ()
    assert found.count() == 4


def test_an_application_without_any_right(shop: Open) -> None:
    """Neither a role that may only insert, nor SET ROLE, nor row-level security makes an INSERT fail or be missed."""
    found = shop(ON_INSERT)
    name = found.store.one("SELECT current_database()")
    role = f"app_{name}"
    found.execute(
        f'CREATE ROLE {role}; GRANT INSERT ON "ScrapeJobs" TO {role}',
        'ALTER TABLE "ScrapeJobs" ENABLE ROW LEVEL SECURITY',
        f'CREATE POLICY p ON "ScrapeJobs" TO {role} WITH CHECK (id < 100)',
    )
    with found.store.connect() as session:
        session.execute(f"SET ROLE {role}")
        for number in range(7):
            session.execute(INSERT, [number], prepare=True)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute(f"SELECT * FROM {found.captured}".encode())
    found.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")

    assert found.count() == 7


VALUES: dict[str, tuple[str, object]] = {
    "timestamptz": ("'2026-03-04 05:06:07.123456+00'", datetime.datetime(2026, 3, 4, 5, 6, 7, 123456, datetime.UTC)),
    "timestamp": ("'2026-03-04 05:06:07.1'", None),
    "date": ("'2026-03-04'", datetime.date(2026, 3, 4)),
    "float8": ("0.1::float8 + 0.2", 0.1 + 0.2),
    "float4": ("16777216", 16777216.0),
    "interval": ("'-1 mons +2 days -03:00:00'", None),
    "bytea": ("'\\x00ff41'", b"\x00\xffA"),
    "numeric": ("'1e-20'", None),
    "jsonb": ("""'{"a": [1, null, "ü"]}'""", {"a": [1, None, "ü"]}),
    "text[]": ("ARRAY['a,b', NULL, '{\"}']", ["a,b", None, '{"}']),
    "money": ("'1234.56'::numeric::money", None),
    "boolean": ("true", True),
    "char(5)": ("'ab'", "ab   "),
    "inet": ("'10.0.0.0/8'", None),
    "point": ("'(1.5,-2)'", None),
    "mood": ("'it''s ok'", "it's ok"),
    "pair": ("ROW(NULL, NULL)::pair", None),
    "short": ("'abc'", "abc"),
    "regclass": ("'public.t'::regclass", None),
}
SETTINGS = (
    "SET datestyle = 'German, DMY'; SET intervalstyle = 'sql_standard'; SET extra_float_digits = -15; "
    "SET timezone = 'Asia/Kolkata'; SET bytea_output = 'escape'; SET search_path = ''"
)


def test_values_are_read_as_they_were_written(database: Database, store: Store) -> None:
    """Whatever the application's session uses to show values, and whatever the type."""
    types = tuple(VALUES)
    named = tuple(f"Column {index}" for index in range(len(types)))
    store.execute("CREATE TYPE mood AS ENUM ('it''s ok'); CREATE TYPE pair AS (a int, b text)")
    store.execute("CREATE DOMAIN short AS text CHECK (length(VALUE) < 4)")
    listed = ", ".join(f'"{name}" {kind}' for name, kind in zip(named, types, strict=True))
    store.execute(f"CREATE TABLE public.t ({listed})")
    reads = Reads(named, types, settings=("lc_monetary = 'C'",))
    store.execute(";".join([*capture.table_sql(7, reads), capture.function_sql(7, reads, "I")]))
    store.execute(
        "CREATE TRIGGER t AFTER INSERT ON t REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT "
        "EXECUTE FUNCTION monitoring.capture_7()"
    )
    with store.connect() as session:
        session.execute(SETTINGS)
        session.execute(
            "SET search_path = public; SET lc_monetary = 'C.UTF-8'; INSERT INTO public.t VALUES ("
            + ", ".join(value for value, _ in VALUES.values())
            + "), ("
            + ", ".join(["NULL"] * len(types))
            + ")"
        )
    read = ", ".join(f"c.n{index}::{kind}" for index, kind in enumerate(types, 1))
    both = store.execute(
        f"SELECT ROW(t.*)::text, (SELECT ROW({read})::text FROM monitoring.captured_7 c "
        'WHERE c.n1 IS NOT NULL = (t."Column 0" IS NOT NULL)) FROM t ORDER BY 1 DESC'
    )

    assert [ours for _, ours in both] == [theirs for theirs, _ in both]
    for index, (_, expected) in enumerate(VALUES.values(), 1):
        if expected is not None:
            found = store.one(f"SELECT n{index}::{types[index - 1]} FROM monitoring.captured_7 WHERE n1 IS NOT NULL")
            assert found == expected


def test_nothing_is_found_by_the_search_path() -> None:
    """The function runs with its owner's rights, and without a search path of its own: every name has its schema."""
    reads = Reads(
        ("a", "at"), ("text", "timestamp with time zone"), watched=("a",), key=("id", "at"), table=Relation("public.t")
    )
    made = "".join(capture.function_sql(7, reads, captured) for captured in ("IUDT", "D"))
    body = re.sub(r"'[^']*'|--.*", "''", made.replace("$capture$", ""))
    keywords = {
        "IF",
        "NOT",
        "ROW",
        "OVER",
        "FROM",
        "LATERAL",
        "AND",
        "OR",
        "OPERATOR",
        "JOIN",
        "captured_7",
        "capture_7",
    }
    called = set(re.findall(r"([\w.]+) ?\(", body)) - keywords
    bare = re.sub(r"OPERATOR\(pg_catalog\.[^)]+\)|:=|::|count\(\*\)|x\.\*|#variable_conflict", "", body)
    types = set(re.findall(r"::([\w.\"]+)|platform_\w+ ([\w.]+)(?:\[\])?(?: :=|;)", body))

    assert {name for name in called if not name.startswith(("pg_catalog.", "monitoring."))} == set()
    assert re.findall(r"[-+*/<>=~!@#%^&|`?]", bare) == []
    assert re.findall(r"IS (?:NOT )?DISTINCT FROM (?!NULL\b)|\b(?:IN|LIKE|NULLIF|BETWEEN|USING) ", bare) == []
    assert {one or other for one, other in types} <= {
        "pg_catalog.text", 'pg_catalog."char"', "bigint", "smallint", "integer", "boolean",
    }  # fmt: skip
    assert "search_path" not in made


HOSTILE = """CREATE SCHEMA hostile; CREATE TABLE hostile.called (what text); GRANT ALL ON hostile.called TO PUBLIC;
DO $$ DECLARE one record; BEGIN
    FOR one IN SELECT p.proname, pg_get_function_identity_arguments(p.oid) AS takes, p.prorettype::regtype AS gives
        FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND NOT p.proretset
            AND p.proname = ANY('{to_regclass,left,current_setting,set_config,floor,date_part,statement_timestamp,
                pg_current_wal_insert_lsn,pg_current_xact_id}')
    LOOP
        EXECUTE format('CREATE FUNCTION hostile.%I(%s) RETURNS %s LANGUAGE plpgsql AS '
            '$f$ BEGIN INSERT INTO hostile.called VALUES (%L); RETURN NULL; END $f$', one.proname, one.takes, one.gives,
            one.proname);
    END LOOP;
    FOR one IN SELECT o.oprname, o.oprleft::regtype AS l, o.oprright::regtype AS r, o.oprresult::regtype AS gives,
            row_number() OVER () AS n
        FROM pg_operator o WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprname IN ('=', '<>', '>', '%', '/')
            AND o.oprleft = ANY('{text,bigint,integer,smallint,boolean,double precision,xid8}'::regtype[])
            AND o.oprright = ANY('{text,bigint,integer,smallint,boolean,double precision,xid8}'::regtype[])
    LOOP
        EXECUTE format('CREATE FUNCTION hostile.o%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS '
            '$f$ BEGIN INSERT INTO hostile.called VALUES (%L); RETURN NULL; END $f$', one.n, one.l, one.r, one.gives,
            one.oprname);
        EXECUTE format('CREATE OPERATOR hostile.%s (FUNCTION = hostile.o%s, LEFTARG = %s, RIGHTARG = %s)', one.oprname,
            one.n, one.l, one.r);
    END LOOP;
END $$;
CREATE DOMAIN hostile.text AS pg_catalog.text CHECK (VALUE = 'nothing'); CREATE TABLE hostile.captured (n int)"""


def test_no_function_of_a_sessions_schema_runs(shop: Open) -> None:
    """A session that puts its own functions, operators and types before those of the server replaces none of ours."""
    found = shop()
    found.execute(HOSTILE.replace("hostile.captured", found.captured.replace("monitoring", "hostile")))
    with found.store.connect() as session:
        session.execute("SET search_path = hostile, pg_catalog; SET datestyle = 'German'")
        session.execute('INSERT INTO public."ScrapeJobs" (id) VALUES (1), (2), (3)')
        for last in (1, 3):
            session.execute(
                f"""UPDATE public."ScrapeJobs" SET "Status" = 'DONE' WHERE id OPERATOR(pg_catalog.<=) {last}"""
            )
        session.execute("SET search_path = pg_catalog")
        called = session.execute("SELECT DISTINCT what FROM hostile.called").fetchall()

    assert called == []
    assert found.count() == 3


def test_a_sessions_settings_stay(shop: Open) -> None:
    """What a value's text depends on is changed for the moment only, in a transaction and after it."""
    found = shop(ON_INSERT)
    show = (
        "SELECT current_setting('datestyle'), current_setting('intervalstyle'), current_setting('extra_float_digits')"
    )
    with found.store.connect() as session:
        session.execute(SETTINGS.replace("search_path = ''", "search_path = public"))
        seen = [session.execute(show).fetchone()]
        with session.transaction():
            session.execute(INSERT, [1])
            seen.append(session.execute(show).fetchone())
            session.execute("SET datestyle = 'SQL, MDY'")
            session.execute(INSERT, [2])
        after = session.execute(show).fetchone()

    assert seen == [("German, DMY", "sql_standard", "-15")] * 2
    assert after == ("SQL, MDY", "sql_standard", "-15")


def test_a_type_that_needs_a_search_path(shop: Open) -> None:
    """What a `regclass` shows depends on the session's search path: adopt, run again, finds that a column is one."""
    found = shop(ON_INSERT)
    found.execute('ALTER TABLE "ScrapeJobs" ALTER kind DROP DEFAULT, ALTER kind TYPE regclass USING NULL')
    found.adopt()
    found.execute("""INSERT INTO "ScrapeJobs" (id, kind) VALUES (1, '"ScrapeJobs"')""")

    assert found.store.one(f"SELECT n2 FROM {found.captured}") == 'public."ScrapeJobs"'
    assert found.count() == 1


@pytest.mark.parametrize(("made", "value"), [("ENUM ('n')", "'n'"), ("(x int)", "row(1)")])
def test_no_code_of_a_types_owner_runs(shop: Open, made: str, value: str) -> None:
    """The function runs with its owner's rights: a cast that a table's owner made is not called, by no trigger."""
    found = shop(FINISHED)
    found.execute(
        f"CREATE TYPE mine AS {made}; CREATE TABLE called (n int)",
        "CREATE FUNCTION steal(mine) RETURNS text LANGUAGE plpgsql AS "
        "$$ BEGIN INSERT INTO public.called VALUES (1); RETURN 'stolen'; END $$",
        "CREATE CAST (mine AS text) WITH FUNCTION steal(mine) AS IMPLICIT",
        *(f'ALTER TABLE "ScrapeJobs" ALTER {name} DROP DEFAULT, ALTER {name} TYPE mine USING NULL'
          for name in ('"Name"', '"Status"')),
        'INSERT INTO "ScrapeJobs" (id, "Name", "Status") '
        f"SELECT n, {value}::mine, {value}::mine FROM generate_series(1, 3) n",
        f'UPDATE "ScrapeJobs" SET "Status" = NULL, "Name" = {value}::mine',
        f'UPDATE "ScrapeJobs" SET "Status" = {value}::mine WHERE id = 1',
        'DELETE FROM "ScrapeJobs" WHERE id = 1',
    )  # fmt: skip

    assert found.store.one("SELECT count(*) FROM called") == 0
    assert found.store.one('SELECT count(*) FROM "ScrapeJobs"') == 2


@pytest.mark.parametrize("bound_first", [True, False])
def test_a_bound_writer_disturbs_no_adopted_table(shop: Open, store: Store, bound_first: bool) -> None:
    """Whichever came first, and where the schema is applied afterwards."""
    with store.connect() as connection:
        login = f"bound_{connection.info.dbname}"
        bind = f"CREATE ROLE {login} LOGIN; SELECT monitoring.bind_writer('{login}', 'x')"
        if bound_first:
            connection.execute(bind)
        found = shop(ON_INSERT)
        if not bound_first:
            connection.execute(bind)
        schema.apply(connection)
        found.execute(NEW)

        assert found.count() == 4
        connection.execute(f"DROP ROLE {login}")


def test_cached_plans_stay_valid(store: Store, shop: Open) -> None:
    """Statements that a running application prepared before the adoption work after it, inside a transaction too."""
    store.execute("CREATE TABLE warm (id int)")
    with store.connect() as session:
        store.execute(TABLE)
        session.execute(NEW)
        for query in ('SELECT * FROM "ScrapeJobs"', INSERT + " RETURNING *", 'DELETE FROM "ScrapeJobs" RETURNING *'):
            for number in range(10, 17):
                session.execute(query, [number] if "%s" in query else None, prepare=True)
        found = shop(ON_INSERT, "SELECT 1")
        with session.transaction():
            for query in ('SELECT * FROM "ScrapeJobs"', INSERT + " RETURNING *"):
                session.execute(query, [20] if "%s" in query else None, prepare=True)

    assert found.count() == 1


STATEMENTS = {
    "COPY without columns": "COPY \"ScrapeJobs\" FROM PROGRAM 'printf ''1,a,b,R,5,1,,\n''' CSV",
    "INSERT from SELECT *": "CREATE TABLE copy (LIKE \"ScrapeJobs\" INCLUDING DEFAULTS); "
    'INSERT INTO copy (id) VALUES (1); INSERT INTO "ScrapeJobs" SELECT * FROM copy',
    "into an archive": 'CREATE TABLE archive (LIKE "ScrapeJobs"); INSERT INTO "ScrapeJobs" (id) VALUES (1); '
    'WITH gone AS (DELETE FROM "ScrapeJobs" RETURNING *) INSERT INTO archive SELECT * FROM gone',
    "rolled back to a savepoint": 'BEGIN; SAVEPOINT a; INSERT INTO "ScrapeJobs" (id) VALUES (1); '
    'ROLLBACK TO a; INSERT INTO "ScrapeJobs" (id) VALUES (2); COMMIT',
    "deleted at once": 'INSERT INTO "ScrapeJobs" (id) VALUES (1); DELETE FROM "ScrapeJobs"',
    "in a data-modifying query": 'WITH made AS (INSERT INTO "ScrapeJobs" (id) VALUES (1) RETURNING *) '
    "SELECT count(*) FROM made",
    "serializable": 'BEGIN ISOLATION LEVEL SERIALIZABLE; INSERT INTO "ScrapeJobs" (id) VALUES (1); COMMIT',
    "in a function": "DO $$ BEGIN FOR i IN 1..1 LOOP INSERT INTO \"ScrapeJobs\" (id) VALUES (i); END LOOP; END $$",
}  # fmt: skip


@pytest.mark.parametrize("name", list(STATEMENTS))
def test_a_statement_of_an_application(shop: Open, name: str) -> None:
    """It works as before, and its row counts."""
    found = shop(ON_INSERT)
    found.execute(STATEMENTS[name])

    assert found.count() == 1


def test_no_subtransaction_is_used(shop: Open) -> None:
    """An INSERT takes one transaction id: more of them, 64 in one transaction, slow every reader down."""
    found = shop(ON_INSERT)
    with found.store.connect() as session:
        before = session.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
        for number in range(20):
            session.execute(INSERT, [number])
        after = session.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()

    assert before is not None
    assert after is not None
    assert after[0] - before[0] <= 22  # others of this server may take a few


def test_who_may_not_read_the_clusters_identifier(database: Database, store: Store, shop: Open) -> None:
    """Applications write where EXECUTE on pg_control_system() is revoked; who would own our function may not adopt."""
    found, role = shop(ON_INSERT), f"app_{store.one('SELECT current_database()')}"
    store.execute(f'CREATE ROLE {role} LOGIN; GRANT INSERT ON "ScrapeJobs" TO {role}; GRANT platform_writer TO {role}')
    for one in (store, database):
        one.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    with psycopg.connect(store.dsn, user=role, autocommit=True) as session:
        session.execute(INSERT, [1])
        session.execute(
            "INSERT INTO monitoring.api_call (at, app, api, outcome, duration_seconds) "
            "VALUES (now(), 'a', 'x', 'success', 1)"
        )
    database.execute(f"GRANT CREATE ON DATABASE {database.name} TO {role}")
    stranger = psycopg.connect(database.dsn, user=role, autocommit=True)
    with stranger, pytest.raises(DatabaseError) as told:
        schema.apply(stranger)
    database.execute(f"DROP OWNED BY {role}")
    store.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")

    assert f"GRANT EXECUTE ON FUNCTION pg_control_system() TO {role};" in str(told.value)
    assert found.count() == 1


def test_captured_changes_are_emptied_when_counted(shop: Open) -> None:
    """Those of the day before yesterday go, once they are counted; a writer never waits for it."""
    found = shop(ON_INSERT)
    found.execute(NEW)
    slot = "(floor(date_part('epoch', now()) / 86400)::bigint + 1) % 3"
    found.execute(f"UPDATE {found.captured} SET slot = {slot}")
    trim = "SELECT monitoring.trim_captured(number) FROM monitoring.capture"
    uncounted = found.store.one(trim)
    counted = found.count()
    with found.store.connect() as writer, writer.transaction():
        writer.execute(INSERT, [9])
        emptied = found.store.one(trim)
        again = found.store.one(trim)

    assert (uncounted, counted, emptied, again) == (False, 4, True, False)
    assert found.store.one(f"SELECT count(*) FROM {found.captured}") == 1
    assert found.count() == 5


def test_a_forgotten_adoption_says_what_to_do(shop: Open) -> None:
    """Where the triggers were never made nothing is counted, and the problem says so."""
    found = shop(ON_INSERT)
    function = found.captured.replace("captured", "capture")
    found.execute("DELETE FROM monitoring.cursor", f"DROP FUNCTION {function} CASCADE", NEW)

    (problem,) = found.problems()
    assert 'the adoption of public."ScrapeJobs"' in problem
    assert "run `platform-exporter adopt` again" in problem


def test_a_mapping_that_was_changed(shop: Open) -> None:
    """Until adopt is run again the problem says so; then what is new counts as the new mapping says."""
    found = shop(ON_INSERT)
    file = Path(found.source.preset)
    file.write_text(file.read_text().replace(ON_INSERT, FINISHED))
    found.store.plan = mapping.plan(found.source)
    found.execute(NEW)
    (problem,) = found.problems()
    found.adopt()
    found.execute('UPDATE "ScrapeJobs" SET "Status" = \'DONE\' WHERE id < 3')

    assert "says otherwise than at its adoption when a row" in problem
    assert found.count() == 2
    assert found.problems() == ()


def test_a_stream_that_left_its_mapping(shop: Open) -> None:
    """Its triggers are removed by adopt; what it counted stays."""
    found = shop(ON_INSERT)
    found.execute(NEW)
    before, table = found.count(), found.captured
    file = Path(found.source.preset)
    file.write_text(file.read_text().replace("  jobs:", "  others:"))
    found.store.plan = mapping.plan(found.source)
    found.adopt()
    found.store.poll()

    assert before == 4
    assert found.store.execute("SELECT DISTINCT tgname FROM pg_trigger WHERE tgname LIKE 'platform%'") == [
        (f"{found.captured.replace('monitoring.captured', 'platform_capture')}_i",)
    ]
    assert found.store.one("SELECT to_regclass(%s)", [table]) is None


def test_undo_leaves_another_source_of_the_table(shop: Open, database: Database) -> None:
    """Two sources may read one table; --undo of one keeps the other's triggers and counters."""
    found = shop(ON_INSERT)
    other = Shop(found.store, type(found.source)(preset=found.source.preset, name="other"))
    other.adopt()
    with found.store.connect() as connection:
        undone = adopt.undo_steps(connection, other.source.label)
        adopt.carry_out(connection, undone, lambda _: None)
    found.execute(NEW)

    assert poll_until(lambda: found.count() == 4)
    assert found.store.execute("SELECT DISTINCT source FROM monitoring.rollup") == [("shop",)]
    assert found.store.series(COUNT) == {("shop", "nk"): 4}
