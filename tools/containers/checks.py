"""What `make test-compose` tries, in this order; each leaves the project running for the next."""

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import yaml

from tools.containers.project import DEADLINE_SECONDS, PROFILES, Project, until
from tools.stack.checkout import CHECKOUT
from tools.stack.errors import StackError

Check = Callable[[Project], str]


def starts(project: Project) -> str:
    """Start without profiles on empty volumes."""
    began = time.monotonic()
    project.compose("up", "-d")
    up = time.monotonic() - began
    project.wait_healthy()
    return f"up after {up:.0f} s, all healthy after {time.monotonic() - began:.0f} s"


def starts_profiles(project: Project) -> str:
    """Start both profiles; what ends has ended well and is not called unhealthy; nothing is left out."""
    project.compose(*PROFILES, "up", "-d")
    project.wait_healthy()
    found = project.containers()
    ended = {name: one["State"] for name, one in found.items() if name not in project.staying()}
    if wrong := [name for name, state in ended.items() if state["ExitCode"] or "Health" in state]:
        raise StackError(f"ended badly: {', '.join(wrong)}")
    if missing := set(project.compose(*PROFILES, "config", "--services").split()) - set(found):
        raise StackError(f"not started: {', '.join(missing)}")
    return f"{len(project.staying())} healthy, {len(ended)} ended with 0"


def flows(project: Project) -> str:
    """Every target is scraped, both Alertmanagers are known, every rule works, the doctor finds nothing."""

    def down() -> list[str]:
        return [one["labels"]["instance"] for one in project.prometheus("/api/v1/targets")["activeTargets"]
                if one["health"] != "up"]  # fmt: skip

    until(lambda: not down(), 120, "scrape of every target")
    targets = {one["labels"]["instance"] for one in project.prometheus("/api/v1/targets")["activeTargets"]}
    files = [file for name in ("compose", "compose-exporters") for file in (TARGETS / name).glob("*.yml")]
    listed = {one for file in files for group in yaml.safe_load(file.read_text()) for one in group["targets"]}
    alertmanagers = project.prometheus("/api/v1/alertmanagers")["activeAlertmanagers"]
    rules = [rule for group in project.prometheus("/api/v1/rules")["groups"] for rule in group["rules"]]
    broken = [rule["name"] for rule in rules if rule["health"] == "err"]
    if len(alertmanagers) != 2 or broken or targets != listed:
        raise StackError(f"{len(alertmanagers)} Alertmanagers, targets {sorted(targets)}, broken rules: {broken}")
    project.execute("exporter", "platform-exporter", "doctor", "--config", CONFIGURATION)
    return f"{len(targets)} targets, {len(rules)} rules, doctor content"


def returns(project: Project) -> str:
    """Every container is killed once and comes back."""
    seconds = {name: project.kill(name) for name in project.staying()}
    project.wait_healthy()
    slowest = max(seconds, key=lambda name: seconds[name])
    return f"{len(seconds)} killed and back, {slowest} last after {seconds[slowest]:.0f} s"


def notifies(project: Project) -> str:
    """An outage is notified after each of the alerting services was killed: by Prometheus, then both Alertmanagers."""
    for service in ("notifications", "alertmanager", "alertmanager-2"):
        project.kill(service)
    before = len(project.notifications())
    project.compose("stop", "redis")
    began = time.monotonic()
    try:
        until(lambda: _redis_is_down(project.notifications()[before:]), DEADLINE_SECONDS, "notification of the outage")
        seconds = time.monotonic() - began
    finally:
        project.compose("start", "redis")
    project.wait_healthy()
    return f"outage of Redis notified after {seconds:.0f} s"


def reloads(project: Project) -> str:
    """A reload as documented leaves containers that come back after a crash."""
    for service in ("prometheus", "alertmanager", "alertmanager-2"):
        project.sh(f"docker compose exec -T {service} kill -HUP 1")
        project.kill(service)
    return "HUP, then kill -9: back"


def starts_again(project: Project) -> str:
    """A second `up` makes no container again, and takes away no source and no target meanwhile."""
    before = {name: one["Id"] for name, one in project.staying().items()}
    with project.watched(WATCH_SOURCES) as end:
        project.compose(*PROFILES, "up", "-d")
        seen, gone, first = end().split(maxsplit=2)
    if int(gone) or int(seen) < 3:
        raise StackError(f"sources of the demo were gone at {gone} of {seen} looks, at first: {first}")
    if before != {name: one["Id"] for name, one in project.staying().items()}:
        raise StackError("containers were made again")
    return f"sources there at {seen} of {seen} looks"


def keeps(project: Project) -> str:
    """Down and up again: counters do not fall, and no volume without a name is left."""
    before = _requests(project)
    project.compose(*PROFILES, "down")
    volumes = project.engine.run("volume", "ls", "--quiet").split()
    if anonymous := [name for name in volumes if not name.startswith("platform_")]:
        raise StackError(f"anonymous volumes: {len(anonymous)}")
    project.compose(*PROFILES, "up", "-d")
    project.wait_healthy()
    until(lambda: _requests(project) >= before, 120, "counters as before")
    return f"{before:.0f} requests before, {_requests(project):.0f} after; {len(volumes)} volumes, all named"


def rotates(project: Project) -> str:
    """The superuser's password and Grafana's are changed as documented."""
    superuser, grafana = documented("### Change a secret")
    project.sh(superuser.replace("docker compose up -d", f"docker compose {' '.join(PROFILES)} up -d"))
    project.wait_healthy()
    project.sh(grafana)
    project.sh(
        'curl --silent --fail --user "admin:$(cat secrets/grafana_admin_password)" http://127.0.0.1:3000/api/org'
    )
    return "superuser's and Grafana's, all healthy"


def restores(project: Project) -> str:
    """A dump is restored into a new installation, and a volume saved, by the documented lines; counters go on."""
    _, dump, restore, save = documented("## Upgrade, back up, restore")
    before = _counted(project)
    project.sh(dump)
    project.sh(save)
    project.compose(*PROFILES, "down", "--volumes")
    project.sh("rm -rf secrets; test -s prometheus.tar.gz")
    project.sh(restore)
    project.wait_healthy()
    until(lambda: _counted(project) >= before, DEADLINE_SECONDS, "counters as in the dump")
    return f"{before:.0f} requests counted before the dump, {_counted(project):.0f} after the restore"


@contextmanager
def _database_outside(project: Project) -> Iterator[str]:
    """Run a PostgreSQL with TLS on a network of its own; yield its address for other networks."""
    engine = project.engine
    engine.run("network", "create", "outside")
    gateway = engine.run("network", "inspect", "outside", "--format", "{{(index .IPAM.Config 0).Gateway}}").strip()
    password = (project.folder / "secrets/postgres_superuser_password").read_text()
    [image] = set(re.findall(r"image: (postgres:\S+)", (project.folder / "docker-compose.yml").read_text()))
    engine.run(
        *("run", "--detach", "--name", "outside-db", "--network", "outside", "--publish", f"{gateway}:55432:5432"),
        *("--user", "999:999", "--env", f"PASSWORD={password}", "--env", "POSTGRES_PASSWORD_FILE=/tmp/password"),
        *("--env", "POSTGRES_HOST_AUTH_METHOD=scram-sha-256", "--tmpfs", "/run/postgresql:uid=999"),
        *("--entrypoint", "bash", image, "-c", TLS_SERVER),
    )
    try:
        yield f"{gateway}:55432"
    finally:
        engine.run("rm", "--force", "--volumes", "outside-db")
        engine.run("network", "rm", "outside")


def takes_a_database_of_yours(project: Project) -> str:
    """Two lines of `.env` and a password: everything works with a PostgreSQL outside, over TLS; none of ours runs."""
    project.compose(*PROFILES, "down", "--volumes")
    variants = ("docker-compose.yml", "deploy/docker/external-postgresql.yml", "deploy/docker/publish-exporter.yml")
    with _database_outside(project) as address:
        project.settings({"COMPOSE_FILE": ":".join(variants), "PLATFORM_POSTGRES": address})
        try:
            project.compose("--profile", "demo", "up", "-d")
            project.wait_healthy()
            if "postgres" in project.containers():
                raise StackError("the bundled PostgreSQL was started")
            until(lambda: _requests(project) > 0, DEADLINE_SECONDS, "events counted in the database outside")
            requests = _requests(project)
            series = project.sh(f"{ASK_PORT} | grep -c ^platform_").strip()
        finally:
            project.compose("--profile", "demo", "down", "--volumes")
            project.settings({})
        _runs_alone(project, address)
    return f"{requests:.0f} requests counted, {series} series on 127.0.0.1:9847; the exporter alone as documented"


def _runs_alone(project: Project, address: str) -> None:
    """Run the documented `docker run` with that database."""
    folder = project.folder / "my"
    folder.mkdir(exist_ok=True)
    password = project.folder / "secrets/platform_owner_password"
    shutil.copy(password, folder / "password")
    (folder / "platform-exporter.yml").write_text(ALONE.format(address=address))
    [lines] = documented("## The exporter alone")
    try:
        project.sh(lines.partition("\n")[2])  # the image is there
        until(lambda: project.sh(f"{ASK_PORT} | grep -c ^platform_"), DEADLINE_SECONDS, "answer of the exporter alone")
    finally:
        project.engine.run("rm", "--force", "platform-exporter")
        project.engine.run("volume", "rm", "--force", "platform-exporter")


CHECKS: tuple[Check, ...] = (
    starts,
    starts_profiles,
    flows,
    returns,
    notifies,
    reloads,
    starts_again,
    keeps,
    rotates,
    restores,
    takes_a_database_of_yours,
)

CONFIGURATION = "/etc/platform-exporter/platform-exporter.yml"
TARGETS = CHECKOUT / "prometheus/targets"
ASK_PORT = "curl --silent --fail --max-time 20 http://127.0.0.1:9847/metrics"
TLS_SERVER = """
umask 077; printf %s "$PASSWORD" > /tmp/password
openssl req -new -x509 -nodes -subj /CN=db -days 2 -keyout /tmp/key -out /tmp/crt 2>/dev/null
exec docker-entrypoint.sh postgres -c ssl=on -c ssl_key_file=/tmp/key -c ssl_cert_file=/tmp/crt
"""
ALONE = """
listen: 0.0.0.0:9847
state_folder: /var/lib/platform-exporter/state
database:
  dsn: postgresql://platform_owner@{address}/platform?sslmode=require
  password_file: password
sources:
  - preset: native
"""
WATCH_SOURCES = """
import select, sys, urllib.request
seen = gone = 0
first = "-"
while not select.select([sys.stdin], [], [], 0.2)[0]:
    text = urllib.request.urlopen("http://127.0.0.1:9847/metrics", timeout=10).read().decode()
    seen += 1
    if 'platform_exporter_source_up{source="scitex"} 1' not in text:
        gone += 1
        if first == "-":
            first = [line for line in text.splitlines() if "exporter_source_up{" in line]
print(seen, gone, first)
"""


def _redis_is_down(notifications: str) -> bool:
    words = ("PlatformComponentDown", "redis", "firing")
    return any(all(word in line for word in words) for line in notifications.splitlines())


def _requests(project: Project) -> float:
    found = re.findall(r'^platform_http_requests_total\{.*app="demo-shop".*\} (\S+)$', project.metrics(), re.MULTILINE)
    return sum(map(float, found))


def _counted(project: Project) -> float:
    """Return how many requests the event store says were counted."""
    query = "SELECT sum(value) FROM monitoring.rollup WHERE metric = 'platform_http_requests_total'"
    sign_in = (
        'PGPASSWORD="$(cat /run/secrets/postgres_superuser_password)" exec psql -h 127.0.0.1 -U postgres -At platform'
    )
    return float(project.execute("postgres", "sh", "-c", sign_in, text=query))


def documented(heading: str) -> list[str]:
    """Return the indented blocks of a section of docs/docker.md."""
    text = (CHECKOUT / "docs/docker.md").read_text(encoding="utf-8")
    section = text.partition(f"\n{heading}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"(?:^ {4,}\S.*\n)+", section, re.MULTILINE)
    return ["\n".join(line.strip() for line in block.splitlines()) for block in blocks]
