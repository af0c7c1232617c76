"""Run the exporter as a process: start, reload, trouble and end."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
import trustme

from exporter.database import schema
from tests.servers import PATIENCE_SECONDS, Database, fresh_database, poll_until
from tools.stack.ports import free_port
from tools.stack.servers import Postgres, Redis
from tools.testing.exporter import Exporter, answers, command, exporting, value

RELOADED = "platform_exporter_config_last_reload_successful"
SECRET = "hunter2-tOp"


def configuration(database: Database, more: str = "", password: str = "x") -> str:
    """Return a configuration that counts the event store of a database, twice a second."""
    return f"database: {{dsn: '{database.dsn}', password: '{password}', poll_interval_seconds: 0.5}}\n{more}"


def insert(database: Database, app: str = "a", rows: int = 1) -> None:
    """Store requests."""
    database.execute(
        "INSERT INTO monitoring.http_request (at, app, route, status, duration_seconds) "
        "SELECT now(), %s, '/', 200, 0.1 FROM generate_series(1, %s)", [app, rows],
    )  # fmt: skip


@contextmanager
def event_stores(server: Postgres, number: int) -> Iterator[list[Database]]:
    """Make some event stores on one server."""
    with ExitStack() as stack:
        databases = [stack.enter_context(fresh_database(server)) for _ in range(number)]
        for database in databases:
            with database.connect() as connection:
                schema.apply(connection)
        yield databases


def sources(**others: Database) -> str:
    """Return the sources of several event stores, that of the configuration first."""
    more = "".join(
        f", {{preset: native, name: {name}, database: {{dsn: '{one.dsn}', poll_interval_seconds: 0.5}}}}"
        for name, one in others.items()
    )
    return f"sources: [{{preset: native}}{more}]"


@pytest.fixture(scope="module")
def store(postgres: Postgres) -> Iterator[Database]:
    """Return an event store that the tests of this module share."""
    with fresh_database(postgres) as database:
        with database.connect() as connection:
            schema.apply(connection)
        yield database


@pytest.fixture(scope="module")
def shared(store: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    """Return an exporter that the tests of this module share."""
    with exporting(tmp_path_factory.mktemp("shared"), configuration(store)) as exporter:
        yield exporter


@pytest.fixture
def exporter(shared: Exporter, store: Database) -> Iterator[Exporter]:
    """Return the shared exporter, and give it its configuration back afterwards."""
    yield shared
    shared.config.write_text(configuration(store))
    assert shared.reload().ok


def test_events_become_visible(exporter: Exporter, store: Database) -> None:
    """A committed event is on /metrics after the next poll."""
    insert(store, "visible", 3)

    poll_until(lambda: value(exporter.metrics(), "platform_http_requests_total", app="visible") == 3)


def test_good_reload_is_logged(exporter: Exporter) -> None:
    """A reload says so in the answer, the log and the metrics."""
    before = exporter.metrics()[f"{RELOADED[: -len('successful')]}success_timestamp_seconds"]

    assert exporter.reload().text == "the configuration was reloaded\n"
    assert "reloaded the configuration from" in exporter.log
    assert exporter.metrics()[RELOADED] == 1
    assert exporter.metrics()[f"{RELOADED[: -len('successful')]}success_timestamp_seconds"] > before


def test_bad_reload_keeps_the_old_configuration(exporter: Exporter, store: Database) -> None:
    """A bad file is refused with its error in the answer, the log and a metric; all goes on as it was."""
    exporter.config.write_text(configuration(store, "thresholds: {minimum_event: 7}"))
    answer = exporter.reload()

    assert answer.status_code == 500
    assert "unknown key `minimum_event` in `thresholds`: did you mean `minimum_events`?" in answer.text
    assert "the configuration was not reloaded, the old one stays in force: " in exporter.log
    metrics = exporter.metrics()
    assert metrics[RELOADED] == 0
    assert value(metrics, "platform_threshold", indicator="minimum_events") == 20
    assert value(metrics, "platform_exporter_source_up", source="native") == 1


def test_reload_changes_thresholds_and_objectives(exporter: Exporter, store: Database) -> None:
    """Rules read what the configuration says since the reload; overrides are series of their own."""
    exporter.config.write_text(
        configuration(store, "thresholds: {api_quota_seconds: {high: 60, apis: {arxiv: {medium: 70}}}}\n"
                      "objectives: {http_latency: null, scraping_success: {apps: {shop: 0.5}}}")
    )  # fmt: skip

    assert exporter.reload().ok
    metrics = exporter.metrics()
    quota = {"indicator": "api_quota_seconds"}
    assert value(metrics, "platform_threshold", **quota, severity="high") == 60
    assert value(metrics, "platform_threshold", **quota, severity="medium", api="arxiv") == 70
    assert {name for name in metrics if name.startswith("platform_objective")} == {
        'platform_objective{slo="http_availability"}',
        'platform_objective{slo="scraping_success"}',
        'platform_objective{app="shop",slo="scraping_success"}',
    }


def test_reload_by_sighup(exporter: Exporter, store: Database) -> None:
    """SIGHUP reads the configuration again, too."""
    exporter.config.write_text(configuration(store, "thresholds: {minimum_events: 9}"))
    exporter.process.send_signal(signal.SIGHUP)

    poll_until(lambda: value(exporter.metrics(), "platform_threshold", indicator="minimum_events") == 9)


def test_bad_reload_by_sighup_is_survived(exporter: Exporter) -> None:
    """An invalid file at SIGHUP is reported by metric and log, and stops nothing."""
    exporter.config.write_text("nonsense")
    exporter.process.send_signal(signal.SIGHUP)

    poll_until(lambda: exporter.metrics()[RELOADED] == 0)
    assert exporter.process.poll() is None


def test_sources_come_and_go_with_reloads(exporter: Exporter, store: Database) -> None:
    """A source added by a reload is counted, one removed is gone, the others go on without a gap."""
    with event_stores(store.server, 1) as (second,):
        exporter.config.write_text(configuration(store, sources(second=second)))
        assert exporter.reload().ok
        poll_until(lambda: value(exporter.metrics(), "platform_exporter_source_up", source="second") == 1)

        assert value(exporter.metrics(), "platform_exporter_source_up", source="native") == 1
        exporter.config.write_text(configuration(store))
        assert exporter.reload().ok
        assert value(exporter.metrics(), "platform_exporter_source_up", source="second") is None


def test_changed_source_leaves_no_gap(exporter: Exporter, store: Database) -> None:
    """Where only the interval changes, the counters stay visible from the first moment on."""
    insert(store, "gapless")
    poll_until(lambda: value(exporter.metrics(), "platform_http_requests_total", app="gapless") == 1)
    for interval in (0.3, 0.4, 0.5):
        exporter.config.write_text(configuration(store).replace("0.2", str(interval)))
        assert exporter.reload().ok
        assert value(exporter.metrics(), "platform_http_requests_total", app="gapless") == 1
        assert exporter.is_ready()


def test_changed_listen_is_logged(exporter: Exporter, store: Database) -> None:
    """A new address needs a new start; a reload says so instead of keeping quiet."""
    exporter.config.write_text(configuration(store, "listen: 127.0.0.1:1"))
    assert exporter.reload().ok

    assert "`listen` changed to 127.0.0.1:1, which takes effect at the next start" in exporter.log


def test_component_added_by_a_reload_is_probed(exporter: Exporter, store: Database, redis_server: Redis) -> None:
    """A probe added by a reload is in the next scrape, and gone after it was removed."""
    exporter.config.write_text(configuration(store, f"probes: {{redis: [{{name: extra, url: '{redis_server.url}'}}]}}"))
    assert exporter.reload().ok

    assert value(exporter.metrics(), "platform_component_up", name="extra") == 1
    exporter.config.write_text(configuration(store))
    assert exporter.reload().ok
    assert value(exporter.metrics(), "platform_component_up", name="extra") is None


def test_secret_files_are_read_again_by_a_reload(
    exporter: Exporter, store: Database, start_redis: Callable[..., Redis], tmp_path: Path
) -> None:
    """A password that was changed in its file works after a reload."""
    redis = start_redis(password="right")
    secret = tmp_path / "redis"
    secret.write_text("wrong\n")
    target = f"{{name: locked, url: 'redis://{redis.address}', password_file: {secret}}}"
    exporter.config.write_text(configuration(store, f"probes: {{redis: [{target}]}}"))
    assert exporter.reload().ok
    assert value(exporter.metrics(), "platform_component_up", name="locked") == 0
    secret.write_text("right\n")
    assert exporter.reload().ok

    assert value(exporter.metrics(), "platform_component_up", name="locked") == 1


def test_process_is_measured(exporter: Exporter) -> None:
    """The exporter's own memory, processor time and descriptors are on /metrics, with nothing else unnamed."""
    from exporter.exposition.families import series_names
    from exporter.exposition.reference import SECTIONS

    known = {name for _, _, families in SECTIONS for family in families for name in series_names(family)}
    names = {series.partition("{")[0] for series in exporter.metrics()}

    assert "process_resident_memory_bytes" in names
    assert names <= known


def test_port_in_use_is_told(exporter: Exporter, tmp_path: Path) -> None:
    """A port that another process has is one line naming the key, the address and what to do; exit status 1."""
    address = exporter.base.removeprefix("http://")
    run = subprocess.run(
        command("serve", "--config", exporter.config, "--listen", address, "--log-level", "error"),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.count("\n") == 1
    assert address in run.stderr
    assert "another process holds port" in run.stderr


@pytest.mark.parametrize("listen", ["nowhere", "127.0.0.1:http", "127.0.0.1"])
def test_bad_listen_option_is_told(exporter: Exporter, listen: str) -> None:
    """An address on the command line that is none is wrong usage: exit status 2."""
    argv = command("serve", "--config", exporter.config, "--listen", listen)
    run = subprocess.run(argv, capture_output=True, text=True, timeout=60)

    assert run.returncode == 2
    assert f"invalid address '{listen}' for `--listen`: expected HOST:PORT" in run.stderr


def test_sigterm_ends_it_with_status_0(store: Database, tmp_path: Path) -> None:
    """SIGTERM is how it is meant to end."""
    with exporting(tmp_path, configuration(store)) as exporter:
        assert exporter.stop() == 0
        assert "Traceback" not in exporter.log


def test_starts_without_its_database_and_recovers(start_postgres: Callable[..., Postgres], tmp_path: Path) -> None:
    """It starts while PostgreSQL is down, says so, is not ready, and counts as soon as the server is there."""
    server = start_postgres()
    with fresh_database(server) as database:
        with database.connect() as connection:
            schema.apply(connection)
        insert(database, rows=5)
        server.stop()
        with exporting(tmp_path, configuration(database), ready=False) as exporter:
            poll_until(lambda: "onnection refused" in exporter.get("/-/ready").text)

            assert exporter.get("/-/ready").status_code == 503
            assert value(exporter.metrics(), "platform_exporter_source_up", source="native") == 0
            assert exporter.metrics()['platform_exporter_source_lag_seconds{source="native"}'] == float("inf")
            assert exporter.health()["status"] == "unknown"
            server.start()
            poll_until(exporter.is_ready)
            assert value(exporter.metrics(), "platform_http_requests_total", app="a") == 5


def test_counters_stay_while_the_database_is_away(start_postgres: Callable[..., Postgres], tmp_path: Path) -> None:
    """While PostgreSQL hangs the last counts stay, the lag grows, and SIGTERM still ends it within seconds."""
    server = start_postgres()
    with event_stores(server, 3) as (first, b, c):
        for database in (first, b, c):
            insert(database, rows=5)
        with exporting(tmp_path, configuration(first, sources(b=b, c=c))) as exporter:
            try:
                server.freeze()
                name = 'platform_exporter_source_lag_seconds{source="native"}'
                poll_until(lambda: exporter.metrics()[name] > 1)

                assert value(exporter.metrics(), "platform_http_requests_total", app="a") == 15
                exporter.process.send_signal(signal.SIGTERM)
                assert exporter.process.wait(PATIENCE_SECONDS) == 0
            finally:
                server.thaw()


MISSING = "postgresql://someone:{secret}@127.0.0.1:{port}/d"


COMMANDS = ("check-config", "health --config", "health --json --config", "doctor --config", "schema apply --config")


def output(arguments: str, config: Path) -> str:
    """Return all that a command says."""
    run = subprocess.run(command(*arguments.split(), config), capture_output=True, text=True, timeout=60)
    return run.stdout + run.stderr


def test_no_secret_is_ever_shown(postgres: Postgres, redis_server: Redis, tmp_path: Path) -> None:
    """Neither log, metrics, health, readiness nor the commands show a password, whatever fails."""
    pg = postgres.address
    text = f"""
database: {{dsn: 'postgresql://someone:{SECRET}@127.0.0.1:{free_port()}/d', poll_interval_seconds: 0.2}}
sources:
- preset: native
- {{preset: native, name: host, database: {{dsn: 'postgresql://u:{SECRET}@nowhere.invalid/d'}}}}
- {{preset: native, name: role, database: {{dsn: 'postgresql://nobody-here@{pg}/postgres', password: {SECRET}}}}}
- {{preset: native, name: db, database: {{password: {SECRET}, dsn: 'postgresql://{pg}/gone'}}}}
- {{preset: native, name: wire, database: {{connect_timeout_seconds: 1, dsn: 'postgresql://u:{SECRET}@{redis_server.address}/d'}}}}
- {{preset: native, name: tls, database: {{dsn: 'postgresql://u:{SECRET}@{pg}/d?sslmode=verify-full&sslrootcert=/x'}}}}
probes:
  postgresql:
  - {{name: a, dsn: 'postgresql://u:{SECRET}@127.0.0.1:{free_port()}/d'}}
  - {{name: b, dsn: 'postgresql://nobody-here:{SECRET}@{pg}/postgres'}}
  - {{name: c, dsn: 'postgresql://u:{SECRET}@nowhere.invalid/d'}}
  redis:
  - {{name: a, url: 'redis://:{SECRET}@127.0.0.1:{free_port()}/0'}}
  - {{name: b, url: 'redis://u:{SECRET}@{redis_server.address}/0'}}
  - {{name: c, url: 'redis://{redis_server.address}/0', password: {SECRET}}}
  - {{name: d, url: 'unix:///nowhere', password: {SECRET}}}
  - {{name: e, url: 'rediss://:{SECRET}@{redis_server.address}/0'}}
  minio:
  - {{name: a, endpoint: '127.0.0.1:{free_port()}', access_key: {SECRET}, secret_key: {SECRET}x, secure: false}}
  - {{name: b, endpoint: '{redis_server.address}', access_key: {SECRET}, secret_key: {SECRET}x, buckets: [b]}}
stack: {{prometheus_url: 'http://u:{SECRET}@127.0.0.1:{free_port()}'}}
"""
    shown = {}
    with exporting(tmp_path, text, ready=False) as exporter:
        poll_until(lambda: exporter.get("/-/ready").text.count("no connection to") == 6)
        shown = {path: exporter.get(path).text for path in ("/", "/metrics", "/-/ready", "/api/v1/health")}
        exporter.config.write_text(text.replace("stack:", "stakc:"))
        shown["reload"] = exporter.reload().text
        exporter.config.write_text(text)
        assert exporter.stop() == 0
        shown["log"] = exporter.log
        with ThreadPoolExecutor() as pool:  # each waits for names and servers that do not answer
            shown |= dict(pool.map(lambda arguments: (arguments, output(arguments, exporter.config)), COMMANDS))

    assert {name: text.splitlines() for name, text in shown.items() if SECRET in text} == {}
    assert all(shown.values())


def test_frozen_exporter_is_seen(store: Database, tmp_path: Path) -> None:
    """An exporter that is stopped by a signal goes on where it was when it is let go."""
    with exporting(tmp_path, configuration(store)) as exporter:
        exporter.process.send_signal(signal.SIGSTOP)
        insert(store, "frozen", 2)
        with pytest.raises(requests.Timeout):
            requests.get(f"{exporter.base}/-/healthy", timeout=0.2)
        exporter.process.send_signal(signal.SIGCONT)

        poll_until(lambda: value(exporter.metrics(), "platform_http_requests_total", app="frozen") == 2)
        assert answers(exporter)


def test_own_certificate(store: Database, tmp_path: Path) -> None:
    """An exporter that serves TLS shows when its certificate expires, after a renewal that of the new one."""
    authority, soon = trustme.CA(), datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)

    def issue(expires: datetime) -> None:
        leaf = authority.issue_cert("127.0.0.1", not_after=expires)
        leaf.private_key_pem.write_to_path(tmp_path / "key.pem")
        leaf.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")

    def shown() -> float | None:
        return exporter.metrics().get("platform_exporter_certificate_expiry_timestamp_seconds")

    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issue(soon)
    (tmp_path / "web.yml").write_text("tls_server_config: {cert_file: cert.pem, key_file: key.pem}")
    web = ("--web.config.file", tmp_path / "web.yml")
    with exporting(tmp_path, configuration(store), *web, scheme="https") as exporter:
        assert shown() == soon.timestamp()
        issue(soon + timedelta(days=90))
        assert poll_until(lambda: shown() == (soon + timedelta(days=90)).timestamp())


def test_no_certificate_without_tls(exporter: Exporter) -> None:
    """An exporter that speaks plain HTTP has no certificate."""
    assert not [name for name in exporter.metrics() if name.startswith("platform_exporter_certificate")]
