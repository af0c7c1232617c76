"""Applications' statements: the same before and after `adopt`, and each row counted, by each of the ways to count."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg
import pytest

from tests.servers import Database, fresh_database
from tests.sources.applications import TABLE, Application, Counts, Steps, mapping, outcome
from tools.stack.servers import Postgres

Applications = tuple[Application, Application]
Copies = Callable[[str], Applications]
OLD = "INSERT INTO jobs (name, status) VALUES ('old', 'DONE'), ('old', 'NEW')"
INSERT = "INSERT INTO jobs (name, status) VALUES (%s, %s) RETURNING *"
PARTITIONS = """
CREATE TABLE jobs_new PARTITION OF jobs FOR VALUES IN ('NEW', 'RUNNING');
CREATE TABLE jobs_ended PARTITION OF jobs FOR VALUES IN ('DONE', 'FAILED')"""
LAYOUTS = {
    "table": TABLE.format(table="jobs", key=" PRIMARY KEY", partitioned=""),
    "partitioned": TABLE.format(table="jobs", key="", partitioned=" PARTITION BY LIST (status)") + ";" + PARTITIONS,
}


class Templates:
    """Databases to copy from, by server and layout: one with two old rows, and one of which these were adopted."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._made: dict[tuple[int, str], tuple[str, str]] = {}

    def copies(self, stack: ExitStack, server: Postgres, layout: str, folder: Path) -> Applications:
        """Return a copy of each."""
        if (server.port, layout) not in self._made:
            plain, adopted = (self._new(server, layout) for _ in range(2))
            adopted.adopt()
            self._made[server.port, layout] = (plain.database.name, adopted.database.name)
        first, second = (
            Application(stack.enter_context(fresh_database(server, name)), folder, mapping_of(layout))
            for name in self._made[server.port, layout]
        )
        return first, second

    def _new(self, server: Postgres, layout: str) -> Application:
        database = self._stack.enter_context(fresh_database(server))
        database.execute(f"{LAYOUTS[layout]}; {OLD}")
        return Application(database, self._folder, mapping_of(layout))


def mapping_of(layout: str) -> str:
    """Return the mapping, with a key where the table has none."""
    text = mapping()
    return text.replace('counted_when: "t.s', 'key: [id], counted_when: "t.s') if layout == "partitioned" else text


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Templates]:
    """Return the templates of this module: adopting takes longer than most statements."""
    with ExitStack() as stack:
        yield Templates(tmp_path_factory.mktemp("templates"), stack)


@pytest.fixture
def copies(postgres: Postgres, templates: Templates, tmp_path: Path) -> Iterator[Copies]:
    """Return a function that gives the same application twice, with two old rows each, the second one adopted."""
    with ExitStack() as stack:
        yield lambda layout: templates.copies(stack, postgres, layout, tmp_path)


@pytest.fixture(params=LAYOUTS)
def applications(request: pytest.FixtureRequest, postgres: Postgres, tmp_path: Path) -> Iterator[Applications]:
    """Return the same application twice, with two old rows each, in one table or a partitioned one."""
    with ExitStack() as stack:
        first, second = (
            Application(stack.enter_context(fresh_database(postgres)), tmp_path, mapping_of(request.param))
            for _ in range(2)
        )
        for application in (first, second):
            application.execute(f"{LAYOUTS[request.param]}; {OLD}")
        yield first, second


def check(applications: Applications, case: Callable[[Application], Steps], expected: Counts) -> None:
    """Run a case without and with an adoption in it: it sees the same, and what it did is counted."""
    untouched, adopted = applications
    before = outcome(case(untouched))
    after = outcome(case(adopted), adopted.adopt)

    assert after == before
    assert adopted.counts() == expected


def check_after(applications: Applications, act: Callable[[Application], object], expected: Counts) -> None:
    """Do something without and after an adoption: the same is seen, and it is counted."""
    untouched, adopted = applications
    before = act(untouched)

    assert act(adopted) == before
    assert adopted.counts() == expected


def script(text: str) -> Callable[[Application], object]:
    """Return what runs a script and returns the status and the rows of each statement."""

    def act(app: Application) -> object:
        with app.connect() as session:
            return results(session.execute(text.encode()))

    return act


def counts(
    added: int = 0, ended: int = 0, changed: str = "", removed: int = 0, name: str = "new", old_removed: int = 0
) -> Counts:
    """Return what is counted beside the old rows; `changed` lists the states that rows of any name came to."""
    states = Counter(f"DONE NEW {changed}".split())
    return {
        "added": {"old": 2} | ({name: added} if added else {}),
        "ended": {"DONE": 1 + ended},
        "changed": dict(states),
        **({"removed": ({"old": old_removed} if old_removed else {}) | ({name: removed} if removed else {})}
           if removed or old_removed else {}),
    }  # fmt: skip


# --- running sessions, with statements that were prepared before -------------------------------------------------


def prepared_select(app: Application) -> Steps:
    with app.connect() as session:
        before = session.execute("SELECT * FROM jobs ORDER BY id", prepare=True).fetchall()
        yield
        return before, session.execute("SELECT * FROM jobs ORDER BY id", prepare=True).fetchall()


def prepared_insert(app: Application) -> Steps:
    with app.connect() as session:
        first = session.execute(INSERT, ["new", "NEW"], prepare=True).fetchall()
        yield
        return first, [session.execute(INSERT, ["new", "DONE"], prepare=True).fetchall() for _ in range(3)]


def prepared_in_a_transaction(app: Application) -> Steps:
    """As asyncpg and ActiveRecord do it: a cached plan that changed would end the transaction."""
    with app.connect() as session:
        session.execute(INSERT, ["new", "NEW"], prepare=True)
        session.execute("SELECT * FROM jobs", prepare=True)
        yield
        with session.transaction():
            rows = [session.execute(INSERT, ["new", "NEW"], prepare=True).fetchall()]
            return rows, session.execute("SELECT * FROM jobs ORDER BY id", prepare=True).fetchall()


def named_statements(app: Application) -> Steps:
    """SQL's own PREPARE, as node-pg's named statements."""
    with app.connect() as session:
        session.execute("PREPARE add (text) AS INSERT INTO jobs (name) VALUES ($1) RETURNING *")
        session.execute("PREPARE show AS SELECT * FROM jobs ORDER BY id")
        session.execute("EXECUTE show; EXECUTE add('new')")
        yield
        return session.execute("EXECUTE add('new')").fetchall(), session.execute("EXECUTE show").fetchall()


def row_types(app: Application) -> Steps:
    """Functions that return rows of the table, compiled before."""
    with app.connect() as session:
        session.execute(
            """CREATE FUNCTION add_job() RETURNS SETOF jobs LANGUAGE plpgsql AS $$ DECLARE r jobs%ROWTYPE;
            BEGIN INSERT INTO jobs (name) VALUES ('new') RETURNING * INTO r; RETURN NEXT r; END $$"""
        )
        session.execute("SELECT * FROM add_job()")
        yield
        return session.execute("SELECT add_job(), (SELECT row_to_json(j)::text FROM jobs j LIMIT 1)").fetchall()


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (prepared_select, counts()),
        (prepared_insert, counts(added=4, ended=3, changed="NEW DONE DONE DONE")),
        (prepared_in_a_transaction, counts(added=2, changed="NEW NEW")),
        (named_statements, counts(added=2, changed="NEW NEW")),
        (row_types, counts(added=2, changed="NEW NEW")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_running_sessions(applications: Applications, case: Callable[[Application], Steps], expected: Counts) -> None:
    """What a session prepared before the adoption works after it."""
    check(applications, case, expected)


# --- one statement after the adoption ----------------------------------------------------------------------------

STATEMENTS: dict[str, tuple[str, Counts]] = {
    "insert": ("INSERT INTO jobs (name, status) VALUES ('new', 'NEW'), ('new', 'FAILED') RETURNING *",
               counts(2, changed="NEW FAILED") | {"ended": {"DONE": 1, "FAILED": 1}}),
    "insert without columns": ("INSERT INTO jobs VALUES (7, 'new', 'NEW', 5) RETURNING jobs", counts(1, changed="NEW")),
    "insert of rows": (("INSERT INTO jobs SELECT (r).* FROM (SELECT jsonb_populate_record(NULL::jobs, "
                       "to_jsonb(j) || '{\"id\": 9, \"name\": \"new\"}') AS r FROM jobs j WHERE status = 'NEW') x"),
                       counts(1, changed="NEW")),
    "a copy of all": ("INSERT INTO jobs SELECT id + 10, 'new', status, millis, at FROM jobs",
                      counts(2, 1, changed="NEW DONE")),
    "update": ("UPDATE jobs SET status = 'DONE' WHERE status = 'NEW' RETURNING *", counts(ended=1, changed="DONE")),
    "update of nothing": ("UPDATE jobs SET status = 'DONE' WHERE false RETURNING *", counts()),
    "update of another column": ("UPDATE jobs SET millis = millis + 1 RETURNING millis", counts()),
    "update to the same": ("UPDATE jobs SET status = status RETURNING status", counts()),
    "update back and forth": (("UPDATE jobs SET status = 'RUNNING'; UPDATE jobs SET status = 'DONE';"
                              "UPDATE jobs SET status = 'NEW'; UPDATE jobs SET status = 'DONE'"),
                              counts(ended=1, changed="RUNNING RUNNING DONE DONE NEW NEW DONE DONE")),
    "delete": ("DELETE FROM jobs WHERE status = 'NEW' RETURNING *", counts(old_removed=1)),
    "delete in the same statement": ("WITH gone AS (DELETE FROM jobs RETURNING *) SELECT count(*) FROM gone",
                                     counts(old_removed=2)),
    "insert, update, delete before a poll": (
        ("INSERT INTO jobs (name) VALUES ('new'); UPDATE jobs SET status = 'DONE' WHERE name = 'new';"
        "DELETE FROM jobs WHERE name = 'new'"), counts(1, 1, "NEW DONE", 1)),
    "truncate": ("INSERT INTO jobs (name) VALUES ('new'); TRUNCATE jobs", counts(1, changed="NEW")),
    "truncate and again": ("TRUNCATE jobs RESTART IDENTITY CASCADE; INSERT INTO jobs (name) VALUES ('new') RETURNING *",
                           counts(1, changed="NEW")),
    "into an archive": (("CREATE TABLE archive (LIKE jobs); INSERT INTO archive SELECT * FROM jobs; "
                        "WITH moved AS (DELETE FROM jobs WHERE status = 'DONE' RETURNING *) "
                        "INSERT INTO archive SELECT * FROM moved; SELECT * FROM archive ORDER BY id, status"),
                        counts(old_removed=1)),
    "like": ("CREATE TABLE more (LIKE jobs INCLUDING ALL); INSERT INTO more (name) VALUES ('x') RETURNING *", counts()),
    "with": (("WITH a AS (INSERT INTO jobs (name) VALUES ('new') RETURNING id), "
             "b AS (UPDATE jobs SET status = 'DONE' WHERE status = 'NEW' RETURNING id), "
             "c AS (DELETE FROM jobs WHERE status = 'DONE' RETURNING id) SELECT count(*) FROM a, b, c"),
             counts(1, 1, "NEW DONE", old_removed=1)),
    "merge": (("MERGE INTO jobs j USING (VALUES (1, 'DONE'), (2, 'FAILED'), (50, 'NEW')) v (id, s) ON j.id = v.id "
              "WHEN MATCHED AND v.s = 'DONE' THEN DELETE WHEN MATCHED THEN UPDATE SET status = v.s "
              "WHEN NOT MATCHED THEN INSERT (id, name, status) VALUES (v.id, 'new', v.s)"),
              counts(1, changed="NEW FAILED", old_removed=1) | {"ended": {"DONE": 1, "FAILED": 1}}),
    "through a view": (("CREATE VIEW v AS SELECT id, name, status FROM jobs; "
                       "INSERT INTO v (name) VALUES ('new'); UPDATE v SET status = 'DONE'; DELETE FROM v"),
                       counts(1, 2, "NEW DONE DONE", 1, old_removed=2)),
    "lastval": (("CREATE TABLE other (id serial); INSERT INTO other DEFAULT VALUES; INSERT INTO jobs (name) "
                "VALUES ('new'); SELECT lastval()"), counts(1, changed="NEW")),
    "copy": ("COPY jobs FROM PROGRAM 'printf \"9\\tnew\\tNEW\\t1\\t2026-01-01 00:00Z\\n\"'", counts(1, changed="NEW")),
    "own trigger that skips": (
        ("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF new.millis < 0 THEN RETURN NULL; END IF; "
        "new.status := 'DONE'; RETURN new; END $$; CREATE TRIGGER z BEFORE INSERT ON jobs FOR EACH ROW "
        "EXECUTE FUNCTION f(); INSERT INTO jobs (name, status, millis) VALUES ('new', 'FAILED', -1), "
        "('new', 'FAILED', 1)"), counts(1, 1, "DONE")),
    "savepoints": (("BEGIN; INSERT INTO jobs (name) VALUES ('new'); SAVEPOINT a; "
                   "INSERT INTO jobs (name) VALUES ('no'); "
                   "ROLLBACK TO a; SAVEPOINT b; INSERT INTO jobs (name) VALUES ('new'); RELEASE b; COMMIT"),
                   counts(2, changed="NEW NEW")),
    "rollback": ("BEGIN; INSERT INTO jobs (name) VALUES ('no'); UPDATE jobs SET status = 'FAILED'; ROLLBACK", counts()),
    "read only": ("BEGIN READ ONLY; SELECT * FROM jobs ORDER BY id; COMMIT", counts()),
    "errors": (("DO $$ BEGIN INSERT INTO jobs (name) VALUES (NULL); EXCEPTION WHEN not_null_violation THEN "
               "INSERT INTO jobs (name) VALUES ('new'); END $$"), counts(1, changed="NEW")),
    "alter": ("ALTER TABLE jobs ADD COLUMN note text DEFAULT 'n'; INSERT INTO jobs (name) VALUES ('new') RETURNING *",
              counts(1, changed="NEW")),
    "lock": ("BEGIN; LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE; COMMIT", counts()),
    "settings": (("SET DateStyle = 'German, DMY'; SET IntervalStyle = sql_standard; SET extra_float_digits = -15; "
                 "SET TimeZone = 'Asia/Kolkata'; SET bytea_output = escape; SET plpgsql.extra_errors = 'all'; "
                 "SET search_path = public; SET row_security = off; INSERT INTO jobs (name) VALUES ('new'); "
                 "UPDATE jobs SET status = 'DONE'; DELETE FROM jobs WHERE name = 'new'"),
                 counts(1, 2, "NEW DONE DONE", 1)),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", STATEMENTS)
def test_statements(copies: Copies, layout: str, name: str) -> None:
    """A statement gives the same result, and its rows are counted by each of the ways to count."""
    statement, expected = STATEMENTS[name]
    if (name, layout) == ("merge", "partitioned"):  # whose row moves: to PostgreSQL a deletion and an insertion
        expected = expected | {"added": {"old": 3, "new": 1}, "removed": {"old": 2}}
    check_after(copies(layout), script(statement), expected)


def results(cursor: psycopg.Cursor[tuple[object, ...]]) -> list[tuple[str | None, list[tuple[object, ...]]]]:
    """Return the status and the rows of each statement of a script."""
    found = []
    while True:
        found.append((cursor.statusmessage, cursor.fetchall() if cursor.description else []))
        if not cursor.nextset():
            return found


NO_KEY = 'counted_when: "t.status'
ON_CONFLICT = "INSERT INTO jobs (id, name, status) VALUES (2, 'other', 'DONE'), (50, 'new', 'NEW') ON CONFLICT (id) "
ONE_TABLE: dict[str, tuple[str, Counts]] = {
    "upsert": (f"{ON_CONFLICT} DO UPDATE SET status = excluded.status RETURNING *", counts(1, 1, "NEW DONE")),
    "insert or ignore": (f"{ON_CONFLICT} DO NOTHING RETURNING *", counts(1, changed="NEW")),
    "foreign keys": (
        ("CREATE TABLE owners (id int PRIMARY KEY); INSERT INTO owners VALUES (1); "
        "ALTER TABLE jobs ADD owner int REFERENCES owners ON DELETE CASCADE ON UPDATE CASCADE; "
        "INSERT INTO jobs (name, owner) VALUES ('new', 1), ('new', 1); UPDATE owners SET id = 2; DELETE FROM owners"),
        counts(2, 0, "NEW NEW", 2)),
    "deferred constraints": (
        ("ALTER TABLE jobs ADD parent bigint REFERENCES jobs DEFERRABLE INITIALLY DEFERRED; BEGIN; "
        "INSERT INTO jobs (id, name, parent) VALUES (60, 'new', 61); INSERT INTO jobs (id, name) VALUES (61, 'new'); "
        "COMMIT"), counts(2, changed="NEW NEW")),
    "a rule": (("CREATE RULE r AS ON INSERT TO jobs WHERE new.millis < 0 DO INSTEAD NOTHING; "
               "INSERT INTO jobs (name, millis) VALUES ('new', -1), ('new', 1)"), counts(1, changed="NEW")),
    "generated columns": (
        ("ALTER TABLE jobs ADD double int GENERATED ALWAYS AS (millis * 2) STORED; "
        "INSERT INTO jobs (name) VALUES ('new') RETURNING *"), counts(1, changed="NEW")),
    "row security": (
        ("CREATE POLICY p ON jobs USING (name <> 'hidden'); ALTER TABLE jobs ENABLE ROW LEVEL SECURITY; "
        "INSERT INTO jobs (name) VALUES ('new') RETURNING *"), counts(1, changed="NEW")),
    "a view, a dump's lock, a rename of another": (
        ("CREATE VIEW v AS SELECT * FROM jobs; BEGIN; LOCK TABLE jobs IN ACCESS SHARE MODE; COMMIT; "
        "ALTER TABLE jobs ADD other int; ALTER TABLE jobs RENAME other TO note; ALTER TABLE jobs DROP note"), counts()),
    "type of a column that counts": (
        ("ALTER TABLE jobs ALTER status TYPE varchar(40), ALTER millis TYPE bigint; "
        "INSERT INTO jobs (name) VALUES ('new') RETURNING *"), counts(1, changed="NEW")),
    "recursion": (
        ("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF new.millis < 3 THEN INSERT INTO jobs (name, millis) VALUES ('new', new.millis + 1); END IF; RETURN new; "
        "END $$; CREATE TRIGGER z AFTER INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION f(); "
        "INSERT INTO jobs (name, millis) VALUES ('new', 1)"), counts(3, changed="NEW NEW NEW")),
}  # fmt: skip


@pytest.mark.parametrize("name", ONE_TABLE)
def test_statements_on_one_table(copies: Copies, name: str) -> None:
    """The same, of statements that a partitioned table does not take."""
    statement, expected = ONE_TABLE[name]
    check_after(copies("table"), script(statement), expected)


NEWER: dict[str, tuple[str, Counts]] = {
    "merge with returning": (
        ("MERGE INTO jobs j USING (VALUES (1, 'FAILED'), (50, 'NEW')) v (id, s) ON j.id = v.id "
         "WHEN MATCHED THEN UPDATE SET status = v.s WHEN NOT MATCHED THEN INSERT (id, name) VALUES (v.id, 'new') "
         "WHEN NOT MATCHED BY SOURCE THEN DELETE RETURNING merge_action(), j.*"),
        counts(1, changed="NEW FAILED", old_removed=1)),
    "old and new": (
        "UPDATE jobs SET status = 'DONE' RETURNING old.status, new.status, *", counts(ended=1, changed="DONE")),
    "virtual columns": (
        ("ALTER TABLE jobs ADD double int GENERATED ALWAYS AS (millis * 2) VIRTUAL; "
         "INSERT INTO jobs (name) VALUES ('new') RETURNING *"), counts(1, changed="NEW")),
    "not enforced": (
        ("ALTER TABLE jobs ADD CHECK (millis > 0) NOT ENFORCED; INSERT INTO jobs (name, millis) VALUES ('new', 0)"),
        counts(1, changed="NEW")),
    **{name: STATEMENTS[name] for name in ("update back and forth", "truncate", "with", "merge", "settings")},
    **{name: ONE_TABLE[name] for name in ("upsert", "foreign keys", "recursion")},
}  # fmt: skip


@pytest.mark.parametrize("name", NEWER)
def test_statements_of_the_newest_version(
    newest_postgres: Postgres, templates: Templates, tmp_path: Path, name: str
) -> None:
    """What only a newer PostgreSQL understands, and what may behave otherwise there."""
    statement, expected = NEWER[name]
    with ExitStack() as stack:
        check_after(templates.copies(stack, newest_postgres, "table", tmp_path), script(statement), expected)


COPIED = "9\tnew\tNEW\t1\t2026-01-01 00:00:00+00\n"


def test_copy_without_columns(applications: Applications) -> None:
    """COPY from and to a client, without a list of columns, in one session that copied before."""

    def case(app: Application) -> Steps:
        with app.connect() as session, closing(session.cursor()) as cursor:
            with cursor.copy("COPY jobs FROM STDIN") as copy:
                copy.write(COPIED.replace("9", "8"))
            yield
            with cursor.copy("COPY jobs FROM STDIN") as copy:
                copy.write(COPIED)
            with cursor.copy("COPY (SELECT * FROM jobs ORDER BY id) TO STDOUT") as copy:
                return [bytes(block) for block in copy]

    check(applications, case, counts(2, changed="NEW NEW"))


def test_cursor_open_over_the_adoption(applications: Applications) -> None:
    """A session that reads while the table becomes a source reads on, and its transaction commits."""

    def case(app: Application) -> Steps:
        with app.connect() as session:
            session.execute("BEGIN; DECLARE c CURSOR FOR SELECT * FROM jobs ORDER BY id")
            first = session.execute("FETCH 1 FROM c").fetchall()
            yield
            rest = session.execute("FETCH ALL FROM c").fetchall()
            session.execute("INSERT INTO jobs (name) VALUES ('new')")
            session.execute("COMMIT")
            return first, rest

    check(applications, case, counts(1, changed="NEW"))


def test_serializable_transactions(copies: Copies) -> None:
    """Two serializable transactions that do not concern each other both commit, as before."""

    def act(app: Application) -> None:
        with app.connect() as one, app.connect() as two:
            for session in (one, two):
                session.execute("BEGIN ISOLATION LEVEL SERIALIZABLE")
            for session in (one, two, one, two):
                session.execute("INSERT INTO jobs (name, status) VALUES ('new', 'NEW')")
            for number, session in enumerate((one, two), start=1):
                session.execute("UPDATE jobs SET status = 'DONE' WHERE id = %s", [2 + number])
                session.execute("DELETE FROM jobs WHERE id = %s", [2 + number])
            one.execute("COMMIT")
            two.execute("COMMIT")

    check_after(copies("table"), act, counts(4, 2, "NEW NEW NEW NEW DONE DONE", 2))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_role_that_may_only_write_its_table(copies: Copies, layout: str) -> None:
    """A role without a right on schema monitoring, by its own name, by SET ROLE and in a function of its owner."""

    def act(app: Application) -> object:
        writer = app.role("writer", "USAGE ON SCHEMA public", "INSERT, SELECT, UPDATE, DELETE ON jobs")
        app.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
        app.execute("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")
        with app.connect(user=writer) as session, app.connect() as other:
            other.execute(f"SET ROLE {writer}")
            seen = [each.execute(INSERT, ["new", "NEW"]).fetchall() for each in (session, other)]
            seen += [session.execute("UPDATE jobs SET status = 'DONE' WHERE name = 'new' RETURNING *").fetchall()]
            seen += [session.execute("DELETE FROM jobs WHERE name = 'new' RETURNING *").fetchall()]
            return [[row[1:] for row in sorted(rows)] for rows in seen]

    check_after(copies(layout), act, counts(2, 2, "NEW NEW DONE DONE", 2))


def test_row_security_of_an_owner(copies: Copies) -> None:
    """Rows of tenants that do not see each other, policies that bind the owner too: all are counted."""

    def act(app: Application) -> object:
        app.execute(
            "ALTER TABLE jobs ENABLE ROW LEVEL SECURITY; ALTER TABLE jobs FORCE ROW LEVEL SECURITY;"
            "CREATE POLICY p ON jobs USING (name = current_setting('app.tenant', true))"
        )
        tenant = app.role("tenant", "INSERT, SELECT, UPDATE, DELETE ON jobs")
        with app.connect(user=tenant) as session:
            session.execute("SET app.tenant = 'new'")
            return [
                session.execute(statement).fetchall()
                for statement in (
                    "INSERT INTO jobs (name) VALUES ('new') RETURNING *",
                    "UPDATE jobs SET status = 'DONE' RETURNING *",
                    "DELETE FROM jobs RETURNING *",
                )
            ]

    check_after(copies("table"), act, counts(1, 1, "NEW DONE", 1))


@pytest.mark.parametrize(
    ("schema", "table"),
    [
        ("user", "order"),
        ("public", "ScrapeJobs"),
        ("Größe", "Aufträge"),
        ("public", 'say "hello"'),
        ("a.b", "c.d e"),
        ("public", "127_0_0_1_6800"),
        ("public", "x" * 63),
        ("public", "ä" * 31),
        ("public", "%s $1 {x}"),
        ("public", "o'clock"),
    ],
)
def test_names_that_need_quotes(database: Database, tmp_path: Path, schema: str, table: str) -> None:
    """Schemas and tables of any name are adopted, counted and let go."""
    app = Application(database, tmp_path)
    name = ".".join('"' + part.replace('"', '""') + '"' for part in (schema, table))
    with app.connect() as session:
        session.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'.encode())
        session.execute((TABLE.format(table=name, key=" PRIMARY KEY", partitioned="")).encode())
        app.mapping = mapping(name)
        app.adopt()
        session.execute(f"INSERT INTO {name} (name) VALUES ('new')".encode())
        session.execute(f"UPDATE {name} SET status = 'DONE'".encode())
        session.execute(f"DELETE FROM {name}".encode())

        assert app.counts() == {
            "added": {"new": 1}, "ended": {"DONE": 1}, "changed": {"NEW": 1, "DONE": 1}, "removed": {"new": 1},
        }  # fmt: skip
        app.adopt("--undo")
        session.execute(f"DROP TABLE {name}".encode())


def test_columns_that_need_quotes(database: Database, tmp_path: Path) -> None:
    """Columns of any name and type are captured as they are."""
    app = Application(database, tmp_path)
    app.execute(
        """CREATE TYPE "Mood" AS ENUM ('GOOD', 'it''s "bad"'); CREATE TABLE "T" ("Status" "Mood", "at" timestamptz,
        "select" int[], "a b" jsonb, "größe" numeric, "Größe" bytea, "x""y" interval, "%s" float8, old int, new int)"""
    )
    app.execute('ALTER TABLE "T" DROP COLUMN old')
    app.mapping = """
app: shop
streams:
  added:
    table: public."T"
    kind: scraping_run
    key: [new]
    counted_when: t."Status" = 'it''s "bad"'
    columns:
      at: t.at
      scraper: t."a b"->>'name'
      outcome: CASE WHEN t."select"[2] = 7 AND t."Größe" = '\\x00ff' AND t."x""y" = '1 mon 1 day' THEN 'success' END
      duration_seconds: t."größe" * t."%s"
      items_processed: t.new
"""
    app.adopt()
    with app.connect() as session:
        session.execute("SET bytea_output = escape; SET IntervalStyle = sql_standard; SET extra_float_digits = -15")
        session.execute(
            """INSERT INTO "T" VALUES ('GOOD', '2026-01-01', '{1,7}', '{"name": "new"}', 0.5, '\\x00ff',
            '1 mon 1 day', 0.1234567890123456, 5)"""
        )
        session.execute("""UPDATE "T" SET "Status" = 'it''s "bad"'""")

    assert app.counts() == {"added": {"new": 1}}
    query = "SELECT value, total FROM monitoring.rollup WHERE metric = 'platform_scraping_run_duration_seconds'"
    assert 0.1234567890123456 * 0.5 in app.execute(query)[0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_application_sees_no_other_columns(copies: Copies, layout: str) -> None:
    """What ORMs and migration tools read of a table is as it was: columns, indexes, constraints, rights."""

    def act(app: Application) -> object:
        return [
            app.execute(query)
            for query in (
                "SELECT * FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, "
                "ordinal_position".replace("*", "table_name, column_name, data_type, column_default, is_nullable"),
                "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2",
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'jobs'::regclass ORDER BY 1",
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
                "SELECT relname, relowner, relreplident, relrowsecurity FROM pg_class WHERE oid = 'jobs'::regclass",
                "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1",
                "SELECT oid FROM pg_publication",
            )
        ]

    check_after(copies(layout), act, counts())
