"""Start the whole platform as plain processes, and show that it works."""

import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.stack import config_files, databases
from tools.stack.checkout import CHECKOUT, lock
from tools.stack.down import end_processes
from tools.stack.errors import StackError
from tools.stack.ports import free_port, is_free
from tools.stack.process import Process, recorded_processes
from tools.stack.programs import golang
from tools.stack.programs.catalogue import PROGRAMS, SearchPath
from tools.stack.programs.search import Binary, find
from tools.stack.report import BREACH_DEADLINE_SECONDS, line, print_addresses, short, show
from tools.stack.servers import Alertmanager, Grafana, Minio, Postgres, Prometheus, Redis, Server
from tools.stack.servers.accounts import Account, for_others
from tools.stack.servers.alertmanager import Cluster
from tools.stack.servers.exporter import DemoPlatform, DemoTraffic, ExporterCommand, checkout_command, run_exporter
from tools.stack.servers.minio import Flavour
from tools.stack.servers.prometheus import start_flags
from tools.stack.state import MINIO_BUILD, StackState, fingerprint

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


@dataclass(frozen=True)
class Options:
    """What `up` was asked for; the fields are the options of the command line."""

    free_ports: bool = False
    grafana: bool = True
    download_grafana: bool = False
    wait: bool = True
    two_alertmanagers: bool = False
    traffic: bool = True
    build_minio: bool = False
    past: str = "7d"


def run(folder: Path, options: Options) -> int:
    """Start what does not run yet in this state folder and print where it answers.

    Where two Alertmanagers run already, they stay two. Without traffic there is nothing to wait for. Interrupted before
    everything is started, it ends what it started.

    Returns 1 where the demo's events do not arrive. Raises StackError that names the step and what to do.
    """
    began = time.monotonic()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise StackError(f"{folder} is not a folder: expected one, or a path where one can be made") from error
    state = StackState.open(folder)
    with lock(state.folder, "up"):
        state.save()  # from now on it is a stack's folder, which `clean` may remove
        start = Start(state, options)
        before = {process.name for process in recorded_processes(folder.absolute())}
        try:
            start.run()
        except KeyboardInterrupt:
            end_processes(folder.absolute(), but=before)
            raise
    what = "Everything is started" if start.started else "Everything runs already"
    print(f"\n{what}, after {time.monotonic() - began:.0f} s.", flush=True)
    well = not (options.wait and options.traffic) or show(
        state, BREACH_DEADLINE_SECONDS if "traffic" in start.started else 0
    )
    print_addresses(state)
    if not well:
        print("\nUp, but not all is well: see above.")
    elif start.started:
        print(f"\nUp after {time.monotonic() - began:.0f} s.")
    return 0 if well else 1


class Start:
    """One start of a stack. `started` holds the names of the servers that it had to start."""

    def __init__(self, state: StackState, options: Options) -> None:
        self.state = state
        self.started: list[str] = []
        self._options = options
        self._build: Process | None = None
        self._refused: set[str] = set()
        two = options.two_alertmanagers or state.running("alertmanager-2") is not None
        self._ports = USUAL_PORTS | (PAIR_PORTS if two else {})

    def run(self) -> None:
        """Start everything that does not run, in the order in which one needs the other."""
        with _step("obtaining the programs"):
            binaries, flavour = self._programs()
        self._choose_ports()
        state, folder = self.state, self.state.folder
        # All of them now: a server that starts later, as root, must not make one that an earlier one cannot read.
        for name in (*databases.MEMBERS, *databases.DATABASES, "redis", "errors_token", "alerts_token"):
            state.secret(name)
        postgres = Postgres(folder, port=state.ports["postgres"], auth="scram-sha-256", binary=binaries["postgres"])
        self.ensure(postgres, "PostgreSQL")
        with ThreadPoolExecutor() as pool:
            past = self._fill_databases(postgres, pool)
            self._start_stores(binaries, flavour)
            self._start_receiver()
            self._start_alertmanagers(binaries["alertmanager"])
            if "grafana" in binaries:
                self._start_grafana(binaries["grafana"])
            # Before the exporter counts: rows that it finds are the past, rows that come later happen now.
            if past:
                past.result()
        self._start_exporter()
        self._start_prometheus(binaries["prometheus"])
        if self._options.traffic:
            self._start_traffic()
        state.save()

    def _fill_databases(self, postgres: Postgres, pool: ThreadPoolExecutor) -> Future[None] | None:
        """Load and adopt the demo databases; return the past of the simulated platform that is being written."""
        loads = {name: pool.submit(self._load, postgres, name) for name in databases.DATABASES}
        new = not self.state.running("exporter")
        if new:
            self._make_schema(postgres)
        past = None
        if self._options.traffic and not self.state.running("demo"):
            past = pool.submit(self._write_past)
        for load in loads.values():
            load.result()
        if new:
            with _step("adopting the demo databases"):
                owner = str(config_files.owner(self.state))
                list(pool.map(lambda name: run_exporter("adopt", name, "--config", owner), loads))
            line("demo databases", f"{' and '.join(loads)} adopted")
            with _step("the login users"):
                databases.make_users(postgres, self.state.secret)
        return past

    def _load(self, postgres: Postgres, name: str) -> None:
        with _step(f"the demo database {name}"):
            if databases.load(postgres, name):
                line(name, "demo database loaded, its times moved up to now")

    def _make_schema(self, postgres: Postgres) -> None:
        with _step("the database platform"), postgres.connect() as connection:
            if not connection.execute("select 1 from pg_database where datname = 'platform'").fetchone():
                postgres.create_database("platform")
            run_exporter("schema", "apply", "--config", str(config_files.owner(self.state)))

    def _write_past(self) -> None:
        began = time.monotonic()
        with _step("the past of the simulated platform"):
            config = str(config_files.owner(self.state))
            said = run_exporter("demo", "--config", config, "--past", self._options.past, "--no-live")
        for what in said.splitlines():
            line("past", f"{what}   ({time.monotonic() - began:.1f} s)")

    def _start_stores(self, binaries: dict[str, Binary], flavour: Flavour) -> None:
        state, folder = self.state, self.state.folder
        password, program = state.secret("redis"), binaries["redis-server"]
        self.ensure(Redis(folder, port=state.ports["redis"], password=password, binary=program), "Redis")
        minio = Minio(folder, port=state.ports["minio"], flavour=flavour, binary=binaries["minio"])
        self.ensure(minio, "MinIO" if flavour == "minio" else "S3 store (moto)", flavour)
        with _step(f"the bucket {config_files.BUCKET}"):
            if not minio.client().bucket_exists(bucket_name=config_files.BUCKET):
                minio.client().make_bucket(bucket_name=config_files.BUCKET)

    def _start_exporter(self) -> None:
        state = self.state
        config = config_files.exporter(state)
        arguments = ["serve", "--config", str(config), "--web.enable-lifecycle"]
        port = state.ports["exporter"]
        exporter = ExporterCommand(state.folder, arguments, name="exporter", port=port, ready_path="/-/ready")
        folders = [state.folder / name for name in (config_files.SHOWN_FOLDER, config_files.ALERTS_FOLDER)]
        for folder in folders:
            folder.mkdir(exist_ok=True)
        needs = (*folders, state.secrets, state.folder / "minio.secret")
        self.ensure(exporter, "exporter", config.read_text(), needs=needs)

    def _start_receiver(self) -> None:
        state = self.state
        arguments = ["receive-notifications", "--listen", state.address("receiver")]
        file = state.folder / "notifications.jsonl"
        file.touch()
        arguments += ["--file", str(file)]
        receiver = ExporterCommand(state.folder, arguments, name="receiver", port=state.ports["receiver"])
        self.ensure(receiver, "notification receiver", needs=(file,))

    def _start_alertmanagers(self, binary: Binary) -> None:
        state = self.state
        config, mark = config_files.alertmanager(state)
        names = [name for name in config_files.ALERTMANAGERS if name in state.ports]
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
            flags = cluster.flags if cluster else []
            self.ensure(alertmanager, name.capitalize(), mark, flags, needs=(state.secrets,))

    def _start_grafana(self, binary: Binary) -> None:
        environment = config_files.grafana_environment(self.state)
        provisioning, port = CHECKOUT / "grafana/provisioning", self.state.ports["grafana"]
        grafana = Grafana(
            self.state.folder, port=port, provisioning=provisioning, environment=environment, binary=binary
        )
        self.ensure(grafana, "Grafana", environment)

    def _start_prometheus(self, binary: Binary) -> None:
        state = self.state
        config, mark = config_files.prometheus(state)
        flags = [f"--web.external-url={state.url('prometheus')}", "--storage.tsdb.retention.time=30d"]
        flags += start_flags(binary)
        prometheus = Prometheus(state.folder, config, port=state.ports["prometheus"], flags=flags, binary=binary)
        self.ensure(prometheus, "Prometheus", mark)

    def _start_traffic(self) -> None:
        state, folder = self.state, self.state.folder
        settings = config_files.traffic(state)
        traffic = DemoTraffic(folder, settings)
        self.ensure(traffic, "demo databases' traffic", settings.read_text(), needs=(settings,))
        config = config_files.demo(state)
        needs = (config, state.secrets)
        self.ensure(DemoPlatform(folder, config), "simulated platform", config.read_text(), needs=needs)

    def _programs(self) -> tuple[dict[str, Binary], Flavour]:
        """Return the programs by name, obtained all at once, and which S3 store the one called `minio` is."""
        names = ["postgres", "redis-server", "prometheus", "alertmanager"]
        self.state.missing.clear()
        # Asked for by name, it comes first: where it cannot be had, nothing is obtained or compiled.
        downloaded = self._grafana() if self._options.grafana and self._options.download_grafana else None
        with ThreadPoolExecutor() as pool:
            found = {name: pool.submit(find, name) for name in names}
            store = pool.submit(self._minio)
            dashboards = downloaded or (self._grafana() if self._options.grafana else None)
            binaries = {name: future.result() for name, future in found.items()}
            minio = store.result()
            if dashboards:
                binaries["grafana"] = dashboards
        if not self._options.grafana:
            self.state.missing["grafana"] = "left out by --no-grafana"
        flavour: Flavour = "minio" if minio else "moto"
        binaries["minio"] = minio or find("moto")
        self.state.programs = {name: f"{binary.version}, {binary.origin}" for name, binary in binaries.items()}
        return binaries, flavour

    def _optional(self, name: str, *, obtain: bool = True) -> Binary | None:
        try:
            return find(name, obtain=obtain)
        except StackError as error:
            self.state.missing[name] = str(error)
            return None

    def _grafana(self) -> Binary | None:
        if self._options.download_grafana:
            return find("grafana", download=True)
        return self._optional("grafana")

    def _minio(self) -> Binary | None:
        """Return MinIO where there is one; where it can be compiled, begin that in the background and return None."""
        places, program = SearchPath(), PROGRAMS["minio"]
        buildable = golang.toolchain(places) is not None and program.variable not in places.environ
        later = buildable and not self._options.build_minio
        if (binary := self._optional("minio", obtain=not later)) or not later:
            return binary
        self._build = build_minio(self.state)
        self.state.missing["minio"] = (
            "is being compiled in the background, at low priority: 3 to 10 minutes. "
            f"The next `make up` after that uses it (log: {short(self._build.log)})"
        )
        line("MinIO", self.state.missing["minio"])
        return None

    def _choose_ports(self) -> None:
        for name in PAIR_PORTS.keys() - self._ports.keys():
            self.state.ports.pop(name, None)
        for name, usual in self._ports.items():
            recorded = self.state.ports.get(name)
            if recorded and self.state.running(name.removesuffix("-cluster")):
                continue
            # The usual one again as soon as it is free; what depends on the address is then restarted.
            candidates = [] if self._options.free_ports else [usual]
            candidates += [recorded] if recorded else []
            port = next((port for port in candidates if is_free(port)), None) or free_port()
            if not self._options.free_ports and port != usual and name not in self.state.missing:
                line(name, f"port {usual} is taken by another program: taking {port}")
            self.state.ports[name] = port
        self.state.save()

    def ensure(self, server: Server, title: str, *settings: object, needs: tuple[Path, ...] = ()) -> None:
        """Start a server; restart it where it was started with other settings or does not answer.

        Where we are root it runs as another account, which then owns what it needs.
        """
        server.needs = (*server.needs, *needs)
        server.account = server.account or self._account(server)
        settings += (server.account,) if server.account else ()
        mark = fingerprint(server.port, str(server.binary.path), settings)
        name, began = server.name, time.monotonic()
        with _step(title):
            if server.attach():
                if self.state.started_with.get(name) == mark and server.answers():
                    return
                server.stop()
            self._start(server, title)
        self.state.started_with[name] = mark
        self.state.save()
        self.started.append(name)
        where = "" if isinstance(server, DemoTraffic | DemoPlatform) else server.address
        program = ", ".join(filter(None, (server.binary.version, server.binary.origin)))
        line(title, f"{where:16} {time.monotonic() - began:4.1f} s   {program}")

    def _account(self, server: Server) -> Account | None:
        """Return the account to run a server as; None means as ourselves, and where we are root, the reason is said."""
        account, reason = for_others((self.state.folder, CHECKOUT, server.binary.path))
        if reason and reason not in self._refused:
            self._refused.add(reason)
            line("root", f"{reason}: what needs it runs as root")
        return account

    def _start(self, server: Server, title: str) -> None:
        """Start a server, as root where it does not start as the account that it was given."""
        try:
            server.start()
        except (StackError, OSError) as error:
            if server.account is None or isinstance(server, Postgres):
                raise
            line(title, f"does not start as {server.account.name} and is tried as root: {error}")
            server.account = None
            server.start()


def build_minio(state: StackState) -> Process:
    """Compile MinIO in a detached process at low priority, unless one does that already; return the process.

    It belongs to the stack: `down` ends it. A build that failed or was ended begins again at the next start.
    """
    if running := state.running(MINIO_BUILD):
        return running
    # It has nothing to tidy up; frozen and killed, it starts no further compiler.
    build = Process(MINIO_BUILD, state.folder, stop_signal=signal.SIGKILL)
    if build.log.exists():
        line("MinIO", f"the last build did not finish and begins again; its log: {short(build.log)}")
    build.start(checkout_command(["-m", "tools.stack.programs.golang", PROGRAMS["minio"].module]))
    return build


@contextmanager
def _step(what: str) -> Iterator[None]:
    """Name the step in the error of whatever fails in it, whichever library that is."""
    try:
        yield
    except StackError as error:
        raise StackError(f"{what}: {error}") from error
    except Exception as error:
        raise StackError(f"{what}: {type(error).__name__}: {error}") from error
