"""Several event stores under one exporter: an app in both is one series, and each event is counted once."""

import contextlib
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from platform_sdk.stores import chosen
from tests.aggregation.counting import Store
from tests.servers import PATIENCE_SECONDS, fresh_database, poll_until
from tools.stack.servers import Postgres
from tools.testing.exporter import Exporter, command, exporting, value
from tools.testing.writers import Writers

CONFIGURATION = """
database: {{dsn: "{0}", poll_interval_seconds: 0.3, connect_timeout_seconds: 60}}
sources:
  - preset: native
  - {{preset: native, name: second, database: {{dsn: "{1}", poll_interval_seconds: 0.3, connect_timeout_seconds: 60}}}}
scrape_interval_seconds: 0
"""
RUNS, LOGINS = "platform_scraping_runs_total", "platform_user_activity_total"

APP = """
import sys, threading, platform_sdk
stopping = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stopping.set()), daemon=True).start()
platform_sdk.init(dsn=sys.argv[1], app="load", spool_folder=sys.argv[2], retry_seconds=0.5, exit_timeout_seconds=60)
sent = 0
while not stopping.wait(0.01):
    platform_sdk.log_activity("login", user_id=f"user-{sent % 5}")
    sent += 1
print(sent, platform_sdk.close())
"""


@contextlib.contextmanager
def replicas(folder: Path, configuration: str, *, ready: bool = True) -> Iterator[list[Exporter]]:
    """Run two exporters, of which only the second remembers what it showed, and end them by SIGKILL."""
    with ExitStack() as stack:
        found = []
        for name, more in (("a", ""), ("b", "state_folder: state")):
            (folder / name).mkdir(exist_ok=True)
            found.append(stack.enter_context(exporting(folder / name, f"{configuration}{more}\n", ready=ready)))
        yield found


def shown(exporter: Exporter, metric: str = RUNS) -> float:
    return value(exporter.metrics(), metric, app="load") or 0.0


def rows(stores: list[Store], query: str) -> Counter[str]:
    """Return the counts of both stores together, by the first column."""
    total: Counter[str] = Counter()
    for store in stores:
        total.update(dict(store.execute(query)))
    return total


def test_a_store_and_both_exporters_are_killed(start_postgres: Callable[..., Postgres], tmp_path: Path) -> None:
    """What exporters show of an app in two stores is the rows of both, and never the part that one of them holds.

    Writers are SQL and the SDK. The second server dies, then both exporters, which start again while it is away.
    """
    servers = [start_postgres(), start_postgres()]
    stores = [Store(server.create_database("events")) for server in servers]
    configuration = CONFIGURATION.format(*(store.dsn for store in stores))
    (tmp_path / "c.yml").write_text(configuration)
    apply = command("schema", "apply", "--config", tmp_path / "c.yml")
    applied = subprocess.run(apply, check=True, capture_output=True, text=True, timeout=PATIENCE_SECONDS)

    assert [line.rpartition(" in ")[2] for line in applied.stdout.splitlines()] == [
        f"database events at {server.host}:{server.port} as postgres" for server in servers
    ]
    argv = [sys.executable, "-c", APP]
    with ExitStack() as stack:
        apps = [
            stack.enter_context(
                subprocess.Popen([*argv, store.dsn, str(tmp_path / "spool")],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for store in stores
        ]  # fmt: skip
        steady = stack.enter_context(Writers(stores[0].dsn, 2))
        with (
            contextlib.suppress(psycopg.OperationalError),
            Writers(stores[1].dsn, 2) as doomed,
            replicas(tmp_path, configuration) as exporters,
        ):
            poll_until(lambda: min(steady.transactions, doomed.transactions) > 50)
            poll_until(lambda: all(shown(each, metric) > 50 for each in exporters for metric in (RUNS, LOGINS)))
            before = [shown(each) for each in exporters]
            servers[1].kill()
        with replicas(tmp_path, configuration, ready=False) as exporters:
            poll_until(lambda: all("source second" in each.get("/-/ready").text for each in exporters))
            for each in exporters:
                poll_until(lambda each=each: value(each.metrics(), "platform_exporter_source_up", source="native") == 1)
            alone = [value(each.metrics(), RUNS, app="load") for each in exporters]
            servers[1].start()
            with Writers(stores[1].dsn, 2) as again:
                poll_until(lambda: again.transactions > 50)
            steady.__exit__(None, None, None)
            ends = [app.communicate(timeout=PATIENCE_SECONDS)[0].split() for app in apps]
            runs = rows(stores, "SELECT scraper, count(*) FROM monitoring.scraping_run GROUP BY 1")
            logins = rows(stores, "SELECT activity, count(*) FROM monitoring.user_activity GROUP BY 1")
            for each in exporters:
                poll_until(lambda each=each: {name: value(each.metrics(), RUNS, scraper=name) for name in runs} == runs)
                poll_until(lambda each=each: shown(each, LOGINS) == logins["login"])
                poll_until(lambda each=each: shown(each, "platform_sdk_events_total") == logins["login"])
                # Five users, seen in both: each store counts its own.
                poll_until(lambda each=each: value(each.metrics(), "platform_active_users", window="1d") == 10)

                assert shown(each) == runs.total()
            reconciled = subprocess.run(command("reconcile", "--config", tmp_path / "c.yml"), timeout=PATIENCE_SECONDS)

    assert alone[0] is None
    assert alone[1] is not None
    assert alone[1] >= before[1] > 0
    assert ends == [[end[0], "True"] for end in ends]
    assert sum(int(end[0]) for end in ends) == logins["login"]
    assert reconciled.returncode == 0


CHOOSING_APP = """
import sys, threading, platform_sdk
stopping = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stopping.set()), daemon=True).start()
platform_sdk.init(dsn=sys.argv[2:], app=sys.argv[1], spool_folder="spool", retry_seconds=0.5, pending_bytes=0)
sent = 0
while not stopping.wait(0.01):
    platform_sdk.log_activity("login")
    sent += 1
print(sent, platform_sdk.close())
"""


@contextlib.contextmanager
def emitting(folder: Path, apps: list[str], dsns: list[str]) -> Iterator[dict[str, int]]:
    """Run processes that emit until the block ends; then it is known how many events each app emitted."""
    emitted: dict[str, int] = {}
    with ExitStack() as stack:
        running = {
            app: stack.enter_context(
                subprocess.Popen([sys.executable, "-c", CHOOSING_APP, app, *dsns], cwd=folder, text=True,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            for app in apps
        }  # fmt: skip
        yield emitted
        for app, process in running.items():
            emitted[app] = int(process.communicate(timeout=PATIENCE_SECONDS)[0].split()[0])


def logins(exporter: Exporter, apps: list[str]) -> dict[str, float]:
    metrics = exporter.metrics()
    return {app: value(metrics, LOGINS, app=app) or 0.0 for app in apps}


def test_apps_that_choose_their_store(start_postgres: Callable[..., Postgres], tmp_path: Path) -> None:
    """Each app writes to one of two stores. One dies, and then the exporter and the apps, that spooled meanwhile.

    The counters of each app are what it emitted, when all are back: nothing is lost, nothing goes to the other store.
    """
    servers = [start_postgres(), start_postgres()]
    stores = [Store(server.create_database("events")) for server in servers]
    dsns = [store.dsn for store in stores]
    configuration = f"{CONFIGURATION.format(*dsns)}state_folder: state\n"
    (tmp_path / "c.yml").write_text(configuration)
    apply = command("schema", "apply", "--config", tmp_path / "c.yml")
    subprocess.run(apply, check=True, capture_output=True, timeout=PATIENCE_SECONDS)
    names = (f"shop-{number}" for number in range(1000))
    by_store: dict[str, list[str]] = {dsn: [] for dsn in dsns}
    while min(map(len, by_store.values())) < 2:
        app = next(names)
        by_store[chosen(dsns, app, socket.gethostname())].append(app)
    apps = [app for found in by_store.values() for app in found[:2]]
    with exporting(tmp_path, configuration) as exporter:
        with emitting(tmp_path, apps, dsns) as first:
            poll_until(lambda: min(logins(exporter, apps).values()) > 50)
            servers[1].kill()
            up = logins(exporter, apps[:2])
            poll_until(lambda: all(now > up[app] + 50 for app, now in logins(exporter, apps[:2]).items()))
            down = value(exporter.metrics(), "platform_exporter_source_up", source="second")
        before = logins(exporter, apps)
    servers[1].start()
    with exporting(tmp_path, configuration) as exporter, emitting(tmp_path, apps, dsns) as second:
        shown = logins(exporter, apps)
        poll_until(lambda: all(now > first[app] for app, now in logins(exporter, apps).items()))
    emitted = {app: first[app] + second[app] for app in apps}
    with exporting(tmp_path, configuration) as exporter:
        poll_until(lambda: logins(exporter, apps) == emitted)
    held = [store.execute("SELECT DISTINCT app FROM monitoring.user_activity ORDER BY 1") for store in stores]

    assert down == 0
    assert all(shown[app] >= before[app] for app in apps)
    assert [[app for (app,) in found] for found in held] == [sorted(found[:2]) for found in by_store.values()]


def test_a_store_is_added_while_the_exporter_runs(postgres: Postgres, store_template: str, tmp_path: Path) -> None:
    """What is shown goes on while the new store is not there yet, and has both once it is."""
    run = """INSERT INTO monitoring.scraping_run (at, app, scraper, outcome, duration_seconds)
        SELECT now(), 'load', 's', 'success', 1 FROM generate_series(1, %s)"""
    with (
        fresh_database(postgres, store_template) as first,
        fresh_database(postgres, store_template) as second,
        exporting(
            tmp_path, f"database: {{dsn: '{first.dsn}', poll_interval_seconds: 0.3}}\nscrape_interval_seconds: 0\n"
        ) as exporter,
    ):
        first.execute(run, [5])
        poll_until(lambda: shown(exporter) == 5)
        exporter.config.write_text(CONFIGURATION.format(first.dsn, "host=127.0.0.1 port=1 dbname=none"))
        assert exporter.reload().ok
        first.execute(run, [2])
        poll_until(lambda: value(exporter.metrics(), "platform_exporter_source_up", source="second") == 0)
        poll_until(lambda: shown(exporter) == 7)
        second.execute(run, [3])
        exporter.config.write_text(CONFIGURATION.format(first.dsn, second.dsn))
        assert exporter.reload().ok
        poll_until(lambda: shown(exporter) == 10)


def test_a_store_by_two_spellings_is_counted_once(postgres: Postgres, store_template: str, tmp_path: Path) -> None:
    """By the source that is listed first, at each start and after a reload; the other one says so everywhere."""
    run = """INSERT INTO monitoring.scraping_run (at, app, scraper, outcome, duration_seconds)
        SELECT now(), 'load', 's', 'success', 1 FROM generate_series(1, %s)"""
    with fresh_database(postgres, store_template) as store, fresh_database(postgres, store_template) as other:
        twice = CONFIGURATION.format(store.dsn, make_conninfo(store.dsn, application_name="x")) + "state_folder: s\n"
        for total in (5, 10):
            with exporting(tmp_path, twice) as exporter:
                store.execute(run, [5])
                poll_until(lambda total=total: shown(exporter) == total)
                poll_until(lambda: value(exporter.metrics(), "platform_exporter_source_up", source="second") == 0)
                (native, second) = exporter.health()["sources"]

                assert "source second: its event store (database" in exporter.log
                assert "is that of source native" in exporter.get("/").text
                assert exporter.get("/-/ready").ok
                assert (native["status"], second["status"]) == ("healthy", "unhealthy")
                assert "is that of source native" in second["cause"]
                assert shown(exporter) == total
                if total == 10:
                    other.execute(run, [3])
                    exporter.config.write_text(CONFIGURATION.format(store.dsn, other.dsn))
                    assert exporter.reload().ok
                    poll_until(lambda: shown(exporter) == 13)
                    assert "Not shown" not in exporter.get("/").text
        (counting,) = store.execute("SELECT array_agg(DISTINCT source) FROM monitoring.cursor")

    assert counting == (["native"],)


def test_what_is_withheld_is_told(postgres: Postgres, store_template: str, tmp_path: Path) -> None:
    """Where a store is away at the start and nothing is remembered of it: on the page, at /-/ready and in the log."""
    with fresh_database(postgres, store_template) as store, fresh_database(postgres, store_template) as other:
        away = CONFIGURATION.format(store.dsn, "host=127.0.0.1 port=1 dbname=none")
        with exporting(tmp_path, away, ready=False) as exporter:
            poll_until(lambda: value(exporter.metrics(), "platform_exporter_source_up", source="native") == 1)
            notice = "source second was not read since the start, and no `state_folder` says what was shown of it"
            poll_until(lambda: notice in exporter.get("/-/ready").text)
            exporter.metrics()

            assert exporter.get("/-/ready").status_code == 503
            assert notice in exporter.get("/").text
            assert f"WARNING exporter.service: {notice}: the counters of native are withheld" in exporter.log
            exporter.config.write_text(CONFIGURATION.format(store.dsn, other.dsn))
            assert exporter.reload().ok
            poll_until(exporter.is_ready)
            exporter.metrics()
            poll_until(lambda: "INFO exporter.service: all counters are shown" in exporter.log)

            assert "withheld" not in exporter.get("/").text
