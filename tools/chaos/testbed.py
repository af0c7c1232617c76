"""PostgreSQL, an exporter and an application, with a cable between them that can be cut."""

import contextlib
import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from exporter.database import schema
from tools.stack.ports import free_port
from tools.stack.process import PATIENCE_SECONDS, Command, Process, poll_until
from tools.stack.servers import Postgres
from tools.testing.tcp_proxy import TcpProxy

APP = "chaos"


class Platform:
    """All of it in a folder, until the `with` ends."""

    def __init__(self, folder: Path, events_per_second: float) -> None:
        self._folder, self._rate = folder, events_per_second
        self._port = free_port()
        self.postgres = Postgres(folder / "postgres")
        self.exporter = Process("exporter", folder)
        self._writer: subprocess.Popen[str] | None = None
        self._standbys = 0

    def __enter__(self) -> Self:
        self._stack = contextlib.ExitStack()
        self._stack.callback(lambda: self.postgres.destroy())  # the one that it is by then
        self.postgres.start()
        self.cable = self._stack.enter_context(TcpProxy(self.postgres.host, self.postgres.port))
        with self.postgres.connect() as connection:
            schema.apply(connection)
        self._stack.callback(self.exporter.kill)
        self.start_exporter()
        dsn = f"postgresql://postgres@{self.cable.address}/postgres"
        arguments = [dsn, APP, str(self._rate), str(self._folder / "spool")]
        self._writer = subprocess.Popen(
            [sys.executable, "-m", "tools.chaos.writer", *arguments], stdout=subprocess.PIPE, text=True
        )
        self._stack.callback(self._end_writer)
        poll_until(lambda: self.counted() > 0, what="the first events")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start_exporter(self) -> None:
        """Start the exporter and wait until it answers."""
        config = self._folder / "platform-exporter.yml"
        config.write_text(
            f"database: {{dsn: 'postgresql://postgres@{self.cable.address}/postgres', poll_interval_seconds: 1}}\n"
        )
        argv = ["-m", "exporter", "serve", "--config", str(config), "--listen", f"127.0.0.1:{self._port}"]
        self.exporter.start(Command([sys.executable, *argv]))
        poll_until(lambda: self.scrape_seconds() is not None, what="the exporter")

    def freeze_writer(self, seconds: float) -> None:
        """Stop the application for so long."""
        self.signal_writer(signal.SIGSTOP)
        time.sleep(seconds)
        self.signal_writer(signal.SIGCONT)

    def signal_writer(self, number: signal.Signals) -> None:
        """Send the application a signal."""
        assert self._writer
        self._writer.send_signal(number)

    def start_standby(self) -> Postgres:
        """Start a standby that every commit waits for from now on, so that a failover loses none."""
        self._standbys += 1
        standby = self.postgres.standby(name=f"postgres-{self._standbys}").start()
        with self.postgres.connect() as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
        poll_until(
            lambda: self._ask("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"),
            what="the standby to keep up",
        )
        return standby

    def promote(self, standby: Postgres) -> None:
        """Make the standby the database, of the cable too; the old one is gone."""
        self.postgres.destroy()
        with standby.connect() as connection:
            connection.execute("SELECT pg_promote()")
        self.postgres, self.cable.target = standby, (standby.host, standby.port)

    @contextlib.contextmanager
    def full_disk(self) -> Iterator[None]:
        """Let the application and the exporter write no byte to a file until the block ends."""
        pids = [pid for pid in (self.exporter.pid, self._writer and self._writer.pid) if pid]
        before = [resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids]
        for pid, (_, hard) in zip(pids, before, strict=True):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
        try:
            yield
        finally:
            for pid, limits in zip(pids, before, strict=True):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)

    def scrape_seconds(self) -> float | None:
        """Return how long a scrape takes, None where none is answered."""
        began = time.monotonic()
        return None if self._scrape() is None else time.monotonic() - began

    def counted(self) -> int:
        """Return how many events of the application the exporter shows."""
        return self._sum("platform_api_calls_total")

    def rejected(self) -> int:
        """Return how many it shows as rejected."""
        return self._sum("platform_exporter_rows_rejected_total")

    def stored(self) -> int:
        """Return how many events are in the event store."""
        return self._ask("SELECT count(*) FROM monitoring.api_call")

    def end_writer(self) -> dict[str, int]:
        """End the application; return what it says of its events."""
        assert self._writer
        self._writer.send_signal(signal.SIGTERM)
        said, _ = self._writer.communicate(timeout=PATIENCE_SECONDS)
        result: dict[str, int] = json.loads(said.splitlines()[-1])
        return result

    def sample(self) -> dict[str, float]:
        """Return what may grow: of the exporter and of the application, and of the rollups' table."""
        assert self._writer
        found: dict[str, float] = {}
        for name, pid in (("exporter", self.exporter.pid), ("application", self._writer.pid)):
            status = Path(f"/proc/{pid}/status").read_text()
            values = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            found[f"{name}, MB"] = int(values["VmRSS"].split()[0]) / 1024
            found[f"{name}, threads"] = int(values["Threads"])
            found[f"{name}, files"] = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        found["rollups, kB"] = self._ask("SELECT pg_total_relation_size('monitoring.rollup')") / 1024
        return found

    def _scrape(self) -> str | None:
        with contextlib.suppress(requests.RequestException):
            address = f"http://127.0.0.1:{self._port}/metrics"
            answer = requests.get(address, headers={"X-Prometheus-Scrape-Timeout-Seconds": "10"}, timeout=60)
            return answer.text if answer.ok else None
        return None

    def _sum(self, metric: str) -> int:
        lines = (self._scrape() or "").splitlines()
        found = (line for line in lines if line.startswith(f"{metric}{{") and f'app="{APP}"' in line)
        return sum(int(float(line.rpartition(" ")[2])) for line in found)

    def _ask(self, query: str) -> int:
        with self.postgres.connect() as connection:
            row: Any = connection.execute(query.encode()).fetchone()
        return int(row[0])

    def _end_writer(self) -> None:
        if self._writer:
            self._writer.kill()
            self._writer.communicate()
