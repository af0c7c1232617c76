"""`adopt` for tables in every state that applications may leave them in."""

import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from exporter.database import schema
from exporter.sources import adopt, mapping
from tests.servers import Database, poll_until
from tests.sources.demo import DemoSource, Series, run

MAPPING = """app: x
streams:
  one:
    table: public.t
    kind: scraping_run
    columns: {at: t.at, scraper: t.s, outcome: "'success'", duration_seconds: t.d}
"""
TABLE = "CREATE TABLE {} (at timestamptz NOT NULL DEFAULT now(), s text, d double precision)"

Adopt = Callable[..., tuple[int, str]]


@pytest.fixture
def call(database: Database, tmp_path: Path) -> Adopt:
    """Return a function that runs `adopt` with a mapping and options; it gives exit status and output."""

    def adopt_table(*options: str, mapping: str = MAPPING, user: str | None = None) -> tuple[int, str]:
        (tmp_path / "m.yml").write_text(mapping)
        dsn = make_conninfo(database.dsn, user=user) if user else database.dsn
        config = tmp_path / "c.yml"
        config.write_text(f"database: {{dsn: '{dsn}'}}\nsources: [{{preset: m.yml}}]\n")
        result = run("adopt", "m.yml", "--config", str(config), *options)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    return adopt_table


def columns(database: Database, table: str = "public.t") -> set[str]:
    """Return the names of a table's columns."""
    query = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
    return {name for (name,) in database.execute(query, [table])}


OWN = {"at", "s", "d"}


def triggers(database: Database, table: str = "public.t") -> int:
    """Return how many triggers a table has."""
    [(found,)] = database.execute("SELECT count(*) FROM pg_trigger WHERE tgrelid = %s::regclass", [table])
    return int(found)


def test_dry_run_runs_nothing(database: Database, call: Adopt) -> None:
    """--dry-run prints SQL and changes neither table nor schema."""
    database.execute(TABLE.format("t"))
    status, output = call("--dry-run")

    assert (status, "SELECT monitoring.capture_table(" in output) == (0, True)
    assert columns(database) == OWN
    assert database.execute("SELECT to_regnamespace('monitoring')::text") == [(None,)]


def test_dry_run_prints_sql_that_works(database: Database, call: Adopt) -> None:
    """A DBA may run the statements of --dry-run; afterwards nothing is left to do."""
    database.execute(TABLE.format("t"))
    script = call("--dry-run")[1]
    database.execute(script)

    assert call("--dry-run") == (0, "")


def test_adopting_twice_does_it_once(database: Database, call: Adopt) -> None:
    """A second adoption finds nothing to do."""
    database.execute(TABLE.format("t"))
    call()

    assert call("--dry-run") == (0, "")
    assert call() == (0, f"m: public.t is a source in {database.name}\n")
    assert (columns(database), triggers(database)) == (OWN, 1)


def test_undo_leaves_the_table_as_it_was(database: Database, call: Adopt) -> None:
    """--undo takes triggers, captured changes and counters away, and may be repeated."""
    database.execute(TABLE.format("t"))
    call()
    assert call("--undo")[0] == 0

    assert columns(database) == OWN
    assert triggers(database) == 0
    for ours in ("capture", "cursor", "rollup", "source"):
        assert database.execute(f"SELECT count(*) FROM monitoring.{ours}") == [(0,)]
    assert database.execute("SELECT relname FROM pg_class WHERE relname ~ '^captured_[0-9]'") == []
    assert database.execute("SELECT proname FROM pg_proc WHERE proname ~ '^capture_[0-9]'") == []
    assert call("--undo")[0] == 0


def test_undo_of_a_source_that_is_not_configured(database: Database, call: Adopt, tmp_path: Path) -> None:
    """One that left the configuration is removed by its name; a name that nothing was counted under is refused."""
    database.execute(TABLE.format("t"))
    call()
    config = tmp_path / "c.yml"
    config.write_text(f"database: {{dsn: '{database.dsn}'}}\n")
    shown = run("adopt", "m", "--config", str(config), "--undo", "--dry-run")
    there = triggers(database)
    done = run("adopt", "m", "--config", str(config), "--undo")
    again = run("adopt", "m", "--config", str(config), "--undo")

    assert ("DROP TRIGGER" in shown.output, there) == (True, 1)
    assert (done.exit_code, triggers(database)) == (0, 0)
    assert database.execute("SELECT count(*) FROM monitoring.rollup") == [(0,)]
    assert again.exit_code == 1


def test_inserts_go_on(database: Database, call: Adopt) -> None:
    """An application that names its columns, and one that does not, insert as before."""
    database.execute(TABLE.format("t"))
    database.execute("INSERT INTO t VALUES (now(), 'before', 1)")
    call()
    database.execute("INSERT INTO t (at, s, d) VALUES (now(), 'named', 1)")
    database.execute("INSERT INTO t VALUES (now(), 'positional', 1)")

    [(number,)] = database.execute("SELECT number FROM monitoring.capture")
    captured = database.execute(f"SELECT n2 FROM monitoring.captured_{number} ORDER BY lsn")
    assert captured == [("named",), ("positional",)]
    assert database.execute("SELECT s FROM t ORDER BY s") == [("before",), ("named",), ("positional",)]


def test_table_is_not_rewritten(database: Database, call: Adopt) -> None:
    """The table keeps its file."""
    database.execute(TABLE.format("t"))
    before = database.execute("SELECT relfilenode FROM pg_class WHERE oid = 't'::regclass")
    call()

    assert database.execute("SELECT relfilenode FROM pg_class WHERE oid = 't'::regclass") == before


def test_long_transaction_is_waited_for_in_short_turns(
    database: Database, call: Adopt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a transaction holds the table, adopt gives up after its tries, and writers never waited longer than one."""
    monkeypatch.setattr(adopt, "TRIES", 2)
    monkeypatch.setattr(adopt, "LOCK_TIMEOUT_MS", 100)
    monkeypatch.setattr(adopt, "PAUSE_SECONDS", 0.01)
    database.execute(TABLE.format("t"))
    with database.connect() as holder, holder.transaction():
        holder.execute("INSERT INTO t (s) VALUES ('long')")
        status, output = call()

    assert status == 1
    assert output.splitlines()[-1].startswith("platform-exporter: no lock after 2 tries of 100 ms for: SELECT ")
    assert "a long transaction holds the table (see pg_stat_activity): run this again when it has ended" in output
    assert columns(database) == OWN
    assert call()[0] == 0


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (MAPPING.replace("public.t", "public.gone"), "table public.gone does not exist in database"),
        (MAPPING.replace("    kind", "    reads: [public.gone]\n    kind"), "table public.gone does not exist"),
        (MAPPING + "states:\n  a: {table: public.gone, kind: open_alerts, columns: {severity: t.a, alert_source: t.b}}",
         "table public.gone does not exist"),
        (MAPPING.replace("t.s,", "t.gone,"), "column t.gone does not exist in database"),
        (MAPPING.replace("t.s,", "t.s )),"), "syntax error at or near"),
        (MAPPING.replace("public.t", "public.v"), "public.v is a view or foreign table: expected the table"),
        (MAPPING.replace("scraping_run", "scraping_ruin"), "`streams.one.kind` is 'scraping_ruin': expected one of"),
        (MAPPING.replace("at: t.at, ", ""), "`streams.one.columns` lacks 'at', which scraping_run requires"),
        (MAPPING.replace("public.t", "t"), 'expected `SCHEMA.TABLE` such as public.jobs or public."ScrapeJobs", got'),
        (MAPPING + MAPPING, "line 7, column 1: key `app` is given twice"),
        (MAPPING + "sample_labels: [le]\n", "`sample_labels[0]`: expected `str` matching regex"),
        ("a: [", "line 1, column 5: "),
    ],
)  # fmt: skip
def test_bad_mapping_changes_nothing(database: Database, call: Adopt, mapping: str, message: str) -> None:
    """What a mapping names and the database lacks is reported in one line, before anything is changed."""
    database.execute(TABLE.format("t"))
    database.execute("CREATE VIEW v AS SELECT * FROM t")
    status, output = call(mapping=mapping)

    assert (status, output.count("\n")) == (1, 1)
    assert message in output
    assert columns(database) == OWN
    assert database.execute("SELECT to_regnamespace('monitoring')::text") == [(None,)]


WHEN = MAPPING.replace("{", "{{").replace("}", "}}") + "    counted_when: {}\n"
KEYED = WHEN + "    key: [s]\n"


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (WHEN.format("t.s = 'R'"), "public.t has no primary key: a row that counts once must be known again"),
        (WHEN.format("t.s = 'R'") + "    key: [nope]\n", "`key` names nope: expected columns of public.t: at, s, d"),
        (KEYED.format("\"'yes'\""), "`counted_when` reads no column of public.t"),
        (KEYED.format("t.d > random()"), "`counted_when` reads random: expected a condition over columns of public.t"),
        (KEYED.format("t.at < now()"), "`counted_when` reads now: expected a condition"),
        (KEYED.format("t.at < CURRENT_TIMESTAMP"), "`counted_when` reads CURRENT_TIMESTAMP: expected a condition"),
        (KEYED.format("EXISTS (SELECT FROM public.u WHERE u.s = t.s)"), "`counted_when` reads public.u: expected"),
        (KEYED.format("t.d > 3) OR (true"), 'syntax error at or near ")"'),
        (KEYED.format("''"), "`streams.one.counted_when`: expected `str` matching regex"),
        (MAPPING + "    where: t.d > 3) OR (true\n", 'stream one.where: syntax error at or near ")"'),
        (MAPPING.replace("t.s,", "'t.s), (t.s',"), "stream one.columns.scraper: syntax error at or near"),
    ],
)
def test_preview_refuses_what_adopt_refuses(
    database: Database, call: Adopt, tmp_path: Path, mapping: str, message: str
) -> None:
    """With the same words, and neither changes anything."""
    database.execute(f"{TABLE.format('t')}; {TABLE.format('u')}")
    status, output = call(mapping=mapping)
    result = run("preview", "m.yml", "--config", str(tmp_path / "c.yml"))

    assert (status, result.exit_code) == (1, 1)
    assert message in output
    assert result.output == output


def test_words_in_a_text_are_no_functions(database: Database, call: Adopt) -> None:
    """A condition may compare with any text."""
    database.execute(TABLE.format("t"))

    assert call(mapping=KEYED.format("t.s <> 'now() random() it''s CURRENT_DATE'"))[0] == 0


@pytest.fixture
def stranger(database: Database) -> str:
    """Return a role that may sign in and nothing else."""
    name = f"stranger_{database.name}"
    database.execute(f"CREATE ROLE {name} LOGIN")
    return name


@pytest.mark.parametrize(
    ("prepare", "grant"),
    [
        ("SELECT 1", "GRANT SELECT ON public.t TO {user};"),
        ("CREATE SCHEMA closed; ALTER TABLE t SET SCHEMA closed", "GRANT USAGE ON SCHEMA closed TO"),
        ("GRANT SELECT ON t TO {user}", "GRANT CREATE ON DATABASE"),
    ],
)
def test_missing_right_is_told_with_its_grant(
    database: Database, call: Adopt, stranger: str, prepare: str, grant: str
) -> None:
    """Whatever right is missing, one line says which GRANT gives it."""
    database.execute(TABLE.format("t"))
    database.execute(prepare.format(user=stranger))
    mapping = MAPPING.replace("public.t", "closed.t") if "closed" in prepare else MAPPING
    status, output = call(mapping=mapping, user=stranger)

    assert status == 1
    assert grant.format(user=stranger) in output.splitlines()[-1]
    database.execute(f"DROP OWNED BY {stranger}; DROP ROLE {stranger}")


def test_undo_and_export_tell_the_grant(database: Database, call: Adopt, stranger: str, tmp_path: Path) -> None:
    """Who may do neither learns how to, in one line each."""
    database.execute(TABLE.format("t"))
    call()
    status, output = call("--undo", user=stranger)
    exported = run("export", "scraping_run", "--config", str(tmp_path / "c.yml"))

    assert (status, exported.exit_code) == (1, 1)
    assert f"TO {stranger};" in output.splitlines()[-1]
    assert f"GRANT SELECT ON public.t TO {stranger};" in exported.output
    database.execute(f"DROP OWNED BY {stranger}; DROP ROLE {stranger}")


def test_source_taken_out_of_the_configuration(database: Database, call: Adopt, tmp_path: Path) -> None:
    """Its triggers are still there: `doctor` says how they go."""
    database.execute(TABLE.format("t"))
    call()
    other = f"database: {{dsn: '{database.dsn}'}}\nsources: [{{preset: m.yml, name: other}}]\n"
    (tmp_path / "c.yml").write_text(other)
    result = run("doctor", "--config", str(tmp_path / "c.yml"))

    assert "source m is no longer configured, but its tables still have our triggers" in result.output
    assert "run `platform-exporter adopt m --undo`" in result.output


def test_missing_ownership_is_told_with_its_grant(database: Database, call: Adopt, stranger: str) -> None:
    """Only a table's owner may alter it: the line names the role to be granted."""
    database.execute(TABLE.format("t"))
    call()
    call("--undo")
    database.execute(f"GRANT SELECT ON t TO {stranger}; GRANT platform_exporter TO {stranger}")
    status, output = call(user=stranger)

    assert status == 1
    assert "run adopt with the DSN of the tables' owner, or: GRANT postgres TO" in output
    database.execute(f"DROP OWNED BY {stranger}; DROP ROLE {stranger}")


@pytest.mark.parametrize(
    "name",
    [
        "order",
        "user",
        "MixedCase",
        "t$1",
        "l" * 63,
        '"ScrapeJobs"',
        '"127_0_0_1_6800"',
        "aufträge",
        '"a ""b"" 100% .c"',
    ],
)
def test_names_that_need_care(database: Database, call: Adopt, name: str) -> None:
    """Key words, capitals and names as long as they may be are adopted, and nothing is left to do."""
    database.execute(TABLE.format(f"public.{name}"))
    mapping = MAPPING.replace("public.t", f"public.{name}")

    assert call(mapping=mapping)[0] == 0
    assert call("--dry-run", mapping=mapping) == (0, "")


def test_two_streams_of_one_table(database: Database, call: Adopt) -> None:
    """A table may hold two kinds of events: each is captured on its own."""
    database.execute(TABLE.format("t"))
    mapping = MAPPING + MAPPING.split("streams:\n")[1].replace("one:", "two:")

    assert call(mapping=mapping)[0] == 0
    assert call("--dry-run", mapping=mapping) == (0, "")


def test_read_only_database_is_told(database: Database, call: Adopt) -> None:
    """A database that accepts no writes is one line, no traceback."""
    database.execute(TABLE.format("t"))
    database.execute(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    status, output = call()

    assert status == 1
    assert "in a read-only transaction" in output.splitlines()[-1]


def test_adoption_under_concurrent_inserts_loses_nothing(database: Database, call: Adopt, tmp_path: Path) -> None:
    """Rows that four writers commit before, during and after the adoption are counted once each."""
    database.execute(TABLE.format("t"))
    stop, written = threading.Event(), [0] * 4

    def write(index: int) -> None:
        with database.connect() as connection:
            while not stop.is_set():
                with connection.transaction(force_rollback=written[index] % 5 == 4):
                    connection.execute("INSERT INTO t (s, d) VALUES ('w', 1)")
                written[index] += 1

    writers = [threading.Thread(target=write, args=(index,)) for index in range(4)]
    for writer in writers:
        writer.start()
    try:
        poll_until(lambda: min(written) > 20)
        assert call()[0] == 0
        source = DemoSource(database, "m.yml", tmp_path)
        source.path.write_text(f"database: {{dsn: '{database.dsn}'}}\nsources: [{{preset: m.yml}}]\n")
        for _ in range(5):
            source.poll()
        reached = [count + 20 for count in written]
        poll_until(lambda: all(now > then for now, then in zip(written, reached, strict=True)))
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    counted = source.poll()["platform_scraping_runs_total"]

    assert list(counted.values()) == [float(database.execute("SELECT count(*) FROM t")[0][0])]


def test_rows_that_live_for_a_moment(database: Database, call: Adopt, tmp_path: Path) -> None:
    """From some row on all count, though each is deleted at once: none falls between the snapshot and the triggers."""
    database.execute(TABLE.format("t"))
    stop, written = threading.Event(), [0]

    def write() -> None:
        with database.connect() as connection:
            while not stop.is_set():
                connection.execute("INSERT INTO t (s, d) VALUES (%s, 1)", [str(written[0])])
                written[0] += 1
                connection.execute("DELETE FROM t WHERE s = %s", [str(written[0] - 3)])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        poll_until(lambda: written[0] > 20)
        assert call()[0] == 0
        reached = written[0]
        poll_until(lambda: written[0] > reached + 5)
    finally:
        stop.set()
        writer.join()
    runs = polled(database, tmp_path)["platform_scraping_runs_total"]
    counted = sorted(int(dict(labels)["scraper"]) for labels in runs)

    assert len(counted) > 5
    assert counted == list(range(counted[0], written[0]))


def test_native_is_no_preset_to_adopt(call: Adopt, tmp_path: Path) -> None:
    """The event store itself is applied, not adopted."""
    (tmp_path / "n.yml").write_text("database: {dsn: 'host=h'}\n")
    result = run("adopt", "native", "--config", str(tmp_path / "n.yml"))

    assert result.exit_code == 2
    assert "run `schema apply` instead of `adopt`" in result.output


def test_unconfigured_preset_is_told(tmp_path: Path) -> None:
    """A preset without an entry in `sources` is an error that says what to add."""
    (tmp_path / "n.yml").write_text("database: {dsn: 'host=h'}\n")
    result = run("adopt", "scitex", "--config", str(tmp_path / "n.yml"))

    assert result.exit_code == 2
    assert "no entry of `sources` has the preset 'scitex'; add `- preset: scitex`" in result.output


def test_unknown_preset_lists_those_there_are(tmp_path: Path) -> None:
    """A preset that does not ship is an error that names those that do."""
    (tmp_path / "n.yml").write_text("database: {dsn: 'host=h'}\n")
    result = run("adopt", "scitexx", "--config", str(tmp_path / "n.yml"))

    assert result.exit_code == 1
    known = ", ".join(["native", *mapping.presets()])
    assert f"unknown preset `scitexx`: expected {known}, or the path of a .yml file" in result.output


def test_connection_that_breaks_is_one_line(database: Database, call: Adopt, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that stops in the middle is reported as such."""
    database.execute(TABLE.format("t"))

    def die(connection: psycopg.Connection, *arguments: object) -> None:
        database.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
        connection.execute("SELECT 1")

    monkeypatch.setattr(adopt, "carry_out", die)
    status, output = call()

    assert status == 1
    assert output.splitlines()[1:] == [
        "platform-exporter: PostgreSQL: terminating connection due to administrator command"
    ]


PARTITIONED = """CREATE TABLE t (at timestamptz DEFAULT now(), s text, d double precision) PARTITION BY LIST (s);
CREATE TABLE a PARTITION OF t FOR VALUES IN ('a'); CREATE TABLE b PARTITION OF t DEFAULT"""
PLAIN = TABLE.format("t")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (PARTITIONED, "public.t has 2 partitions: each gets the triggers, also later ones"),
        (PLAIN + "; CREATE TRIGGER theirs BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION "
         "suppress_redundant_updates_trigger()", "public.t has triggers (theirs): they work as before"),
        (PLAIN + "; CREATE RULE r AS ON INSERT TO t WHERE NEW.d < 0 DO INSTEAD NOTHING", "public.t has rules (r)"),
        (PLAIN + "; ALTER TABLE t ENABLE ROW LEVEL SECURITY", "public.t has row-level security: every change"),
        (PLAIN + "; DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET temp_file_limit = 9000', current_database()); "
         "END $$", "temp_file_limit is set (9000"),
    ],
    ids=["partitions", "triggers", "rules", "policies", "temporary files"],
)  # fmt: skip
def test_what_was_found_is_said(database: Database, call: Adopt, table: str, said: str) -> None:
    """Whatever may matter of a table is said before it is adopted, and again at --dry-run; --undo takes all back."""
    database.execute(table)
    dry, adopted, undone = call("--dry-run"), call(), call("--undo")

    assert (dry[0], adopted[0], undone[0]) == (0, 0, 0)
    assert f"-- {said}" in dry[1]
    assert said in adopted[1]
    [(ours,)] = database.execute("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'platform%'")
    assert ours == 0


def test_a_schema_of_our_name_is_refused(database: Database, call: Adopt) -> None:
    """An application's own schema `monitoring` stays as it is where a table in it has a name of ours."""
    database.execute(f"{PLAIN}; CREATE SCHEMA monitoring; CREATE TABLE monitoring.source (id int)")
    status, output = call()
    made = database.execute("SELECT relname FROM pg_class WHERE relnamespace = 'monitoring'::regnamespace")
    database.execute("ALTER TABLE monitoring.source RENAME TO sources")

    assert (status, made) == (1, [("source",)])
    assert "is not ours and has tables of our names (source)" in output
    assert call()[0] == 0


def test_a_publication_of_all_tables_is_refused(database: Database, call: Adopt) -> None:
    """Its subscribers would stop at tables that they lack; who made them there may go on."""
    database.execute(PLAIN)
    database.execute("SET client_min_messages = error; CREATE PUBLICATION everything FOR ALL TABLES")
    refused, allowed = call(), call("--allow-publications")

    assert refused[0] == 1
    assert "publication everything sends every new table to its subscribers" in refused[1]
    assert "add --allow-publications" in refused[1]
    assert allowed[0] == 0
    database.execute("DROP PUBLICATION everything")


def test_a_table_that_a_subscription_writes_is_refused(database: Database, call: Adopt) -> None:
    """Triggers do not see what replication writes: the table is to be adopted where it is published."""
    database.execute(PLAIN)
    database.execute("CREATE SUBSCRIPTION s CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false)")
    database.execute(
        "INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate) "
        "SELECT oid, 't'::regclass, 'r' FROM pg_subscription WHERE subname = 's'"
    )
    status, output = call()
    database.execute("ALTER SUBSCRIPTION s SET (slot_name = NONE)")
    database.execute("DROP SUBSCRIPTION s")

    assert status == 1
    assert "a subscription writes public.t" in output


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("counted_when: t.s = 'done'", "public.t has no primary key: a row that counts once must be known again"),
        ("counted_when: now() > '2020-01-01'\n    key: [s]", "`counted_when` reads now: expected a condition"),
        ("counted_when: t.gone > 1\n    key: [s]", "column t.gone does not exist"),
        ("where: t.ctid IS NOT NULL", "column t.ctid does not exist"),
        ("counted_when: t.s = 'done'\n    key: [gone]", "`key` names gone: expected columns of public.t: at, s, d"),
    ],
)
def test_what_cannot_be_counted_is_refused(database: Database, call: Adopt, lines: str, said: str) -> None:
    """One line says what is missing, and nothing is changed."""
    database.execute(PLAIN)
    status, output = call(mapping=MAPPING + f"    {lines}\n")

    assert (status, output.count("\n")) == (1, 1)
    assert said in output
    assert database.execute("SELECT to_regnamespace('monitoring')::text") == [(None,)]


def test_a_list_of_presets() -> None:
    """Each with what it is for, one a line; no configuration is needed."""
    result = run("adopt", "--list")

    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines()] == mapping.presets()
    assert all(len(line.split()) > 3 for line in result.output.splitlines())


def test_existing_rows_are_counted_by_adopt_itself(database: Database, call: Adopt, tmp_path: Path) -> None:
    """Rows that are deleted before the exporter is started count as well."""
    database.execute(PLAIN)
    database.execute("INSERT INTO t (s, d) VALUES ('a', 1), ('a', 1), ('a', -1)")
    _, output = call()
    database.execute("INSERT INTO t (s, d) VALUES ('a', 1)")
    database.execute("DELETE FROM t")

    assert "count what public.t holds: 3 rows, 1 rejected" in output
    assert list(polled(database, tmp_path)["platform_scraping_runs_total"].values()) == [3]


def test_tables_that_an_earlier_version_adopted(database: Database, call: Adopt, tmp_path: Path) -> None:
    """What its columns say is not counted counts once; then the columns go, and the counters stay."""
    database.execute(PLAIN)
    with database.connect() as connection:
        connection.execute(schema.counting_sql().encode())
    database.execute("INSERT INTO t (s, d) VALUES ('older', 1)")
    database.execute(
        "ALTER TABLE t ADD platform_cluster bigint, ADD platform_tx xid8 DEFAULT pg_current_xact_id(), "
        "ALTER platform_cluster SET DEFAULT monitoring.cluster_id()"
    )
    database.execute("INSERT INTO t (s, d) VALUES ('a', 1), ('a', 1)")
    database.execute(
        "INSERT INTO monitoring.cursor SELECT 'm', 'one', 'public.t', monitoring.cluster_id(), "
        "pg_current_snapshot(), now()"
    )
    database.execute("INSERT INTO t (s, d) VALUES ('b', 1)")
    assert call()[0] == 0
    database.execute("INSERT INTO t (s, d) VALUES ('c', 1)")
    counted = polled(database, tmp_path)["platform_scraping_runs_total"]

    assert {dict(labels)["scraper"]: value for labels, value in counted.items()} == {"b": 1, "c": 1}
    assert columns(database) == OWN
    assert call("--dry-run") == (0, "")


def polled(database: Database, folder: Path) -> Series:
    """Count what is new of the table that `call` adopted, without a limit of series."""
    source = DemoSource(database, "m.yml", folder)
    source.path.write_text(
        f"database: {{dsn: '{database.dsn}'}}\nsources: [{{preset: m.yml}}]\nlimits: {{series_per_metric: 100000}}\n"
    )
    return source.poll()
