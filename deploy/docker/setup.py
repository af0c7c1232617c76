"""Set up what the services of docker-compose.yml find in their servers; run at every start, may run at any time.

PostgreSQL: logins with the passwords in their secret files, the database `platform`, its schema, who may do what.
MinIO: the bucket, and a user that may see it. Volumes: the exporter's configuration and Prometheus's.

What a profile added to them stays while the profile's services run.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import NamedTuple, TypeVar
from urllib.error import HTTPError as HTTPStatus
from urllib.request import ProxyHandler, Request, build_opener

import psycopg
import yaml
from minio import Minio, MinioAdmin
from minio.credentials.providers import StaticProvider
from psycopg import sql
from urllib3.exceptions import HTTPError

from exporter.database import schema

Result = TypeVar("Result")

HERE = Path(__file__).resolve().parent
SECRETS = Path(os.environ.get("PLATFORM_SECRETS", "/run/secrets"))
POSTGRES = os.environ.get("PLATFORM_POSTGRES", "postgres:5432")
ADMIN = os.environ.get("PLATFORM_POSTGRES_ADMIN", "postgres")
MINIO = os.environ.get("PLATFORM_MINIO", "minio:9000")
EXPORTER = os.environ.get("PLATFORM_EXPORTER", "exporter:9847")
CONFIGURATION = Path(os.environ.get("PLATFORM_CONFIGURATION", "/etc/platform-exporter")) / "platform-exporter.yml"
DEMO_SOURCES = HERE / "demo-sources.yml"
PROMETHEUS = Path(os.environ.get("PLATFORM_PROMETHEUS_FOLDER", "/var/lib/platform-exporter/prometheus"))

# Where people open Grafana: as committed, and here.
SHIPPED_GRAFANA_URL = "http://127.0.0.1:3000"
GRAFANA_URL = os.environ.get("PLATFORM_GRAFANA_URL", SHIPPED_GRAFANA_URL).rstrip("/")

# A service of each profile that stays. Their names are known while they run.
DEMO = os.environ.get("PLATFORM_DEMO_HOST", "demo-traffic")
EXPORTERS = os.environ.get("PLATFORM_EXPORTERS_HOST", "postgres-exporter")

SERVERS_START_SECONDS = 120
LOOK_UP_SECONDS = 5

OWNER = "platform_owner"
DATABASE = "platform"


class Login(NamedTuple):
    """What a login may do: its attributes, its roles, its settings, its connections at once (-1: any).

    Settings belong to logins: those of a role are not taken over by its members.
    """

    attributes: str = "NOCREATEROLE"
    roles: tuple[str, ...] = ()
    settings: Mapping[str, str] = {}
    connections: int = -1


# A dashboard's query that takes longer has gone wrong; one Grafana must not use up the connections of all.
DASHBOARD_SETTINGS = {
    "statement_timeout": "15s",
    "idle_in_transaction_session_timeout": "60s",
    "default_transaction_read_only": "on",
}
DASHBOARD_CONNECTIONS = 20

# A user of a Grafana data source may send it any query: so users, addresses and stack traces are closed until this says
# that all who can sign in to Grafana may see them (docs/access.md).
RESTRICTED_VIEWS = os.environ.get("PLATFORM_RESTRICTED_VIEWS", "off") == "on"

LOGINS = {
    # Owns the tables; nothing that runs all the time signs in as it.
    OWNER: Login("CREATEROLE"),
    # The exporter.
    "platform": Login(roles=("platform_exporter", "pg_monitor")),
    # Applications that write events.
    "platform_app": Login(roles=("platform_writer",)),
    # Grafana.
    "platform_dashboards": Login(
        roles=("platform_grafana",), settings=DASHBOARD_SETTINGS, connections=DASHBOARD_CONNECTIONS
    ),
    "platform_restricted_dashboards": Login(
        roles=("platform_grafana_restricted",) if RESTRICTED_VIEWS else (),
        settings=DASHBOARD_SETTINGS,
        connections=DASHBOARD_CONNECTIONS,
    ),
    # postgres_exporter.
    "platform_metrics": Login(roles=("pg_monitor",), settings={"statement_timeout": "10s"}),
}

BUCKET = "artifacts"
MINIO_USER = "platform"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["s3:ListBucket", "s3:GetBucketLocation"],
            "Resource": [f"arn:aws:s3:::{BUCKET}"],
        }
    ],
}


def main() -> None:
    """Do all of it, PostgreSQL first."""
    demo, exporters, exporter = map(LookUp, (DEMO, EXPORTERS, EXPORTER.partition(":")[0]))
    changed = lay(configuration(with_demo=demo.found), CONFIGURATION)
    with waited_for(lambda: superuser("postgres"), psycopg.OperationalError) as connection:
        make_logins(connection)
        make_database(connection, DATABASE)
    apply_schema()
    with superuser(DATABASE) as connection:
        grant(connection)
    if "PLATFORM_EXTERNAL_MINIO" not in os.environ:
        waited_for(set_up_minio, HTTPError)
    lay_prometheus(with_exporters=exporters.found)
    if changed:
        reload_exporter(exporter)


def secret(name: str) -> str:
    """Return a secret. Exits where its file cannot be read."""
    try:
        return (SECRETS / name).read_text(encoding="utf-8").strip()
    except OSError as error:
        sys.exit(f"setup: {SECRETS / name} cannot be read ({error.strerror}); run deploy/docker/make-secrets.sh first")


def say(text: str) -> None:
    """Print a line of progress."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class LookUp:
    """The question whether a service of this name runs: the network knows no other.

    The engine answers for a service at once; for a name that it does not know it may ask others for 10 s, for which
    nobody waits.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._addresses: list[object] = []
        self._ends = time.monotonic() + LOOK_UP_SECONDS
        self._thread = Thread(target=self._ask, daemon=True)
        self._thread.start()

    @property
    def found(self) -> bool:
        """Return the answer. Blocks for up to 5 s after the question."""
        self._thread.join(max(0, self._ends - time.monotonic()))
        return bool(self._addresses)

    def _ask(self) -> None:
        with suppress(OSError):
            self._addresses.extend(socket.getaddrinfo(self._host, None))


def waited_for(attempt: Callable[[], Result], failure: type[Exception]) -> Result:
    """Return what an attempt returns once its server has started. Exits with the failure where that takes too long."""
    deadline = time.monotonic() + SERVERS_START_SECONDS
    while True:
        try:
            return attempt()
        except failure as error:
            if time.monotonic() > deadline or "authentication failed" in str(error):
                sys.exit(f"setup: {error}")
            time.sleep(0.5)


def superuser(database: str) -> psycopg.Connection:
    """Connect in autocommit mode."""
    password = secret("postgres_superuser_password")
    dsn = f"postgresql://{ADMIN}@{POSTGRES}/{database}"
    return psycopg.connect(dsn, password=password, autocommit=True, connect_timeout=10)


def make_logins(connection: psycopg.Connection) -> None:
    """Create the logins that are missing, and give all of them the passwords in their secret files."""
    for name, login in LOGINS.items():
        # Hashed here: a password in a statement could end up in the server's log.
        hashed = connection.pgconn.encrypt_password(
            secret(f"{name}_password").encode(), name.encode(), b"scram-sha-256"
        )
        role = sql.Identifier(name)
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone():
            connection.execute(sql.SQL("CREATE ROLE {}").format(role))
        connection.execute(
            sql.SQL("ALTER ROLE {} LOGIN {} CONNECTION LIMIT {} PASSWORD {}").format(
                role, sql.SQL(login.attributes), login.connections, sql.Literal(hashed.decode())
            )
        )
        for key, value in login.settings.items():
            connection.execute(
                sql.SQL("ALTER ROLE {} SET {} = {}").format(role, sql.Identifier(key), sql.Literal(value))
            )
    say(f"logins: {', '.join(LOGINS)}")


def make_database(connection: psycopg.Connection, name: str) -> None:
    """Create a database of the owner's, which only members of its logins may enter."""
    database, owner = sql.Identifier(name), sql.Identifier(OWNER)
    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(database, owner))
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    logins = sql.SQL(", ").join(map(sql.Identifier, LOGINS))
    connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, logins))
    say(f"database: {name}")


def apply_schema() -> None:
    """Run `schema apply` as the owner, unless the schema is there: what runs meanwhile is not disturbed."""
    with superuser(DATABASE) as connection:
        if schema.is_current(connection):
            say(f"schema monitoring is at version {schema.VERSION} already")
            return
    run_as_owner("schema", "apply")


def run_as_owner(*arguments: str) -> None:
    """Run a command of the exporter with the configuration laid by `lay`, as the owner. Exits where it fails."""
    command = [sys.executable, "-m", "exporter", *arguments, "--config", str(CONFIGURATION)]
    done = subprocess.run(command, env={**os.environ, "PLATFORM_USER": OWNER}, check=False)  # noqa: S603
    if done.returncode:
        sys.exit(done.returncode)


def grant(connection: psycopg.Connection) -> None:
    """Make the logins members of the roles, which the schema created."""
    for name, login in LOGINS.items():
        for role in login.roles:
            connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), sql.Identifier(name)))
    if not RESTRICTED_VIEWS:
        connection.execute("REVOKE platform_grafana_restricted FROM platform_restricted_dashboards")
    say(f"roles granted; restricted views: {'on' if RESTRICTED_VIEWS else 'off'}")


def set_up_minio() -> None:
    """Create the bucket, and the user that the exporter signs in as."""
    root = secret_pair("platform-root", "minio_root_password")
    store = Minio(endpoint=MINIO, access_key=root[0], secret_key=root[1], secure=False, region="us-east-1")
    if not store.bucket_exists(bucket_name=BUCKET):
        store.make_bucket(bucket_name=BUCKET)
    admin = MinioAdmin(endpoint=MINIO, credentials=StaticProvider(*root), secure=False, region="us-east-1")
    admin.user_add(MINIO_USER, secret("minio_platform_secret_key"))
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(POLICY, file)
        file.flush()
        admin.policy_add(MINIO_USER, policy_file=file.name)
    if MINIO_USER not in json.loads(admin.user_info(MINIO_USER)).get("policyName", "").split(","):
        admin.attach_policy([MINIO_USER], user=MINIO_USER)
    say(f"bucket: {BUCKET}, seen by {MINIO_USER}")


def secret_pair(user: str, name: str) -> tuple[str, str]:
    """Return a user's name and secret."""
    return user, secret(name)


def configuration(*, with_demo: bool) -> str:
    """Return the exporter's configuration, with the demo's sources or without."""
    base = HERE.joinpath("platform-exporter.yml").read_text(encoding="utf-8")
    if not with_demo:
        return base
    lines = DEMO_SOURCES.read_text(encoding="utf-8").splitlines()
    sources = "".join(f"  {line}\n" for line in lines if not line.startswith("#"))
    return base.replace("  - preset: native\n", f"  - preset: native\n{sources}", 1)


def lay(text: str, target: Path) -> bool:
    """Write a file so that readers see the old or the new one, never half; return whether it is another than before."""
    if target.exists() and target.read_text(encoding="utf-8") == text:
        return False
    target.parent.mkdir(exist_ok=True)
    new = target.with_name(f".{target.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(target)
    return True


def lay_prometheus(*, with_exporters: bool) -> None:
    """Lay Prometheus's configuration, rules and targets where it reads them. Targets it notices by itself."""
    shipped = HERE.parent / "prometheus"
    files = {file.relative_to(shipped): file for file in (shipped / "prometheus.yml", *shipped.glob("rules/*.yml"))}
    files |= {Path("targets", file.name): file for file in shipped.glob("targets/compose/*.yml")}
    if with_exporters:
        files |= {Path("targets", file.name): file for file in other_exporters(shipped / "targets")}
    for place, file in files.items():
        lay(file.read_text(encoding="utf-8").replace(SHIPPED_GRAFANA_URL, GRAFANA_URL), PROMETHEUS / place)
    for laid in PROMETHEUS.glob("*/*.yml"):
        if laid.relative_to(PROMETHEUS) not in files:
            laid.unlink()
    say(f"prometheus: links to {GRAFANA_URL}, other exporters {'on' if with_exporters else 'off'}")


def other_exporters(targets: Path) -> list[Path]:
    """Return the files of targets of the profile `exporters` whose services run: yours may stand in for a server."""
    files = sorted(targets.glob("compose-exporters/*.yml"))
    groups = {file: yaml.safe_load(file.read_text(encoding="utf-8")) for file in files}
    services = {file: LookUp(groups[file][0]["targets"][0].partition(":")[0]) for file in files}
    return [file for file in files if services[file].found]


def reload_exporter(exporter: LookUp) -> None:
    """Have a running exporter read its configuration; one that does not run yet reads it when it starts."""
    if not exporter.found:
        say("exporter: not running yet")
        return
    try:
        build_opener(ProxyHandler({})).open(Request(f"http://{EXPORTER}/-/reload", method="POST"), timeout=30).close()
    except HTTPStatus as error:
        sys.exit(f"setup: the exporter refuses its configuration; see its log ({error})")
    except OSError:
        say("exporter: not running yet")
    else:
        say("exporter: reloaded")


if __name__ == "__main__":
    main()
