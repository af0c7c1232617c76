"""Gauges from SQL of the configuration, against a real database."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_classic

from exporter import queries
from exporter.config import loader
from exporter.config.settings import Config, convert
from exporter.errors import ConfigError, UnreachableError
from exporter.exposition import collector
from exporter.exposition import queries as exposed
from exporter.exposition.labels import added_labels
from exporter.exposition.negotiation import Format
from tests.servers import Database, poll_until
from tools.stack.servers import Postgres

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]

DOCUMENT = Path(__file__).parents[1] / "docs/queries.md"

STATE = "platform_exporter_query"


def config_of(dsn: str, *given: dict[str, Any], **more: Any) -> Config:
    """Return a configuration of these queries; each is called `q` and has the value `v` unless it says otherwise."""
    tree = [{"name": "q", **({} if "values" in one else {"value": "v"}), **one} for one in given]
    config = convert({"database": {"dsn": dsn}, "queries": tree, **more})
    for section in config.queries:
        assert list(section.problems()) == []
    exposed.check(config)
    return config


def worker_of(dsn: str, *given: dict[str, Any], **more: Any) -> queries.QueryWorker:
    """Return the worker of such queries of one database, not started."""
    (worker,) = queries.workers(config_of(dsn, *given, **more))
    return worker


def run(database: Database, **query: Any) -> queries.QueryView:
    """Run one query once."""
    worker = worker_of(database.dsn, query)
    try:
        worker.run(worker.work[1][0])
        return worker.views["q"]
    finally:
        worker._disconnect()


@contextmanager
def running(worker: queries.QueryWorker) -> Iterator[queries.QueryWorker]:
    """Let a worker's thread run inside the `with`."""
    worker.start()
    try:
        yield worker
    finally:
        worker.stop()


def expose(
    view: queries.QueryView, config: Config | None = None, accept: str = "application/openmetrics-text"
) -> Series:
    """Return the series of a view as a strict parser reads them."""
    form = Format(accept)
    added = added_labels(config or convert({"database": {"dsn": "x"}}))
    body = form.join([form.encode(collector.queried([view], time.monotonic(), added))]).decode()
    families = (parse_openmetrics if form.openmetrics else parse_classic)(body)
    samples = [sample for family in families for sample in family.samples]
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}


@pytest.mark.parametrize("accept", ["application/openmetrics-text", "text/plain"])
def test_several_values_and_labels(database: Database, accept: str) -> None:
    """Each value is a metric with labels from columns; a label that is NULL is missing, other columns are ignored."""
    view = run(
        database,
        name="q", values={"n": "How many.", "sum": "Their sum."}, labels=["status", "paid"],
        sql="SELECT * FROM (VALUES ('new', true, 2::bigint, 1.5::numeric, 'x'), (NULL, false, -1, 0.25, 'x')) "
            "AS t(status, paid, n, sum, other);",
    )  # fmt: skip
    found = {key: value for key, value in expose(view, accept=accept).items() if not key[0].startswith(STATE)}

    assert (view.problem, view.is_up(time.monotonic())) == ("", True)
    assert found == {
        ("q_n", (("paid", "true"), ("status", "new"))): 2, ("q_n", (("paid", "false"),)): -1,
        ("q_sum", (("paid", "true"), ("status", "new"))): 1.5, ("q_sum", (("paid", "false"),)): 0.25,
    }  # fmt: skip


def test_one_value_has_the_name_of_the_query(database: Database) -> None:
    """A query of one value is one metric of its name; how the query is stands beside it."""
    found = expose(run(database, sql="SELECT 7 AS v", help="Seven."))

    assert found["q", ()] == 7
    assert found[f"{STATE}_up", (("query", "q"),)] == 1
    assert found[f"{STATE}_age_seconds", (("query", "q"),)] >= 0


def test_labels_of_the_installation(database: Database) -> None:
    """The labels of the configuration stand at the values, not at how the query is."""
    config = config_of(database.dsn, {"sql": "SELECT 7 AS v"}, labels={"environment": "prod"})
    found = expose(run(database, sql="SELECT 7 AS v"), config)

    assert ("q", (("environment", "prod"),)) in found
    assert (f"{STATE}_up", (("query", "q"),)) in found


@pytest.mark.parametrize(
    ("sql", "problem", "shown"),
    [
        ("SELECT 'a' AS label, NULL::float AS v", "v is NULL: expected a number (rows left out: 1)", {}),
        ("VALUES ('a', 'b') ", "no column v, label: expected it among those of the result (column1, column2)", None),
        ("SELECT 'a' AS label, '7' AS v", "v is of a type that is read as str: expected a number", {}),
        ("SELECT 'a' AS label, now() AS v", "v is of a type that is read as datetime: expected a number", {}),
        ("SELECT * FROM (VALUES ('a', 1), ('a', 2), ('b', NULL)) t(label, v)",
         "several rows have the same labels (label): expected one (rows left out: 1); v is NULL", {("a",): 1.0}),
        ("SELECT 'a' AS label, 1e400::numeric AS v", "v is beyond what a float holds: expected", {}),
        ("SELECT g::text AS label, g AS v FROM generate_series(1, 1001) g", "more than 500 rows", None),
        ("SELECT 1 AS v, pg_sleep(60)::text AS label", "no result in 0.2 s: expected one within", None),
        ("CREATE TABLE x ()", "syntax error", None),
        ("INSERT INTO kept VALUES (1) RETURNING n AS v, '' AS label", "syntax error", None),
        ("WITH gone AS (DELETE FROM kept RETURNING n) SELECT n AS v, '' AS label FROM gone", "data-modifying", None),
        ("SELECT 1 AS v, '' AS label; DELETE FROM kept", "cannot insert multiple commands", None),
        ("SELECT 1 AS v, '' AS label; COMMIT; DELETE FROM kept", "cannot insert multiple commands", None),
        ("SELECT n AS v, '' AS label FROM removes()", "read-only transaction", None),
        ("SELECT 1/0 AS v, '' AS label", "division by zero", None),
        ("SELECT 100 % 7 AS v, '%s' AS label", "", {("%s",): 2.0}),
    ],
)  # fmt: skip
def test_results(database: Database, sql: str, problem: str, shown: dict[tuple[str, ...], float] | None) -> None:
    """What cannot be shown is left out, with its reason; nothing is written; nothing takes longer than it may."""
    database.execute("CREATE TABLE kept AS SELECT 1 AS n")
    database.execute("CREATE FUNCTION removes() RETURNS SETOF kept LANGUAGE sql AS 'DELETE FROM kept RETURNING *'")
    view = run(database, sql=sql, labels=["label"], timeout_seconds=0.2 if "sleep" in sql else 30)

    assert problem in view.problem
    assert (view.problem == "") == (problem == "")
    assert view.values.get("v") == shown
    assert view.is_up(time.monotonic()) == (problem == "")
    assert view.duration_seconds > (0.19 if "sleep" in sql else 0)
    assert database.execute("SELECT count(*) FROM kept") == [(1,)]


def test_tables_are_found_as_the_role_finds_them(database: Database) -> None:
    """The search path is the role's own, so that a query means what it means in psql."""
    database.execute("CREATE SCHEMA shop")
    database.execute("CREATE TABLE shop.orders AS SELECT 3 AS n")
    database.execute(f"ALTER DATABASE {database.name} SET search_path = shop")

    assert run(database, sql="SELECT n AS v FROM orders").values == {"v": {(): 3.0}}


def test_last_values_stay_with_their_age(database: Database) -> None:
    """After a failure the last values are shown, older each time, and the query is not up."""
    database.execute("CREATE TABLE orders AS SELECT 3 AS n")
    worker = worker_of(database.dsn, {"sql": "SELECT n AS v FROM orders"})
    (query,) = worker.work[1]
    worker.run(query)
    database.execute("DROP TABLE orders")
    worker.run(query)
    view = worker.views["q"]
    worker._disconnect()

    assert 'relation "orders" does not exist' in view.problem
    assert expose(view)["q", ()] == 3
    assert expose(view)[f"{STATE}_up", (("query", "q"),)] == 0
    assert view.age_seconds(time.monotonic() + 100) > 100  # type: ignore[operator]


def test_never_run() -> None:
    """A query that never gave values has an infinite age, which alerts, and no series."""
    view = worker_of("postgresql://nobody@127.0.0.1:1/none", {"sql": "SELECT 1 AS v"}).views["q"]
    found = expose(view)

    assert found[f"{STATE}_age_seconds", (("query", "q"),)] == float("inf")
    assert found[f"{STATE}_up", (("query", "q"),)] == 0
    assert not [key for key in found if key[0] == "q"]


def test_thread_runs_each_at_its_interval(database: Database) -> None:
    """A query that fails is not an obstacle for the others, and each is run again and again."""
    database.execute("CREATE SEQUENCE runs")
    given = (
        {"name": "bad", "sql": "SELECT 1/0 AS v", "interval_seconds": 1},
        {"name": "often", "sql": "SELECT extract(epoch FROM clock_timestamp()) AS v", "interval_seconds": 1},
    )
    with running(worker_of(database.dsn, *given)) as worker:
        first = poll_until(lambda: worker.views["often"].values)
        poll_until(lambda: worker.views["often"].values != first)

        assert "division by zero" in worker.views["bad"].problem


def test_server_that_goes_away(database: Database, start_postgres: Callable[..., Postgres]) -> None:
    """While the server is away its queries are not up; then they go on by themselves."""
    server = start_postgres()
    with running(worker_of(server.dsn_of("postgres"), {"sql": "SELECT 1 AS v", "interval_seconds": 1})) as worker:
        poll_until(lambda: worker.views["q"].is_up(time.monotonic()))
        server.stop()
        problem = poll_until(lambda: worker.views["q"].problem)
        server.start()
        poll_until(lambda: worker.views["q"].is_up(time.monotonic()))

    assert "connection" in problem


BREAKS = "SELECT pg_terminate_backend(pg_backend_pid())::text AS x, 1 AS v"


def test_query_that_breaks_its_connection(database: Database) -> None:
    """It alone is not up, says why, and waits its own interval; the others go on with a new connection."""
    given = (
        {"name": "breaks", "sql": BREAKS, "interval_seconds": 300},
        {"name": "often", "sql": "SELECT extract(epoch FROM clock_timestamp()) AS v", "interval_seconds": 1},
    )
    with running(worker_of(database.dsn, *given)) as worker:
        first = poll_until(lambda: worker.views["often"].values)
        poll_until(lambda: worker.views["often"].values != first)

        assert worker.views["often"].is_up(time.monotonic())
        assert worker.views["breaks"].problem.startswith("the connection broke while this query ran: ")


def test_a_connection_that_broke_between_queries_is_no_querys_problem(database: Database) -> None:
    """As where a pooler or an administrator ends idle sessions: the next query runs on a new one."""
    worker = worker_of(database.dsn, {"sql": "SELECT pg_backend_pid() AS v"})
    (query,) = worker.work[1]
    worker.run(query)
    (first,) = worker.views["q"].values["v"].values()
    database.execute(f"SELECT pg_terminate_backend({first:.0f}, 30000)")
    worker.run(query)
    view = worker.views["q"]
    worker._disconnect()

    assert view.problem == ""
    assert view.values["v"][()] != first


def test_the_culprit_can_be_found_while_the_server_is_away(start_postgres: Callable[..., Postgres]) -> None:
    """A backend that crashes may take the server with it: the others wait for it, the culprit for its own time."""
    server = start_postgres()
    given = (
        {"name": "breaks", "sql": BREAKS, "interval_seconds": 300},
        {"name": "often", "sql": "SELECT 1 AS v", "interval_seconds": 1},
    )
    with running(worker_of(server.dsn_of("postgres"), *given)) as worker:
        poll_until(lambda: worker.views["often"].is_up(time.monotonic()))
        server.stop()
        poll_until(lambda: worker.views["often"].problem.startswith("no connection to "))
        server.start()
        poll_until(lambda: worker.views["often"].is_up(time.monotonic()))

        assert worker.views["breaks"].problem.startswith("the connection broke while this query ran: ")


def test_labels_that_are_the_same_because_they_were_cut(database: Database) -> None:
    """The problem says that they were, and at what length."""
    view = run(database, sql="SELECT repeat('x', 200) || g AS label, g AS v FROM generate_series(1, 400) g",
               labels=["label"])  # fmt: skip

    assert view.problem == (
        "several rows have the same labels (label, cut at 200 characters): expected one (rows left out: 399)"
    )
    assert "200 characters" in DOCUMENT.read_text(encoding="utf-8")


def test_bytes_that_are_no_text(postgres: Postgres) -> None:
    """In SQL_ASCII any byte may stand: its row is left out, the others are shown."""
    name = "queries_sql_ascii"
    with postgres.connect() as connection:
        connection.execute(
            f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        )
    worker = worker_of(postgres.dsn_of(name), {
        "labels": ["label"],
        "sql": "SELECT convert_from(b, 'SQL_ASCII') AS label, 1 AS v, 2 AS größe, 'ü' AS other "
               r"FROM (VALUES ('\xff'::bytea), ('\xc3a4'), ('plain')) t(b)",
    })  # fmt: skip
    try:
        (view,) = worker.run_once()
    finally:
        with postgres.connect() as connection:
            connection.execute(f"DROP DATABASE {name}")

    assert view.values == {"v": {("ä",): 1.0, ("plain",): 1.0}}
    assert view.problem == "label is of bytes that are not UTF-8: expected text (rows left out: 1)"


def test_frozen_server_is_not_up() -> None:
    """A run that hangs is seen by the age of its values: the thread itself cannot say so."""
    worker = worker_of("postgresql://nobody@127.0.0.1:1/none", {"sql": "SELECT 1 AS v", "interval_seconds": 10})
    (query,) = worker.work[1]
    view = queries.QueryView(query, {"v": {(): 1.0}}, 1000.0, 0.1, "")

    assert [view.is_up(now) for now in (1000.0, 1039.0, 1041.0)] == [True, True, False]


def test_refused_connection() -> None:
    """An error about the server concerns all queries of it, and names the place."""
    worker = worker_of("postgresql://nobody@127.0.0.1:1/none", {"sql": "SELECT 1 AS v"})

    with pytest.raises(UnreachableError, match="no connection to database none at"):
        worker.run(worker.work[1][0])


def test_reload_keeps_what_did_not_change() -> None:
    """A database whose queries are the same keeps its thread; a query that stays keeps its values."""
    a, b = {"name": "a", "sql": "SELECT 1 AS v"}, {"name": "b", "sql": "SELECT 2 AS v"}
    elsewhere = {"name": "c", "sql": "SELECT 3 AS v", "database": {"dsn": "postgresql://other/c"}}
    old = queries.workers(config_of("postgresql://h/d", a, elsewhere))
    old[0].views["a"] = queries.QueryView(old[0].work[1][0], {"v": {(): 1.0}}, 5.0, 0.1, "")
    new = queries.workers(config_of("postgresql://h/d", a, b, elsewhere), old)

    assert len(new) == 2
    assert new[1] is old[1]
    assert new[0] is not old[0]
    assert new[0].views["a"].values == {"v": {(): 1.0}}
    assert new[0].views["b"].problem == "not run yet"


QUERY = "database: {{dsn: 'host=h'}}\nqueries:\n  - {}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{name: q, sql: S}", "`queries[0].value`: expected either `value`, one column, or `values`"),
        ("{name: q, sql: S, value: v, values: {w: W.}}", "`queries[0].value`: expected either `value`"),
        ("{name: q, sql: S, values: {v: V.}, help: x}", "`queries[0].help`: expected no `help` beside `values`"),
        ("{name: q, sql: S, value: v, labels: [v]}", "`queries[0].labels`: expected each column once"),
        ("{name: q, sql: S, value: v, labels: [a, a]}", "`queries[0].labels`: expected each column once"),
        ("{name: q, sql: S, value: v, labels: [le]}", "invalid value 'le' for `queries[0].labels`"),
        ("{name: q, sql: S, value: v, labels: ['a-b']}", "`queries[0].labels[0]`"),
        ("{name: 'a:b', sql: S, value: v}", "invalid value 'a:b' for `queries[0].name`"),
        ("{name: q, sql: '', value: v}", "`queries[0].sql`"),
        ("{name: q, sql: S, value: v, interval_seconds: 0.1}", "`queries[0].interval_seconds`"),
        ("{name: q, sql: S, value: v, database: {dsn: 'host=a@b@c'}}", "`queries[0].database.dsn`"),
        ("{name: q, sql: S, value: v}\n  - {name: q, sql: S, value: v}", "'q' for `queries`: expected one entry per"),
        ("{name: a, sql: S, values: {b: B.}}\n  - {name: a_b, sql: S, value: v}",
         "invalid metric 'a_b' in `queries[1]`, column v: expected a name of its own, `queries[0]` has it"),
        ("{name: platform_component_up, sql: S, value: v}", "expected a name of its own, platform_component_up has it"),
        ("{name: platform_http_requests, sql: S, value: v}", "its own, platform_http_requests_total has it"),
        ("{name: platform_http_request_duration, sql: S, values: {seconds_count: v}}",
         "expected a name of its own, platform_http_request_duration_seconds has it"),
        ("{name: platform_sample_x, sql: S, value: v}", "expected a name not beginning with platform_sample_"),
        ("{name: orders_total, sql: S, value: v}", "and not ending in _total"),
        ("{name: up, sql: S, value: v}", "expected a name of its own, Prometheus itself has it"),
        ("{name: ALERTS, sql: S, value: v}", "expected a name of its own, Prometheus itself has it"),
        ("{name: ALERTS, sql: S, values: {FOR_STATE: x}}", "invalid metric 'ALERTS_FOR_STATE' in `queries[0]`"),
        ("{name: scrape_samples_scraped, sql: S, value: v}", "expected a name not beginning with platform_sample_"),
    ],
)  # fmt: skip
def test_invalid_queries_are_refused(text: str, said: str, tmp_path: Path) -> None:
    """`check-config` names the query, the key and what was expected."""
    with pytest.raises(ConfigError) as caught:
        exposed.check(loader.parse(QUERY.format(text), tmp_path / "c.yml", {}))

    assert said in str(caught.value)


def test_label_that_labels_adds_is_refused(tmp_path: Path) -> None:
    """A column may not say what the configuration says of all series."""
    text = QUERY.format("{name: q, sql: S, value: v, labels: [region]}") + "labels: {region: eu}\n"

    with pytest.raises(ConfigError, match="invalid value 'region' for `queries"):
        exposed.check(loader.parse(text, tmp_path / "c.yml", {}))


def test_documents_examples_run(database: Database, tmp_path: Path) -> None:
    """Every query that docs/queries.md shows is a configuration, and gives values."""
    database.execute("CREATE SCHEMA shop")
    database.execute("CREATE TABLE shop.orders AS SELECT 'new' AS status")
    database.execute(
        "CREATE TABLE shop.products AS SELECT now() AS scraped_at, 1 AS price, '' AS title, 1 AS site, 2 AS url"
    )
    database.execute("SELECT pg_create_physical_replication_slot('documented', true)")
    blocks = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.S)
    try:
        for block in blocks:
            config = loader.parse(f"database: {{dsn: '{database.dsn}'}}\n{block}", tmp_path / "c.yml", {})
            exposed.check(config)
            (worker,) = queries.workers(config)
            for query in config.all_queries:
                worker.run(query)
                assert worker.views[query.name].problem == ""
                assert all(worker.views[query.name].values.values())
            worker._disconnect()
    finally:
        database.execute("SELECT pg_drop_replication_slot('documented')")

    assert len(blocks) == 3
