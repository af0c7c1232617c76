"""Watched tables: freshness, rows, NULLs and repeated keys are what SQL says, whatever tables and columns are named."""

from collections.abc import Iterator
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

from exporter import queries
from exporter.config.settings import Config, convert
from exporter.errors import ConfigError
from exporter.exposition import collector
from tests.servers import Database
from tests.test_config import STORE, parse

ODD = """odd "name"; drop table %s -- \\\\ 'x' """


@pytest.fixture
def database(store_database: Database) -> Iterator[Database]:
    """Return a database with tables of results: rows of now, of yesterday, and of a week ago."""
    with store_database.connect() as connection:
        connection.execute('CREATE SCHEMA "Shop"')
        for kind in ("timestamptz", "timestamp", "date"):
            connection.execute(
                f"""CREATE TABLE "Shop".in_{kind} AS
                    SELECT (now() AT TIME ZONE 'UTC' - i * interval '6 hours')::{kind} AS at,
                        i % 4 AS url, nullif(i % 3, 0) AS price, 'x' AS title FROM generate_series(0, 30) i""".encode()
            )
        quoted = ODD.replace('"', '""')
        odd = f'CREATE TABLE "Shop"."{quoted}" AS SELECT now() AS "{quoted}", NULL::int AS "b ""q"""'
        connection.execute(odd.encode())
        connection.execute("CREATE TABLE nothing (at timestamptz, price int)")
        connection.execute("SET timezone = 'Asia/Tokyo'")
    yield store_database
    with store_database.connect() as connection:
        connection.execute('DROP SCHEMA "Shop" CASCADE; DROP TABLE nothing')


def config_of(database: Database, *, role: str = "", **watch: Any) -> Config:
    """Return a configuration with one watch, of the superuser or of a role whose password is its name."""
    dsn = make_conninfo(database.dsn, **({"user": role, "password": role} if role else {}))
    config = convert({"database": {"dsn": dsn}, "watches": [{"name": "w", "time": "at", **watch}]})
    assert list(config.watches[0].problems()) == []
    return config


def asked(database: Database, **watch: Any) -> tuple[queries.QueryView, dict[tuple[str, str], float]]:
    """Run a watch once; return what is known of it, and the series by metric and column."""
    (worker,) = queries.workers(config_of(database, **watch))
    (view,) = worker.run_once()
    series = {
        (sample.name.removeprefix("platform_table_"), sample.labels.get("column", "")): sample.value
        for metric in collector.queried([view], view.read_at or 0.0)
        for sample in metric.samples
        if sample.name.startswith("platform_table_")
    }
    return view, series


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp"])
def test_series_equal_sql(database: Database, kind: str) -> None:
    """Of the rows of a day and a half; times without a zone are in UTC, whatever the server's zone."""
    watch = {"table": f'"Shop".in_{kind}', "nulls": ["price", "title"], "keys": ["url", "title"]}
    view, series = asked(database, **watch, window_seconds=129600)
    with database.connect() as connection:
        connection.execute("SET timezone = 'UTC'")
        query = f"""SELECT extract(epoch FROM max(at))::float8, count(*) FILTER (WHERE recent),
            avg((price IS NULL)::int) FILTER (WHERE recent)::float8,
            1 - count(DISTINCT url) FILTER (WHERE recent) / (count(*) FILTER (WHERE recent))::float8
            FROM (SELECT *, at >= now() - interval '36 hours' AS recent FROM "Shop".in_{kind}) x"""
        newest, rows, nulls, repeated = connection.execute(query.encode()).fetchone() or ()

    assert view.problem == ""
    assert rows > 2
    assert series == {
        ("newest_timestamp_seconds", ""): newest, ("rows", ""): rows, ("null_ratio", "price"): pytest.approx(nulls),
        ("null_ratio", "title"): 0, ("duplicate_ratio", ""): pytest.approx(repeated),
    }  # fmt: skip


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/Los_Angeles"])
@pytest.mark.parametrize("newest", [-1, 0, 1])
def test_a_daily_table_is_neither_stale_nor_empty_at_night(database: Database, zone: str, newest: int) -> None:
    """Of dates the last whole days count, of which a day and a half makes two, and a day is as old as its end."""
    with database.connect() as connection:
        connection.execute(f"SET timezone = '{zone}'".encode())
        connection.execute(
            f"""CREATE TABLE "Shop".daily AS SELECT current_date + {newest} - i / 10 AS at, nullif(i % 10, 0) AS price,
                i % 5 AS url FROM generate_series(0, 99) i""".encode()
        )
        midnight, now = connection.execute("SELECT extract(epoch FROM current_date::timestamptz)::float8, "
                                           "extract(epoch FROM now())::float8").fetchone() or ()  # fmt: skip
    watch = {"table": '"Shop".daily', "nulls": ["price"], "keys": ["url"], "time_zone": zone}
    view, series = asked(database, **watch, window_seconds=129600)

    assert view.problem == ""
    assert series.pop(("newest_timestamp_seconds", "")) == (midnight if newest < 0 else pytest.approx(now, abs=600))
    assert series == {("rows", ""): 20, ("null_ratio", "price"): 0.1, ("duplicate_ratio", ""): 0.75}


def test_times_without_a_zone_are_in_the_declared_one(database: Database) -> None:
    """An hour ago in Kathmandu is an hour ago: neither its offset nor the server's zone makes rows newer or older."""
    with database.connect() as connection:
        connection.execute(
            """CREATE TABLE "Shop".local AS SELECT (now() - interval '1 hour') AT TIME ZONE 'Asia/Kathmandu' AS at,
            now() - interval '1 hour' AS aware"""
        )
        (expected,) = connection.execute('SELECT extract(epoch FROM aware)::float8 FROM "Shop".local').fetchone() or ()
    local = {"table": '"Shop".local', "window_seconds": 5400, "time_zone": "Asia/Kathmandu"}

    for column in ("at", "aware"):
        assert asked(database, **local, time=column)[1] == {("newest_timestamp_seconds", ""): expected, ("rows", ""): 1}


def test_the_newest_row_may_be_older_than_the_window(database: Database) -> None:
    """Its age is known, and the window has no rows. A placeholder a year ahead is not a result."""
    with database.connect() as connection:
        connection.execute(
            """CREATE TABLE "Shop".old AS
                SELECT now() + i * interval '1 day' AS at FROM unnest('{-9, -8, 365}'::int[]) i;
            INSERT INTO "Shop".old VALUES ('infinity'), (NULL)"""
        )
        expected = """SELECT extract(epoch FROM max(at))::float8 FROM "Shop".old WHERE at < now()"""
        (newest,) = connection.execute(expected).fetchone() or ()

    assert asked(database, table='"Shop".old', nulls=["at"])[1] == {
        ("newest_timestamp_seconds", ""): newest, ("rows", ""): 0,
    }  # fmt: skip


def test_shares_are_those_that_people_expect(database: Database) -> None:
    """Of ten rows one is 0.1 exactly, which is what a person reads and compares."""
    with database.connect() as connection:
        rows = "SELECT now() AS at, nullif(i, 1) AS price, greatest(i, 2) AS url FROM generate_series(1, 10) i"
        connection.execute(f'CREATE TABLE "Shop".ten AS {rows}'.encode())
    _, series = asked(database, table='"Shop".ten', nulls=["price"], keys=["url"])

    assert (series["null_ratio", "price"], series["duplicate_ratio", ""]) == (0.1, 0.1)


@pytest.mark.parametrize(
    ("made", "table"),
    [("order", "order"), ("SELECT", '"SELECT"'), ("values", "Values"), ("user", "user"), ("user", "Select.User")],
)
def test_a_table_called_as_a_word_of_sql(database: Database, made: str, table: str) -> None:
    """What SQL would take for its own word is a name here; without quotes it is in lower case, as PostgreSQL has it."""
    schema = "select" if "." in table else "public"
    with database.connect() as connection:
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'.encode())
        connection.execute(f'CREATE TABLE "{schema}"."{made}" AS SELECT now() AS at'.encode())
        try:
            view, series = asked(database, table=table)
        finally:
            connection.execute(f'DROP TABLE "{schema}"."{made}"'.encode())

    assert view.problem == ""
    assert series["rows", ""] == 1


def test_views_and_partitions(database: Database) -> None:
    """They are tables like any other: only the partitions of the window are read, and none twice."""
    with database.connect() as connection:
        connection.execute(
            """CREATE TABLE "Shop".parts (at timestamptz, price int) PARTITION BY RANGE (at);
            CREATE INDEX ON "Shop".parts (at);
            CREATE TABLE "Shop".past PARTITION OF "Shop".parts FOR VALUES FROM (MINVALUE) TO ('2001-01-01');
            CREATE TABLE "Shop".present PARTITION OF "Shop".parts FOR VALUES FROM ('2001-01-01') TO (MAXVALUE);
            INSERT INTO "Shop".parts VALUES (now(), 1), (now(), NULL), ('2000-01-01', 1);
            CREATE VIEW "Shop".seen AS SELECT at, nullif(price, 1) AS price FROM "Shop".parts"""
        )
        sql = config_of(database, table='"Shop".parts').watches[0].query.sql
        plan = "\n".join(line for (line,) in connection.execute(f"EXPLAIN (ANALYZE) {sql}".encode()))
    shares = {name: asked(database, table=f'"Shop".{name}', nulls=["price"])[1] for name in ("parts", "seen")}

    assert [shares[name]["null_ratio", "price"] for name in ("parts", "seen")] == [0.5, 1]
    assert [shares[name]["rows", ""] for name in ("parts", "seen")] == [2, 2]
    # The only scans of the past that the plan has are for a window without rows.
    past = [line for line in plan.splitlines() if " past" in line]
    assert all("(never executed)" in line for line in past), plan


@pytest.mark.parametrize("method", ["btree", "brin"])
def test_a_large_table_is_read_by_an_index(database: Database, method: str) -> None:
    """Of 300,000 rows in a year those of a day are read, at most with their neighbours in the same blocks."""
    with database.connect() as connection:
        connection.execute(
            f"""CREATE TABLE "Shop".large AS
                SELECT now() - i * interval '105 seconds' AS at, i % 7 AS url FROM generate_series(300000, 0, -1) i;
            CREATE INDEX ON "Shop".large USING {method} (at); ANALYZE "Shop".large""".encode()
        )
        sql = config_of(database, table='"Shop".large', keys=["url"]).watches[0].query.sql
        plan = "\n".join(line for (line,) in connection.execute(f"EXPLAIN (ANALYZE) {sql}".encode()))
    executed = [line for line in plan.splitlines() if "never executed" not in line]

    assert not any("Seq Scan" in line for line in executed), plan
    assert any("Index" in line for line in executed), plan


def test_a_table_that_takes_long_is_cancelled(database: Database) -> None:
    """Its query ends in time, and says what would make it fast."""
    with database.connect() as connection:
        connection.execute('CREATE VIEW "Shop".slow AS SELECT now() AS at FROM generate_series(1, 9), pg_sleep(60)')
    view, series = asked(database, table='"Shop".slow', timeout_seconds=0.2)

    assert "no result in 0.2 s" in view.problem
    assert "an index that begins with the watch's `time`" in view.problem
    assert series == {}


def test_a_role_without_permission(database: Database) -> None:
    """The problem names the table, and nothing is shown."""
    with database.connect() as connection:
        connection.execute("CREATE ROLE watcher LOGIN PASSWORD 'watcher'")
    try:
        view, series = asked(database, role="watcher", table="nothing")
    finally:
        with database.connect() as connection:
            connection.execute("DROP ROLE watcher")

    assert "permission denied for table nothing" in view.problem
    assert series == {}


def test_an_empty_table_has_no_newest_row(database: Database) -> None:
    """And no share of NULLs: only that there are no rows."""
    view, series = asked(database, table="nothing", nulls=["price"], keys=["price"])

    assert view.problem == ""
    assert series == {("rows", ""): 0}


def test_names_are_quoted(database: Database) -> None:
    """Whatever they contain, they are names and no SQL."""
    table = '"Shop"."' + ODD.replace('"', '""') + '"'
    view, series = asked(database, table=table, time=ODD, nulls=['b "q"', ODD])

    assert view.problem == ""
    assert {key: value for key, value in series.items() if key[0] == "null_ratio"} == {
        ("null_ratio", 'b "q"'): 1, ("null_ratio", ODD): 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("watch", "problem"),
    [
        ({"table": "missing"}, 'relation "missing" does not exist'),
        ({"nulls": ["prize"]}, 'column "prize" does not exist'),
        ({"time": "created"}, 'column "created" does not exist'),
        ({"keys": ["price", "prize"]}, 'column "prize" does not exist'),
        ({"time": "price"}, "operator does not exist: integer < timestamp with time zone"),
    ],
)
def test_what_fails_shows_nothing(database: Database, watch: dict[str, Any], problem: str) -> None:
    """The query is not up and says why; the last values are not shown any more."""
    view, series = asked(database, **{"table": "nothing", **watch})

    assert problem in view.problem
    assert series == {}


NO_TABLE = "for `watches[0].table`: expected a table as PostgreSQL writes it"


@pytest.mark.parametrize(
    ("watches", "problem"),
    [
        ("[{name: w, table: 'a; drop table b', time: t}]", NO_TABLE),
        ("[{name: w, table: a.b.c, time: t}]", NO_TABLE),
        ("[{name: w, table: '\"a', time: t}]", NO_TABLE),
        ("[{name: w, table: a, time: t, nulls: [x, x]}]", "for `watches[0].nulls`: expected each column once"),
        (
            "[{name: w, table: a, time: '\"At\"'}]",
            "invalid value '\"At\"' for `watches[0].time`: expected a column's name without quotes, At",
        ),
        (
            "[{name: w, table: a, time: t, nulls: [x, '\"Y\"']}]",
            "for `watches[0].nulls`: expected a column's name without quotes, Y",
        ),
        (
            "[{name: w, table: a, time: t, keys: ['\"Z\"']}]",
            "for `watches[0].keys`: expected a column's name without quotes, Z",
        ),
        ("[{name: w, table: a}]", "missing key `time` in `watches[0]`"),
        ("[{name: w, table: a, time: t, time_zone: Mars}]", "invalid value 'Mars' for `watches[0].time_zone`"),
        ("[{name: w, table: a, time: t}, {name: w, table: b, time: t}]", "for `watches`: expected one entry per name"),
    ],
)
def test_invalid_watches_are_refused(watches: str, problem: str) -> None:
    """With their place."""
    with pytest.raises(ConfigError) as raised:
        parse(STORE + f"watches: {watches}")

    assert problem in str(raised.value)


def test_a_watch_is_no_query() -> None:
    """One name cannot be both: `platform_exporter_query_up` would have it twice. The message names both lists."""
    query = "queries: [{name: w, sql: SELECT 1 AS v, value: v}]\n"
    with pytest.raises(ConfigError, match="'w' for `watches`: expected a name that no entry of `queries` has"):
        parse(STORE + query + "watches: [{name: w, table: a, time: t}]")
