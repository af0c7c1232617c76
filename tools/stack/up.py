"""Start the whole platform as plain processes, and show that it works."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import requests

from tools.stack import demo, settings_files, users, witness
from tools.stack.binaries import Binary, find
from tools.stack.errors import StackError
from tools.stack.own import Demo, Feeder, OwnServer, run_own
from tools.stack.places import CHECKOUT, lock
from tools.stack.ports import free_port, is_free
from tools.stack.servers import Alertmanager, Grafana, Minio, Postgres, Prometheus, Redis, Server
from tools.stack.servers.alertmanager import Cluster
from tools.stack.servers.minio import Flavour
from tools.stack.state import State, fingerprint

USUAL_PORTS = {
    "postgres": 5432,
    "redis": 6379,
    "minio": 9000,
    "exporter": 9847,
    "receiver": 9848,
    "alertmanager": 9093,
    "prometheus": 9090,
    "grafana": 3000,
}

# With two Alertmanagers: the second, and where the two talk to each other.
PAIR_PORTS = {"alertmanager-2": 9095, "alertmanager-cluster": 9094, "alertmanager-2-cluster": 9096}

# Worst case of the demo's breach: some 20 s for 20 events, `for` 30 s, and the way to the receiver 30 s.
SIGHT_DEADLINE_SECONDS = 180

AnyServer = TypeVar("AnyServer", bound=Server)


def run(
    folder: Path,
    *,
    free_ports: bool = False,
    grafana: bool = True,
    wait: bool = True,
    two_alertmanagers: bool = False,
    traffic: bool = True,
    past: str = "7d",
) -> int:
    """Start what does not run yet in this state folder and print where it answers.

    Where two Alertmanagers run already, they stay two. Without traffic there is nothing to wait for.

    Returns 1 where the demo's events do not come through. Raises StackError that names the step and what to do.
    """
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    state = State.open(folder)
    with lock(state.folder, "up"):
        state.save()  # from now on it is a stack's folder, which `clean` may remove
        two = two_alertmanagers or state.running("alertmanager-2") is not None
        stack = Stack(state, free_ports=free_ports, two_alertmanagers=two)
        stack.start(grafana=grafana, traffic=traffic, past=past)
    said = "Everything is started" if stack.started else "Everything runs already"
    print(f"\n{said}, after {time.monotonic() - began:.0f} s.", flush=True)
    well = not (wait and traffic) or _show(state, SIGHT_DEADLINE_SECONDS if "feeder" in stack.started else 0)
    _print_addresses(state)
    if not well:
        print("\nUp, but not all is well: see above.")
    elif stack.started:
        print(f"\nUp after {time.monotonic() - began:.0f} s.")
    return 0 if well else 1


class Stack:
    """Bring up one stack. `started` holds the names of what this start had to start."""

    def __init__(self, state: State, *, free_ports: bool, two_alertmanagers: bool = False) -> None:
        self.state = state
        self.started: list[str] = []
        self._free_ports = free_ports
        self._ports = USUAL_PORTS | (PAIR_PORTS if two_alertmanagers else {})

    def start(self, *, grafana: bool, traffic: bool, past: str) -> None:
        """Start everything that does not run, in the order in which one needs the other."""
        with _step("obtaining the programs"):
            binaries, flavour = self._programs(grafana)
        self._choose_ports(grafana)
        state, folder = self.state, self.state.folder

        postgres = Postgres(folder, port=state.ports["postgres"], auth="scram-sha-256", binary=binaries["postgres"])
        self._ensure(postgres, "PostgreSQL")
        with _step("the demo databases"):
            for name in demo.DATABASES:
                if demo.load(postgres, name):
                    _line(name, "demo database loaded, its times moved up to now")
        redis = Redis(
            folder, port=state.ports["redis"], password=state.secret("redis"), binary=binaries["redis-server"]
        )
        self._ensure(redis, "Redis")
        minio = Minio(folder, port=state.ports["minio"], flavour=flavour, binary=binaries["minio"])
        self._ensure(minio, "MinIO" if flavour == "minio" else "S3 store (moto)", flavour)
        with _step(f"the bucket {settings_files.BUCKET}"):
            if not minio.client().bucket_exists(bucket_name=settings_files.BUCKET):
                minio.client().make_bucket(bucket_name=settings_files.BUCKET)

        if not self.state.running("exporter"):
            self._make_schemas(postgres)
        with ThreadPoolExecutor(1) as pool:
            # Before Prometheus looks: what it sees first is where the past ends.
            written = pool.submit(self._write_past, past) if traffic and not state.running("demo") else None
            self._start_exporter()
            self._start_receiver()
            self._start_alertmanagers(binaries["alertmanager"])
            if "grafana" in binaries:
                self._start_grafana(binaries["grafana"])
            if written:
                with _step("the past of the played platform"):
                    written.result()
        self._start_prometheus(binaries["prometheus"])
        if traffic:
            self._start_traffic()
        state.save()

    def _start_traffic(self) -> None:
        state, folder = self.state, self.state.folder
        settings = settings_files.feeder(state)
        self._ensure(Feeder(folder, settings), "demo databases' traffic", settings.read_text())
        config = settings_files.demo(state)
        self._ensure(Demo(folder, config), "played platform", config.read_text())

    def _write_past(self, past: str) -> None:
        began = time.monotonic()
        said = run_own("demo", "--config", str(settings_files.owner(self.state)), "--past", past, "--no-live")
        for line in said.splitlines():
            _line("past", f"{line}   ({time.monotonic() - began:.1f} s)")

    def _start_receiver(self) -> None:
        state, folder = self.state, self.state.folder
        notifications = ["receive-notifications", "--listen", state.address("receiver")]
        notifications += ["--file", str(folder / "notifications.jsonl")]
        receiver = OwnServer(folder, notifications, name="receiver", port=state.ports["receiver"])
        self._ensure(receiver, "notification receiver")

    def _start_exporter(self) -> None:
        state = self.state
        config = settings_files.exporter(state)
        exporter = OwnServer(
            state.folder,
            ["serve", "--config", str(config)],
            name="exporter",
            port=state.ports["exporter"],
            ready_path="/-/ready",
        )
        for name in (*users.MEMBERS, "errors_token", "alerts_token"):
            state.secret(name)
        self._ensure(exporter, "exporter", config.read_text())

    def _make_schemas(self, postgres: Postgres) -> None:
        with _step("the database platform"), postgres.connect() as connection:
            if not connection.execute("select 1 from pg_database where datname = 'platform'").fetchone():
                postgres.create_database("platform")
        owner = str(settings_files.owner(self.state))
        for arguments in (["schema", "apply"], *(["adopt", name] for name in demo.DATABASES)):
            run_own(*arguments, "--config", owner)
        _line("schema", "applied; " + " and ".join(demo.DATABASES) + " adopted")
        with _step("the login users"):
            users.make_users(postgres, self.state.secret)

    def _start_prometheus(self, binary: Binary) -> None:
        state, folder = self.state, self.state.folder
        config, mark = settings_files.prometheus(state)
        flags = [f"--web.external-url={state.url('prometheus')}", "--storage.tsdb.retention.time=30d"]
        prometheus = Prometheus(folder, config, port=state.ports["prometheus"], flags=flags, binary=binary)
        self._ensure(prometheus, "Prometheus", mark)

    def _start_grafana(self, binary: Binary) -> None:
        state = self.state
        environment = settings_files.grafana_environment(state)
        server = Grafana(
            state.folder,
            port=state.ports["grafana"],
            provisioning=CHECKOUT / "grafana/provisioning",
            environment=environment,
            binary=binary,
        )
        self._ensure(server, "Grafana", environment)

    def _start_alertmanagers(self, binary: Binary) -> None:
        state = self.state
        config, mark = settings_files.alertmanager(state)
        names = [name for name in settings_files.ALERTMANAGERS if name in state.ports]
        clusters = {name: Cluster(state.ports[f"{name}-cluster"]) for name in names} if len(names) > 1 else {}
        for name in names:
            flags = [f"--web.external-url={state.url(name)}"]
            cluster = None
            if clusters:
                # Shorter than group_interval of critical alerts: docs/alerting.md, "Two Alertmanagers".
                flags.append("--cluster.peer-timeout=5s")
                others = tuple(one.address for other, one in clusters.items() if other != name)
                cluster = Cluster(clusters[name].port, others)
            alertmanager = Alertmanager(
                state.folder, config, name=name, port=state.ports[name], flags=flags, cluster=cluster, binary=binary
            )
            self._ensure(alertmanager, name.capitalize(), mark, cluster.flags if cluster else [])

    def _programs(self, grafana: bool) -> tuple[dict[str, Binary], Flavour]:
        """Return the programs by name, obtained all at once, and which store the one called `minio` is."""
        names = ["postgres", "redis-server", "prometheus", "alertmanager"]
        self.state.missing.clear()
        with ThreadPoolExecutor() as pool:
            found = {name: pool.submit(find, name) for name in names}
            store = pool.submit(self._optional, "minio")
            dashboards = pool.submit(self._optional, "grafana") if grafana else None
            binaries = {name: future.result() for name, future in found.items()}
            minio = store.result()
            if dashboards and (binary := dashboards.result()):
                binaries["grafana"] = binary
        if not grafana:
            self.state.missing["grafana"] = "left out by --no-grafana"
        flavour: Flavour = "minio" if minio else "moto"
        binaries["minio"] = minio or find("moto")
        self.state.programs = {name: f"{binary.version}, {binary.origin}" for name, binary in binaries.items()}
        return binaries, flavour

    def _optional(self, name: str) -> Binary | None:
        try:
            return find(name)
        except StackError as error:
            self.state.missing[name] = str(error)
            return None

    def _choose_ports(self, grafana: bool) -> None:
        for name in PAIR_PORTS.keys() - self._ports.keys():
            self.state.ports.pop(name, None)
        for name, usual in self._ports.items():
            recorded = self.state.ports.get(name)
            if recorded and self.state.running(name.removesuffix("-cluster")):
                continue
            # The usual one again as soon as it is free; whoever depends on the address is then started anew.
            candidates = [] if self._free_ports else [usual]
            candidates += [recorded] if recorded else []
            port = next((port for port in candidates if is_free(port)), None) or free_port()
            if not self._free_ports and port != usual and name not in self.state.missing:
                _line(name, f"port {usual} is taken by another program: taking {port}")
            self.state.ports[name] = port
        self.state.save()

    def _ensure(self, server: Server, title: str, *settings: object) -> None:
        """Start a server, or start it anew where it was started with other settings or does not answer."""
        mark = fingerprint(server.port, str(server.binary.path), settings)
        name, began = server.name, time.monotonic()
        with _step(title):
            if server.attach():
                if self.state.started_with.get(name) == mark and _answers(server):
                    return
                server.stop()
            server.start()
        self.state.started_with[name] = mark
        self.state.save()
        self.started.append(name)
        where = "" if isinstance(server, Feeder | Demo) else server.address
        program = ", ".join(filter(None, (server.binary.version, server.binary.origin)))
        _line(title, f"{where:16} {time.monotonic() - began:4.1f} s   {program}")


def _answers(server: Server) -> bool:
    try:
        return server.ready()
    except (OSError, requests.RequestException):
        return False


@contextmanager
def _step(what: str) -> Iterator[None]:
    """Name the step in the error of whatever fails in it."""
    try:
        yield
    except StackError as error:
        raise StackError(f"{what}: {error}") from error
    except Exception as error:
        # A person wants the step's name, whatever library failed.
        raise StackError(f"{what}: {type(error).__name__}: {error}") from error


def _line(title: str, text: str) -> None:
    print(f"  {title:24} {text}".rstrip(), flush=True)


def _show(state: State, deadline_seconds: float) -> bool:
    """Print what is seen of the demo's events; return False where something does not come through in time."""
    print("\nThe demo's events, all the way:", flush=True)
    began, well = time.monotonic(), True
    for sight in witness.sights(state):
        seen = witness.wait_for(sight, max(0.0, deadline_seconds - (time.monotonic() - began)))
        if seen:
            _line(sight.what, f"{seen}   (after {time.monotonic() - began:.0f} s)" if deadline_seconds else seen)
        elif deadline_seconds:
            well = False
            _line(sight.what, f"NOT within {deadline_seconds:.0f} s: see `make status` and the logs in {state.folder}")
        else:
            _line(sight.what, "not now: the demo's incident lasts 10 minutes of each hour")
    return well


def _print_addresses(state: State) -> None:
    folder = _short(state.folder)
    print()
    _line("Metrics", f"{state.url('exporter')}/metrics")
    _line("Prometheus", state.url("prometheus"))
    _line("Alertmanager", "   ".join(state.url(one) for one in settings_files.ALERTMANAGERS if one in state.ports))
    _line("Notifications", f"{state.url('receiver')}   and {folder}/notifications.jsonl")
    if "grafana" not in state.missing:
        _line("Grafana", f"{state.url('grafana')}   user admin, password in {folder}/grafana.password")
    databases = ", ".join(("platform", *demo.DATABASES))
    _line("Demo data", "all of it is: demo-shop and demo-harvest are played, two databases were loaded (docs/demo.md)")
    _line("PostgreSQL", f"{state.address('postgres')}   {databases}; passwords in {folder}/secrets")
    _line("Redis", state.address("redis"))
    _line("S3 store", state.address("minio"))
    if state.missing:
        print("\nMissing:")
        for name, reason in state.missing.items():
            instead = "; moto stands in for it" if name == "minio" else ""
            _line({"minio": "MinIO", "grafana": "Grafana"}[name], f"{reason}{instead}")
    config = f"{folder}/{settings_files.EXPORTER_FILE}"
    print(f"\nNext:\n  make status\n  .venv/bin/platform-exporter doctor --config {config}\n  make down")


def _short(folder: Path) -> str:
    return str(folder.relative_to(Path.cwd())) if folder.is_relative_to(Path.cwd()) else str(folder)
