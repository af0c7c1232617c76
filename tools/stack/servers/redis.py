"""Run a Redis server."""

from collections.abc import Mapping
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tools.stack.process import Command
from tools.stack.programs.search import Binary, find
from tools.stack.servers.base import Server


class Redis(Server):
    """A Redis on loopback that keeps nothing on disk.

    password asks clients for one; replica_of makes it a read-only copy of another; settings are lines of redis.conf,
    such as {"maxmemory": "8mb"}.
    """

    kind = "redis"

    def __init__(
        self,
        state_dir: Path,
        *,
        name: str | None = None,
        port: int | None = None,
        password: str | None = None,
        replica_of: "Redis | None" = None,
        settings: Mapping[str, str] | None = None,
        binary: Binary | None = None,
    ) -> None:
        super().__init__(state_dir, binary or find("redis-server"), name=name, port=port)
        self.password = password
        self.needs = (self.state_dir / f"{self.name}.conf",)
        self._replica_of = replica_of
        self._settings = dict(settings or {})

    @property
    def url(self) -> str:
        return f"redis://{f':{self.password}@' if self.password else ''}{self.address}/0"

    def client(self, timeout_seconds: float = 5) -> "redis.Redis":
        """Return a new client, the caller's to close; it tries twice (the library's default takes up to 4 s more)."""
        return redis.Redis.from_url(
            self.url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 1),
        )

    def prepare(self) -> None:
        """Write its configuration: not arguments, which every user of the machine can read in the process list."""
        super().prepare()
        settings = {
            "bind": self.host,
            "port": str(self.port),
            "dir": f'"{self.data_dir}"',  # quoted: it may have spaces
            "save": '""',
            "appendonly": "no",
            "daemonize": "no",
        }
        if self.password:
            settings |= {"requirepass": self.password}
        if self._replica_of:
            settings |= {"replicaof": f"{self._replica_of.host} {self._replica_of.port}"}
            if self._replica_of.password:
                settings |= {"masterauth": self._replica_of.password}
        settings |= self._settings
        text = "".join(f"{key} {value}\n" for key, value in settings.items())
        self.write_private(f"{self.name}.conf", text)

    def command(self) -> Command:
        return Command([str(self.binary.path), str(self.state_dir / f"{self.name}.conf")])

    def ready(self) -> bool:
        with self.client() as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False
