"""`users`: what is stored of one user is handed out and erased, whole, and nothing else changes."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from exporter.__main__ import main
from exporter.aggregation import poll
from exporter.alerts import manual
from exporter.config.settings import Database as Settings
from exporter.config.settings import Limits, Source
from exporter.database import personal, schema
from exporter.database.connection import connect
from exporter.inspection.reconcile import reconcile
from exporter.sections import Secret
from exporter.sources import adopt, mapping
from platform_sdk.events import EVENTS
from tests.aggregation.counting import Store
from tests.servers import Database

USER, OTHER = "user-4711", "user-4712"


@pytest.fixture
def config(store_database: Database, tmp_path: Path) -> Path:
    """Return the configuration of a store with rows of two users, in two apps, and of a visitor who then signed in."""
    insert = "INSERT INTO monitoring.{} (at, app, {}) VALUES (now(), %s, {})"
    for app in ("shop", "blog"):
        for user in (USER, OTHER):
            store_database.execute(
                insert.format("http_request", "route, status, duration_seconds, user_id, session_id, ip, user_agent",
                              "'/', 200, 0.1, %s, %s, '192.0.2.1', 'Firefox'"), [app, user, f"s-{user}"])  # fmt: skip
            store_database.execute(
                insert.format("user_activity", "activity, user_id, details", """'login', %s, '{"a": 1}'"""), [app, user]
            )
            store_database.execute(
                insert.format("error", "error_type, user_id, ip, stack_trace", "'E', %s, '192.0.2.1', 'File x'"),
                [app, user])  # fmt: skip
        store_database.execute(
            insert.format("http_request", "route, status, duration_seconds, session_id", "'/in', 200, 0.1, %s"),
            [app, f"s-{USER}"])  # fmt: skip
    path = tmp_path / "c.yml"
    path.write_text(f"database: {{dsn: '{store_database.dsn}'}}\n")
    return path


def run(*arguments: object) -> Result:
    """Run a command in this process."""
    result = CliRunner().invoke(main, ["users", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def everything(database: Database) -> str:
    """Return all rows that may name a user, as one text."""
    return "".join(
        str(database.execute(f"SELECT to_jsonb(t) FROM monitoring.{kind.name} t ORDER BY 1")) for kind in EVENTS
    )


def counted(database: Database) -> list[tuple[Any, ...]]:
    """Count all that is not counted yet, and return the counters."""
    with connect(Settings(dsn=Secret(database.dsn)), "test") as connection:
        poll.register(connection, "native")
        for stream in mapping.plan(Source()).streams:
            poll.poll(connection, stream, Limits())
    return database.execute("SELECT metric, labels::text, value FROM monitoring.rollup WHERE value > 0 ORDER BY 1, 2")


def test_all_rows_of_a_user_are_handed_out(config: Path) -> None:
    """Of all tables, those of the sessions before a login too, and of nobody else."""
    result = run("export", USER, "--config", config, "-o", config.with_name("u.json"))
    found = json.loads(config.with_name("u.json").read_text())

    assert result.exit_code == 0
    assert {table: len(rows) for table, rows in found.items()} == {"http_request": 4, "user_activity": 2, "error": 2}
    assert OTHER not in str(found)
    assert config.with_name("u.json").stat().st_mode & 0o777 == 0o600


def test_a_user_is_erased(config: Path, store_database: Database) -> None:
    """No row names it or what tells who it is; the other user's rows are as they were."""
    before = everything(store_database)
    result = run("erase", USER, "--config", config, "--yes", "--by", "ops")
    after = everything(store_database)

    assert result.stdout == "http_request: 4 rows, user_activity: 2 rows, error: 2 rows\n"
    assert USER in before
    assert USER not in after
    assert (before.count(OTHER), after.count("192.0.2.1")) == (after.count(OTHER), before.count("192.0.2.1") // 2)
    assert USER not in str(store_database.execute("SELECT * FROM monitoring.audit"))
    assert store_database.execute("SELECT actor, action FROM monitoring.audit") == [("ops", "users.erase")]


@pytest.mark.parametrize("first", ["counted", "erased"])
def test_counters_do_not_change(config: Path, store_database: Database, first: str) -> None:
    """Whether the rows are counted before they are erased or afterwards: each once."""
    before = counted(store_database) if first == "counted" else []
    run("erase", USER, "--config", config, "--yes")
    after = counted(store_database)
    requests = sum(value for metric, _, value in after if metric == "platform_http_requests_total")

    assert requests == 6
    assert before in ([], after)
    assert counted(store_database) == after


def add_consumers(database: Database) -> None:
    """Insert a request and a call of two consumers, one of them a person."""
    for table, columns, values in (
        ("http_request", "route, status, duration_seconds, user_id", "'/', 200, 0.1, 'u'"),
        ("api_call", "api, outcome, duration_seconds, query", """'maps', 'success', 0.1, '{"q": "me"}'"""),
    ):
        for consumer in ("ada", "acme"):
            database.execute(
                f"INSERT INTO monitoring.{table} (at, app, consumer, {columns}) VALUES (now(), 'shop', %s, {values})",
                [consumer],
            )


@pytest.mark.parametrize(("first", "said"), [("counted", ", series: 8 label sets"), ("erased", "")])
def test_a_consumer_is_erased(config: Path, store_database: Database, first: str, said: str) -> None:
    """Rows count for the others then, series end, and counters still equal their rows; nothing names it."""
    add_consumers(store_database)
    if first == "counted":
        counted(store_database)
    exported = json.loads(run("export", "ada", "--config", config, "--consumer").stdout)
    result = run("erase", "ada", "--config", config, "--consumer", "--yes")

    assert {table: len(rows) for table, rows in exported.items()} == {"http_request": 1, "api_call": 1}
    assert result.stdout == f"http_request: 1 row, api_call: 1 row{said}\n"
    assert "ada" not in everything(store_database) + str(counted(store_database))
    assert "ada" not in str(store_database.execute("SELECT * FROM monitoring.audit"))
    assert store_database.execute("SELECT consumer, query FROM monitoring.api_call ORDER BY 1") == [
        ("_other_", None), ("acme", {"q": "me"})]  # fmt: skip
    with connect(Settings(dsn=Secret(store_database.dsn)), "test") as connection:
        assert reconcile(connection, mapping.plan(Source()), Limits()).explained


def test_series_of_former_sources_end_too(config: Path, store_database: Database) -> None:
    """A source that is in no configuration any more still has them stored."""
    add_consumers(store_database)
    counted(store_database)
    store_database.execute("UPDATE monitoring.rollup SET source = 'former'")
    result = run("erase", "ada", "--config", config, "--consumer", "--yes")

    assert result.stdout.endswith(", series: 8 label sets\n")
    assert "ada" not in str(store_database.execute("SELECT labels FROM monitoring.rollup"))


@pytest.mark.parametrize(("app", "left"), [(None, 0), ("blog", 4)])
def test_alerts_about_a_consumer_are_erased(config: Path, store_database: Database, app: str | None, left: int) -> None:
    """The history keeps that they fired, and for how long: not about whom, also in the keys of their groups."""
    insert = """INSERT INTO monitoring.alert_notification (group_key, fingerprint, status, starts_at, receiver, labels,
        annotations) VALUES (%s, 'f' || %s, %s, '2026-01-01Z', %s, %s, %s)"""
    for consumer in ("ada", "acme"):
        labels = json.dumps({"alertname": "PlatformConsumerErrors", "app": "shop", "consumer": consumer})
        for status in ("firing", "resolved"):
            for receiver in ("chat", "mail"):
                key, summary = f'{{}}/{receiver}:{{consumer="{consumer}"}}', {"summary": f"shop fails {consumer}"}
                store_database.execute(insert, [key, consumer, status, receiver, labels, json.dumps(summary)])
    history = "SELECT to_jsonb(n) - 'fingerprint' FROM monitoring.alert_notification n"
    exported = json.loads(run("export", "ada", "--config", config, "--consumer").stdout)
    run("erase", "ada", "--config", config, "--consumer", "--yes", *(("--app", app) if app else ()))
    rows = [row for (row,) in store_database.execute(history)]

    assert [row["labels"]["consumer"] for row in exported["alert_notification"]] == ["ada"] * 4
    assert len(rows) == 8
    assert sum("ada" in str(row) for row in rows) == left
    assert sum("acme" in row["annotations"].get("summary", "") for row in rows) == 4
    assert sum(row["labels"]["consumer"] == "_other_" for row in rows) == 4 - left


def test_actives_forget_the_user_too(config: Path, store_database: Database) -> None:
    """The hashes by which active users and sessions are counted."""
    counted(store_database)
    actors = "SELECT count(*) FROM monitoring.actor"
    before = store_database.execute(actors)[0][0]
    run("erase", USER, "--config", config, "--yes")

    assert before > 0
    assert store_database.execute(actors)[0][0] == before // 2


def test_only_one_app_is_touched(config: Path, store_database: Database) -> None:
    """Ids of two apps may be two people."""
    run("erase", USER, "--config", config, "--app", "shop", "--yes")

    assert store_database.execute(
        "SELECT DISTINCT app FROM monitoring.user_activity WHERE user_id = %s", [USER]) == [("blog",)]  # fmt: skip


def test_nothing_is_erased_unasked(config: Path, store_database: Database) -> None:
    """A script must say --yes."""
    before = everything(store_database)
    result = run("erase", USER, "--config", config)

    assert result.exit_code == 2
    assert "nothing was changed" in result.stderr
    assert everything(store_database) == before


def test_who_may_not_is_told(config: Path, store_database: Database) -> None:
    """The exporter's own role changes no event."""
    login = f"users_{store_database.name}"
    store_database.execute(f"CREATE ROLE {login} LOGIN; GRANT platform_exporter TO {login}")
    try:
        dsn = psycopg.conninfo.make_conninfo(store_database.dsn, user=login)
        config.write_text(f"database: {{dsn: '{dsn}'}}\n")
        result = run("erase", USER, "--config", config, "--yes")
    finally:
        store_database.execute(f"DROP ROLE {login}")

    assert result.exit_code == 1
    assert "run this as the owner of the schema monitoring" in result.stderr


def test_every_column_that_tells_who_it_is_is_erased() -> None:
    """A column that is personal or restricted is erased unless it says otherwise."""
    columns = {column.name for kind in personal.TABLES for column in kind.columns if not column.for_viewers}
    erased = {name for kind in personal.TABLES for name in personal.columns_of(kind)}

    assert columns - erased == {"stack_trace"}
    assert {"user_id", "session_id", "ip", "user_agent"} <= erased


def test_a_session_is_found_in_another_store(config: Path, store_database: Database, database: Database) -> None:
    """Its user is named in one store only; what was asked for before signing in was stored in another."""
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        schema.apply(connection)
    database.execute("INSERT INTO monitoring.http_request (at, app, route, status, duration_seconds, session_id, ip) "
                     "VALUES (now(), 'shop', '/', 200, 0.1, %s, '192.0.2.9')", [f"s-{USER}"])  # fmt: skip
    sources = f"[{{preset: native}}, {{preset: native, name: second, database: {{dsn: '{database.dsn}'}}}}]"
    config.write_text(f"database: {{dsn: '{store_database.dsn}'}}\nsources: {sources}\n")
    exported = run("export", USER, "--config", config).stdout
    run("erase", USER, "--config", config, "--yes")

    assert "192.0.2.9" in exported
    assert database.execute("SELECT session_id, ip FROM monitoring.http_request") == [(None, None)]


VISITS = """
app: shop
streams:
  visits:
    table: public.visits
    kind: user_activity
    columns:
      at: t.at
      activity: t.what
      user_id: t.who::text
      session_id: t.session
"""


def test_what_is_captured_of_an_adopted_table_is_erased(
    config: Path, store_database: Database, database: Database
) -> None:
    """Once it is counted, which counts it once; what is not counted yet is named. The hashes there are removed, too."""
    database.execute("CREATE TABLE public.visits (at timestamptz DEFAULT now(), what text, who text, session text)")
    mapped = config.with_name("visits.yml")
    mapped.write_text(VISITS)
    source = Source(preset=str(mapped))
    shop = Store(database.dsn, mapping.plan(source))
    with shop.connect() as connection:
        adopt.carry_out(connection, adopt.steps(connection, source, mapping.load(source.preset)), lambda _: None)
    database.execute(f"INSERT INTO visits (what, who, session) VALUES ('in', '{USER}', 's'), ('in', '{OTHER}', 'o'), "
                     "('see', NULL, 's')")  # fmt: skip
    config.write_text(
        f"database: {{dsn: '{store_database.dsn}'}}\n"
        f"sources: [{{preset: '{mapped}', database: {{dsn: '{database.dsn}'}}}}]\n"
    )
    exported = json.loads(run("export", USER, "--config", config).stdout)
    early = run("erase", USER, "--config", config, "--yes")
    shop.poll()
    actors = shop.one("SELECT count(*) FROM monitoring.actor")
    number = shop.one("SELECT number FROM monitoring.capture")
    late = run("erase", USER, "--config", config, "--yes")
    shop.poll()

    assert len(exported["captured visits/visits"]) == 2
    assert "2 captured changes of an adopted table must be counted first" in early.stderr
    assert (late.stdout, late.stderr) == ("actor: 2 rows, captured: 2 rows\n", "")
    assert shop.value("platform_user_activity_total") == 3
    assert (actors, shop.one("SELECT count(*) FROM monitoring.actor")) == (4, 2)
    assert USER not in str(shop.execute(f"SELECT * FROM monitoring.captured_{number}"))
    assert OTHER in run("export", OTHER, "--config", config).stdout


def test_a_manual_alert_about_a_consumer_is_erased(config: Path, store_database: Database) -> None:
    """It goes on for nobody, without its texts; the audit of who made it does not name the consumer either."""
    alert = manual.new(summary="ada waits", severity="low", by="ops", labels={"consumer": "ada"})
    with psycopg.connect(store_database.dsn, autocommit=True) as connection:
        manual.create(connection, alert)
    exported = json.loads(run("export", "ada", "--config", config, "--consumer").stdout)
    run("erase", "ada", "--config", config, "--consumer", "--yes")
    left = store_database.execute("SELECT to_jsonb(m) FROM monitoring.manual_alert m")
    audit = store_database.execute("SELECT to_jsonb(a) FROM monitoring.audit a")

    assert [row["labels"] for row in exported["manual_alert"]] == [{"consumer": "ada"}]
    assert "ada" not in str(left) + str(audit)
    assert left[0][0]["labels"] == {"consumer": "_other_"}
    assert len(audit) == 2
