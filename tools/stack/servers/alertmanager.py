"""Run an Alertmanager."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.stack.ports import free_port
from tools.stack.process import Command
from tools.stack.servers.base import ConfiguredServer

SILENT_CONFIG = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"


@dataclass(frozen=True)
class Cluster:
    """What makes an Alertmanager one of several: the port on which it talks to others, and the addresses of some."""

    port: int = field(default_factory=free_port)
    peers: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """Return HOST:PORT, what the others name as their peer."""
        return f"127.0.0.1:{self.port}"

    @property
    def flags(self) -> list[str]:
        return [f"--cluster.listen-address={self.address}", *(f"--cluster.peer={peer}" for peer in self.peers)]


class Alertmanager(ConfiguredServer):
    """An Alertmanager on loopback, alone unless it is given a cluster; its templates are found beside a config file."""

    kind = "alertmanager"

    def __init__(
        self,
        state_dir: Path,
        config: Path | str = SILENT_CONFIG,
        *,
        cluster: Cluster | None = None,
        **options: Any,
    ) -> None:
        super().__init__(state_dir, config, **options)
        self.cluster = cluster

    def command(self) -> Command:
        argv = [
            str(self.binary.path),
            f"--config.file={self.config_file}",
            f"--storage.path={self.data_dir}",
            f"--web.listen-address={self.address}",
            *(self.cluster.flags if self.cluster else ["--cluster.listen-address="]),
            *self.flags,
        ]
        return Command(argv)

    def alerts(self, **parameters: Any) -> list[dict[str, Any]]:
        """Return its alerts as /api/v2/alerts gives them; parameters such as active=True, filter='severity="high"'."""
        answer: list[dict[str, Any]] = self.get("/api/v2/alerts", **parameters)
        return answer
