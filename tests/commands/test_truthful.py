"""`health` and `doctor` say that something is wrong wherever a source is not counted, and which; and nothing twice."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from psycopg.conninfo import make_conninfo

from exporter.__main__ import main
from exporter.config.settings import Limits, Source
from exporter.sources import mapping
from tests.aggregation.counting import NATIVE, Store
from tests.servers import Database
from tools.stack.servers import Postgres

MAPPING = """app: x
streams:
  one:
    table: public.t
    kind: scraping_run
    columns: {at: t.at, scraper: t.s, outcome: t.o, duration_seconds: t.d}
states:
  jobs:
    table: public.j
    kind: scraping_jobs
    columns: {scraper: t.s, status: t.status, created_at: "now()", heartbeat_at: "now()"}
"""
TABLES = """CREATE TABLE public.t (id serial PRIMARY KEY, at timestamptz, s text, o text, d float8);
CREATE TABLE public.j (s text, status text)"""

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that runs a command on a database."""
    (tmp_path / "m.yml").write_text(MAPPING)

    def run(command: str, dsn: str, preset: str = "m.yml", **more: object) -> Result:
        config = tmp_path / "platform-exporter.yml"
        tree = {"database": {"dsn": dsn}, "sources": [{"preset": preset}], "listen": "127.0.0.1:1", **more}
        config.write_text(json.dumps(tree))
        return CliRunner().invoke(main, [*command.split(), "--config", str(config)])

    return run


@pytest.fixture
def adopted(database: Database, run: Run, tmp_path: Path) -> Database:
    """Return a database whose table is adopted and counted a moment ago, with a role that may do what it needs."""
    database.execute(TABLES)
    done = run("adopt m.yml", database.dsn)
    assert done.exit_code == 0, done.output
    count(database, tmp_path)
    return database


def count(database: Database, folder: Path) -> tuple[str, ...]:
    """Poll the source once, as the exporter does, and return what makes `source_up` 0."""
    worker = Store(database.dsn, mapping.plan(Source(preset=str(folder / "m.yml"), name="m"))).worker()
    try:
        worker.poll()
    finally:
        worker._disconnect()
    return worker.view.problems


BREAKS = {
    "column": ("ALTER TABLE public.t RENAME o TO other", "public.t"),
    "table": ("DROP TABLE public.t", "public.t"),
    "state": ("ALTER TABLE public.j RENAME status TO other", "public.j"),
    "trigger": ("ALTER TABLE public.t DISABLE TRIGGER ALL", "adopt"),
}


@pytest.mark.parametrize("case", BREAKS)
def test_what_stops_a_source_is_told(adopted: Database, run: Run, tmp_path: Path, case: str) -> None:
    """While the last count is still fresh, by both; as the poll itself says."""
    assert run("health", adopted.dsn).stdout.startswith("healthy ")
    break_it, word = BREAKS[case]
    adopted.execute(break_it)
    health, doctor = run("health", adopted.dsn), run("doctor", adopted.dsn)

    assert count(adopted, tmp_path) != ()
    assert (health.exit_code, health.stdout.split()[0]) == (2, "unhealthy")
    assert word in health.stdout
    assert doctor.exit_code == 1
    assert any(
        line.startswith(("FAIL   source m", "to do  source m")) and word in line for line in doctor.stdout.splitlines()
    )


def test_a_hot_standby_is_told(
    postgres: Postgres, start_postgres: Callable[..., Postgres], servers: object, run: Run
) -> None:
    """Where the primary's counts arrive every second, and nothing can be counted."""
    primary = start_postgres(settings={"wal_level": "replica"})
    dsn = primary.create_database("events")
    assert run("schema apply", dsn, "native").exit_code == 0
    Store(dsn).poll()
    standby = servers.adopt(primary.standby())  # type: ignore[attr-defined]
    standby.start()
    health, doctor = (run(command, standby.dsn_of("events"), "native") for command in ("health", "doctor"))

    assert (health.exit_code, "is a hot standby" in health.stdout) == (2, True)
    assert "is a hot standby" in doctor.stdout
    assert NATIVE.name in health.stdout


def test_a_missing_right_is_told(adopted: Database, run: Run) -> None:
    """Of a role that may read nothing."""
    adopted.execute(f"CREATE ROLE {adopted.name}_r LOGIN")
    dsn = make_conninfo(adopted.dsn, user=f"{adopted.name}_r")
    health, doctor = run("health", dsn), run("doctor", dsn)
    adopted.execute(f"DROP ROLE {adopted.name}_r")

    grant = f'GRANT platform_exporter TO "{adopted.name}_r";'
    assert health.stdout.startswith("unhealthy")
    assert grant in health.stdout
    assert grant in doctor.stdout


def test_a_stopped_exporter_is_told(adopted: Database, run: Run) -> None:
    """By the age of its last count."""
    adopted.execute("UPDATE monitoring.cursor SET advanced_at = now() - interval '1 hour'")

    assert run("health", adopted.dsn).exit_code > 0
    assert re.search(r"(?m)^FAIL   source m +last counted \d{4} s ago", run("doctor", adopted.dsn).stdout)


def test_probes_are_told_once(adopted: Database, run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    """By both, and nothing is logged beside it."""
    probes = {"postgresql": [{"name": "gone", "dsn": "postgresql://x@127.0.0.1:1/x"}]}
    health, doctor = (run(command, adopted.dsn, probes=probes) for command in ("health", "doctor"))

    assert health.output.count("Connection refused") == 1
    assert [line.split()[:3] for line in doctor.stdout.splitlines() if "Connection refused" in line] == [
        ["FAIL", "postgresql", "gone"]
    ]
    assert "gone" not in capfd.readouterr().err


def test_values_that_are_not_understood_are_told(adopted: Database, run: Run, tmp_path: Path) -> None:
    """For a day, with an example and what is expected."""
    adopted.execute("INSERT INTO public.t (at, s, o, d) VALUES (now(), 's', 'finished', 1), (now(), 's', 'Ok', 1)")
    assert count(adopted, tmp_path) == ()

    assert (
        "one: outcome 'finished' is not understood and is rejected as unknown_value, as in 1 row: "
        "expected one of success, failure" in run("doctor", adopted.dsn).stdout
    )


def test_what_concerns_all_tables_is_told_once(database: Database, run: Run, tmp_path: Path) -> None:
    """A source that is not adopted, and a role that may only read the event store."""
    database.execute(TABLES)
    assert run("schema apply", database.dsn).exit_code == 0
    text = (tmp_path / "m.yml").read_text()
    one, two = text.index("  one:"), text.index("states:")
    (tmp_path / "m.yml").write_text(text[:two] + text[one:two].replace("one:", "two:") + text[two:])
    database.execute(
        f"""CREATE ROLE {database.name}_r LOGIN; GRANT USAGE ON SCHEMA monitoring TO {database.name}_r;
        GRANT SELECT ON ALL TABLES IN SCHEMA monitoring TO {database.name}_r"""
    )
    adoption = run("doctor", database.dsn).stdout
    right = run("doctor", make_conninfo(database.dsn, user=f"{database.name}_r"), "native").stdout
    database.execute(f"DROP OWNED BY {database.name}_r; DROP ROLE {database.name}_r")

    assert re.findall(r"FAIL   source m +(\S+ \S+ is not adopted)", adoption) == ["source m is not adopted"]
    assert right.count(f"GRANT platform_exporter TO {database.name}_r;") == 1


def test_the_app_with_too_many_label_sets_is_told(store_database: Database, run: Run) -> None:
    """By its name, with the metrics; another app of the same table is not."""
    store = Store(store_database.dsn, limits=Limits(series_per_metric=20))
    store.execute(
        "INSERT INTO monitoring.scraping_run (at, app, scraper, outcome, duration_seconds) "
        "SELECT now(), CASE WHEN i = 0 THEN 'calm' ELSE 'busy' END, i, 'success', 1 FROM generate_series(0, 99) i"
    )
    store.poll()
    found = [line for line in run("doctor", store.dsn, "native").stdout.splitlines() if "series forget" in line]

    assert len(found) == 1
    assert re.search(r"app busy has used up the room for label sets of .*platform_scraping_runs_total", found[0])


@pytest.mark.parametrize("command", ["errors list", "errors show 3f2a", "export error"])
def test_without_the_schema_the_next_step_is_told(database: Database, run: Run, command: str) -> None:
    """Not PostgreSQL's words about a table that nobody knows."""
    result = run(command, database.dsn, "native")

    assert "run `platform-exporter schema apply --config FILE`" in result.output
    assert result.exit_code == 1


def test_queries_are_run(adopted: Database, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """By both, each once and within its timeout; what is wrong is said once, and nothing is logged beside it."""
    wrong = {"bad": "SELECT 1/0 AS v", "slow": "SELECT pg_sleep(60)::text AS x, 1 AS v",
             "breaks": "SELECT pg_terminate_backend(pg_backend_pid())::text AS x, 1 AS v",
             "good": "SELECT 1 AS v"}  # fmt: skip
    given = [{"name": name, "value": "v", "sql": sql, "timeout_seconds": 0.2 if name == "slow" else 30}
             for name, sql in wrong.items()]  # fmt: skip
    away = {"dsn": "postgresql://x@127.0.0.1:1/x"}
    given += [{"name": name, "value": "v", "sql": "SELECT 1 AS v", "database": away} for name in ("far", "away")]
    health, doctor = (run(command, adopted.dsn, queries=given) for command in ("health --json", "doctor"))
    checks = {row["check"]: row for row in json.loads(health.stdout)["checks"] if row["check"].startswith("query ")}
    lines = {line[13:33].strip(): line for line in doctor.stdout.splitlines() if line[7:13] == "query "}

    causes = {"bad": "division by zero", "slow": "no result in 0.2 s", "good": "gave 1 value in ",
              "breaks": "the connection broke while this query ran: ",
              "far": "no connection to", "away": "no connection to"}  # fmt: skip
    assert (health.exit_code, doctor.exit_code) == (1, 1)
    for name, cause in causes.items():
        good = name == "good"
        assert checks[f"query {name}"]["status"] == ("healthy" if good else "degraded")
        assert checks[f"query {name}"]["cause"].startswith(cause)
        assert lines[name].startswith("ok " if good else "FAIL ")
        assert cause in lines[name]
    assert set(lines) == set(causes)
    assert [record.message for record in caplog.records] == []
