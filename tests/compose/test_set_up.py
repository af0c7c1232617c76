"""What runs inside the containers of docker-compose.yml, run as plain processes against real servers."""

import io
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import redis
import requests
from minio import Minio as MinioClient
from minio.error import S3Error
from redis.backoff import NoBackoff
from redis.retry import Retry

from exporter.database.schema import VERSION
from tests.compose.shipped import ROOT, SERVICES, made_secrets
from tests.servers import PATIENCE_SECONDS, WHEELS_ONLY, ServerFactory, TcpProxy
from tools.stack.ports import free_port
from tools.stack.programs.search import find
from tools.stack.servers.minio import Minio
from tools.stack.servers.postgres import Postgres

pytestmark = pytest.mark.xdist_group("compose")

CONTAINER_MOUNTS = {"deploy/docker": "docker", "prometheus": "prometheus"}
"""What is mounted below /srv: folder of the checkout -> folder there."""


@dataclass(frozen=True)
class Stack:
    """The servers that compose would run, and the environment that leads its scripts to them."""

    folder: Path
    postgres: Postgres
    minio: Minio
    redis_address: str
    environment: Mapping[str, str]

    @property
    def configuration(self) -> Path:
        """Return the configuration that the exporter would read."""
        return self.folder / "configuration" / "platform-exporter.yml"

    def secret(self, name: str) -> str:
        """Return a secret."""
        return (self.folder / "secrets" / name).read_text()

    def run(self, *argv: str | Path) -> str:
        """Run a command as a container would and return its output; fail with what it said."""
        done = subprocess.run(
            argv, env={**os.environ, **self.environment}, cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def script(self, name: str, *arguments: str) -> str:
        """Run one of deploy/docker/*.py as mounted."""
        return self.run(sys.executable, self.folder / "srv" / "docker" / name, *arguments)

    def connect(self, login: str, database: str = "platform") -> psycopg.Connection:
        """Connect over TCP with the login's secret."""
        dsn = f"postgresql://{login}@{self.postgres.address}/{database}"
        return psycopg.connect(dsn, password=self.secret(f"{login}_password"), autocommit=True)


@contextmanager
def shipped_redis(folder: Path, secrets: Path) -> Iterator[str]:
    """Run Redis with deploy/docker/redis.conf and the secret's users; yield its address."""
    port = free_port()
    folder.mkdir()
    settings = {"port": port, "bind": "127.0.0.1", "aclfile": secrets / "redis_users"}
    arguments = [part for key, value in settings.items() for part in (f"--{key}", str(value))]
    command = [find("redis-server").path, ROOT / "deploy" / "docker" / "redis.conf", *arguments]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(list(map(str, command)), cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: can_connect(port), lambda: (folder / "log").read_text())
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def can_connect(port: int) -> bool:
    """Return whether a server listens."""
    with closing(socket.socket()) as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition: Callable[[], bool], explain: Callable[[], str]) -> None:
    """Poll to a deadline; fail with the explanation."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.05)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, session_servers: ServerFactory) -> Iterator[Stack]:
    """Return the servers after `setup` ran once."""
    folder = tmp_path_factory.mktemp("compose")
    secrets = made_secrets(folder / "secrets")
    for folder_here, mounted in CONTAINER_MOUNTS.items():
        shutil.copytree(ROOT / folder_here, folder / "srv" / mounted)
    for volume in ("configuration", "prometheus", "alerts", "state"):
        (folder / volume).mkdir()
    newest = find("postgres", places=WHEELS_ONLY)  # as the image's, not the machine's own
    postgres = session_servers.start(Postgres, durable=False, auth="scram-sha-256", binary=newest)
    with postgres.connect() as connection, psycopg.ClientCursor(connection) as cursor:
        cursor.execute("ALTER ROLE postgres PASSWORD %s", [(secrets / "postgres_superuser_password").read_text()])
    minio = session_servers.make(Minio, flavour="minio", drives=1)
    minio.access_key, minio.secret_key = "platform-root", (secrets / "minio_root_password").read_text()
    minio.start()
    with shipped_redis(folder / "redis", secrets) as redis_address:
        environment = {
            "PLATFORM_SECRETS": str(secrets),
            "PLATFORM_POSTGRES": postgres.address,
            "PLATFORM_MINIO": minio.address,
            "PLATFORM_REDIS": redis_address,
            "PLATFORM_EXPORTER": "127.0.0.1:9",
            "PLATFORM_DEMO_HOST": "does-not-run.invalid",
            "PLATFORM_EXPORTERS_HOST": "does-not-run.invalid",
            "PLATFORM_DEMO_PAST": "1h",
            "PLATFORM_CONFIGURATION": str(folder / "configuration"),
            "PLATFORM_PROMETHEUS_FOLDER": str(folder / "prometheus"),
            "PLATFORM_SPOOL": str(folder / "alerts"),
            "PLATFORM_STATE": str(folder / "state"),
            "PYTHONPATH": str(ROOT),
            "PATH": f"{newest.path}:{os.environ['PATH']}",
        }
        stack = Stack(folder, postgres, minio, redis_address, environment)
        stack.script("setup.py")
        yield stack


def configuration_readers() -> list[str]:
    """Return the services that read the exporter's configuration: those with the volume that it is laid in."""
    return [name for name, service in SERVICES.items() if "/etc/platform-exporter" in str(service.get("volumes"))]


@pytest.mark.parametrize("with_demo", [False, True])
@pytest.mark.parametrize("service", configuration_readers())
def test_a_service_has_all_that_its_configuration_names(tmp_path: Path, service: str, with_demo: bool) -> None:
    """The configuration passes check-config with exactly the secrets and the user of each service that reads it."""
    shutil.copytree(ROOT / "deploy" / "docker", tmp_path / "docker")
    code = f"import setup; print(setup.configuration(with_demo={with_demo}), end='')"
    paths = {"PYTHONPATH": str(ROOT)}
    text = subprocess.check_output(
        [sys.executable, "-c", code], cwd=tmp_path / "docker", text=True, env={**os.environ, **paths}
    )
    (tmp_path / "platform-exporter.yml").write_text(text)
    folders = {"PLATFORM_STATE": str(tmp_path / "state"), "PLATFORM_SPOOL": str(tmp_path / "spool")}
    (tmp_path / "secrets").mkdir()
    made = made_secrets(tmp_path / "made")
    for name in SERVICES[service]["secrets"]:
        shutil.copy(made / name, tmp_path / "secrets")
    # Scripts of `setup` and `demo` run commands as the tables' owner.
    user = SERVICES[service].get("environment", {}).get("PLATFORM_USER")
    users = {"PLATFORM_USER": user or "platform_owner"} if service != "exporter" else {}
    environment = {**os.environ, **users, **folders, "PLATFORM_SECRETS": str(tmp_path / "secrets")}

    done = subprocess.run(
        [sys.executable, "-m", "exporter", "check-config", tmp_path / "platform-exporter.yml"],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert f"database platform at postgres:5432 as {users.get('PLATFORM_USER', 'platform')}\n" in done.stdout
    assert ("scitex" in done.stdout) == with_demo


def test_set_up_may_run_again(stack: Stack) -> None:
    """It runs at every start, and leaves nothing half-written beside the files it lays."""
    said = stack.script("setup.py")

    assert "schema monitoring is at version" in said
    assert "exporter:" not in said, "it is not reloaded where nothing changed"
    assert [path.name for path in stack.configuration.parent.iterdir()] == ["platform-exporter.yml"]
    assert contents(stack.folder / "prometheus/targets") == contents(ROOT / "prometheus/targets/compose")
    assert contents(stack.folder / "prometheus/rules") == contents(ROOT / "prometheus/rules")


def test_what_is_there_is_left_alone(stack: Stack) -> None:
    """Setting up again waits for no program that reads a table meanwhile, and stops none."""
    with stack.connect("platform") as reader, reader.transaction():
        reader.execute("SELECT FROM monitoring.error LIMIT 1")

        said = stack.script("setup.py")

    assert f"schema monitoring is at version {VERSION} already" in said


def test_links_lead_to_grafanas_address(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens Grafana elsewhere has that address in all that Prometheus reads; no rule of before stays."""
    gone = stack.folder / "prometheus/rules/gone.yml"
    gone.write_text("groups: []")
    monkeypatch.setitem(stack.environment, "PLATFORM_GRAFANA_URL", "https://grafana.example.org/")

    stack.script("setup.py")

    laid = [(stack.folder / "prometheus/prometheus.yml").read_text()]
    laid += contents(stack.folder / "prometheus/rules").values()
    assert not gone.exists()
    assert not [text for text in laid if "http://127.0.0.1:3000" in text]
    assert "https://grafana.example.org/d/platform-runbook" in "".join(laid)


def test_sources_of_a_profile_stay_while_it_runs(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Setting up again takes nothing from a profile whose service runs, and takes back that of one that does not."""
    for host, counted in (("localhost", True), ("does-not-run.invalid", False)):
        monkeypatch.setitem(stack.environment, "PLATFORM_DEMO_HOST", host)

        stack.script("setup.py")

        assert ("preset: scitex" in stack.configuration.read_text()) == counted


def test_it_waits_for_a_server_that_starts(stack: Stack) -> None:
    """`setup` begins before PostgreSQL answers, tries again, and does its work."""
    host, _, port = stack.postgres.address.partition(":")
    argv = [sys.executable, stack.folder / "srv/docker/setup.py"]
    with TcpProxy(host, int(port)) as proxy:
        proxy.cut()
        environment = {**os.environ, **stack.environment, "PLATFORM_POSTGRES": proxy.address}
        with subprocess.Popen(argv, env=environment, cwd=stack.folder, stdout=subprocess.PIPE, text=True) as process:
            wait_for(lambda: proxy.accepted > 1, lambda: "it did not try again")
            proxy.restore()
            said, _ = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 0
    assert "bucket: artifacts" in said


def test_a_changed_password_is_taken_over(stack: Stack) -> None:
    """A secret file made again is what its login signs in with from the next start on."""
    file = stack.folder / "secrets" / "platform_metrics_password"
    file.unlink()
    made_secrets(file.parent)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        stack.connect("platform_metrics", "postgres")

    stack.script("setup.py")

    with stack.connect("platform_metrics", "postgres") as connection:
        assert connection.execute("SELECT pg_has_role('pg_monitor', 'MEMBER')").fetchone() == (True,)


def test_applications_write_and_read_nothing(stack: Stack) -> None:
    """The applications' login may add events and no more."""
    event = """INSERT INTO monitoring.api_call (at, app, api, endpoint, outcome, duration_seconds)
               VALUES (now(), 'x', 'arxiv', '/q', 'success', 0.2)"""
    with stack.connect("platform_app") as connection:
        connection.execute(event)

        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM monitoring.api_call")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE public.mine ()")


def test_dashboards_read_the_views_and_change_nothing(stack: Stack) -> None:
    """Grafana's login sees the views, no address, and cannot write."""
    with stack.connect("platform_dashboards") as connection:
        connection.execute("SELECT * FROM monitoring_views.api_call")

        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM monitoring.http_request")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("CREATE TEMPORARY TABLE t ()")


@pytest.mark.parametrize("login", ["platform_dashboards", "platform_restricted_dashboards"])
def test_dashboards_are_limited(stack: Stack, login: str) -> None:
    """By their logins: how long a query takes, how many there are, that none writes."""
    with stack.connect(login) as connection:
        shown = [
            connection.execute(f"SHOW {name}".encode()).fetchone()
            for name in ("statement_timeout", "idle_in_transaction_session_timeout", "default_transaction_read_only")
        ]
        limit = connection.execute("SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user").fetchone()

    assert shown == [("15s",), ("1min",), ("on",)]
    assert limit == (20,)


def test_restricted_views_are_closed_until_opened(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users, addresses and stack traces: closed as shipped, open with one variable, and closed again without it."""

    def may_read() -> bool:
        with stack.connect("platform_restricted_dashboards") as connection:
            try:
                connection.execute("SELECT stack_trace FROM monitoring_restricted.error")
            except psycopg.errors.InsufficientPrivilege:
                return False
        return True

    seen = [may_read()]
    for value in ("on", "off"):
        monkeypatch.setitem(stack.environment, "PLATFORM_RESTRICTED_VIEWS", value)
        stack.script("setup.py")
        seen.append(may_read())

    assert seen == [False, True, False]


def test_no_login_may_administer(stack: Stack) -> None:
    """None of the logins is a superuser or creates databases, and only the owner creates roles."""
    with stack.postgres.connect(password=stack.secret("postgres_superuser_password")) as connection:
        rows = connection.execute(
            """SELECT rolname, rolsuper, rolcreatedb, rolcreaterole, rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid
               WHERE rolcanlogin AND rolname <> 'postgres' ORDER BY rolname"""
        ).fetchall()

    assert [row[0] for row in rows] == [
        "platform",
        "platform_app",
        "platform_dashboards",
        "platform_metrics",
        "platform_owner",
        "platform_restricted_dashboards",
    ]
    assert all(row[1:3] == (False, False) and row[4] for row in rows)
    assert [row[0] for row in rows if row[3]] == ["platform_owner"]


def test_minio_shows_the_exporter_its_bucket_only(stack: Stack) -> None:
    """The exporter's keys see that the bucket is there, and can put nothing in it."""
    keys = {"access_key": "platform", "secret_key": stack.secret("minio_platform_secret_key")}
    store = MinioClient(endpoint=stack.minio.address, secure=False, region="us-east-1", **keys)

    assert store.bucket_exists(bucket_name="artifacts")
    with pytest.raises(S3Error, match="AccessDenied"):
        store.put_object(bucket_name="artifacts", object_name="x", data=io.BytesIO(b"x"), length=1)


def test_redis_lets_each_user_do_its_work_only(stack: Stack) -> None:
    """Nobody enters without a password; the exporter's user reads no value; applications do not administer."""

    def client(user: str | None, password: str | None) -> redis.Redis:
        host, _, port = stack.redis_address.partition(":")
        return redis.Redis(host=host, port=int(port), username=user, password=password, retry=Retry(NoBackoff(), 0))

    with closing(client(None, stack.secret("redis_password"))) as application:
        application.rpush("celery", "task")
        with pytest.raises(redis.exceptions.NoPermissionError):
            application.config_get("dir")
    with closing(client("platform", stack.secret("redis_platform_password"))) as prober:
        assert prober.llen("celery") == 1
        with pytest.raises(redis.exceptions.NoPermissionError):
            prober.lrange("celery", 0, -1)
    with closing(client("metrics", stack.secret("redis_metrics_password"))) as metrics:
        metrics.config_get("maxmemory")
        metrics.slowlog_len()
    with closing(client(None, None)) as stranger, pytest.raises(redis.exceptions.AuthenticationError):
        stranger.ping()


def test_the_exporters_profile_changes_the_targets(stack: Stack) -> None:
    """Prometheus is pointed at those of the other exporters that run, and at both Alertmanagers as before."""
    shipped = stack.folder / "srv/prometheus/targets/compose-exporters"
    laid = stack.folder / "prometheus/targets"
    alertmanagers = (laid / "alertmanager.yml").read_text()
    (shipped / "redis_exporter.yml").write_text('- targets: ["localhost:9121"]\n')

    stack.script("exporters.py")

    assert "localhost:9121" in (laid / "redis_exporter.yml").read_text()
    assert "9187" not in (laid / "postgres_exporter.yml").read_text()
    assert (laid / "alertmanager.yml").read_text() == alertmanagers
    stack.script("setup.py")
    assert "localhost:9121" not in (laid / "redis_exporter.yml").read_text()


def test_the_demo_is_counted(stack: Stack) -> None:
    """Demo data are loaded once, adopted, and reach /metrics of an exporter started like the image's."""
    loader = ("sh", stack.folder / "srv" / "docker" / "demo-load.sh", ROOT / "tools" / "demo")
    stack.script("demo.py", "create")
    assert stack.run(*loader).count("loaded") == 2
    stack.script("demo.py", "adopt")

    with exporter(stack) as address:
        healthcheck = ROOT / "deploy" / "docker" / "healthcheck.py"
        stack.run(sys.executable, healthcheck, f"http://{address}/-/healthy", f"http://{address}/-/ready")
        metrics = requests.get(f"http://{address}/metrics", timeout=PATIENCE_SECONDS).text

        assert 'platform_exporter_source_up{source="stratlogic"} 1' in metrics
        assert 'platform_exporter_source_up{source="scitex"} 1' in metrics
        assert 'platform_exporter_source_up{source="native"} 1' in metrics
        assert 'platform_release_first_seen_timestamp_seconds{app="demo-shop"' in metrics
        for component in ("postgresql", "redis", "minio"):
            assert f'platform_component_up{{component="{component}",name="main"}} 1' in metrics
        assert 'platform_minio_bucket_up{bucket="artifacts",name="main"} 1' in metrics
        assert 'platform_queue_length{group="",name="main",queue="celery"}' in metrics

        again = {**stack.environment, "PLATFORM_EXPORTER": address}
        reloading = Stack(stack.folder, stack.postgres, stack.minio, stack.redis_address, again)
        assert "exporter: reloaded" in reloading.script("setup.py")
        assert stack.run(*loader).count("tables already") == 2
        assert "exporter: reloaded" in reloading.script("demo.py", "adopt")
        stack.script("demo.py", "remove")


def contents(folder: Path) -> dict[str, str]:
    """Return the text of every file of a folder."""
    return {path.name: path.read_text() for path in folder.iterdir()}


@contextmanager
def exporter(stack: Stack) -> Iterator[str]:
    """Run `serve` with the configuration laid out; yield its address once it is ready."""
    address = f"127.0.0.1:{free_port()}"
    options = ["--config", str(stack.configuration), "--listen", address, "--web.enable-lifecycle"]
    command = [sys.executable, "-m", "exporter", "serve", *options]
    log = stack.folder / "exporter.log"
    with log.open("w") as errors:
        process = subprocess.Popen(command, env={**os.environ, **stack.environment}, cwd=ROOT, stderr=errors)

    def ready() -> bool:
        try:
            return requests.get(f"http://{address}/-/ready", timeout=PATIENCE_SECONDS).ok
        except requests.RequestException:
            return False

    try:
        wait_for(ready, log.read_text)
        yield address
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)
