"""Run an Alertmanager."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.stack.ports import free_port
from tools.stack.process import Command
from tools.stack.programs.search import Binary, find
from tools.stack.servers.base import Server

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


class Alertmanager(Server):
    """An Alertmanager on loopback, alone unless it is given a cluster.

    config is a file, used where it lies (templates are found beside it), or the text of one.
    """

    kind = "alertmanager"

    def __init__(
        self,
        state_dir: Path,
        config: Path | str = SILENT_CONFIG,
        *,
        name: str | None = None,
        port: int | None = None,
        flags: Sequence[str] = (),
        cluster: Cluster | None = None,
        suite: str | None = None,
        binary: Binary | None = None,
    ) -> None:
        super().__init__(state_dir, binary or find("alertmanager", suite=suite), name=name, port=port)
        self.config = config
        self.flags = tuple(flags)
        self.cluster = cluster

    def prepare(self) -> None:
        """Write the configuration where it was given as text."""
        super().prepare()
        self.config_file = self.config_path(self.config)

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

    def ready(self) -> bool:
        return self.ok("/-/ready")

    def alerts(self, **parameters: Any) -> list[dict[str, Any]]:
        """Return its alerts as /api/v2/alerts gives them; parameters such as active=True, filter='severity="high"'."""
        answer: list[dict[str, Any]] = self.get("/api/v2/alerts", **parameters)
        return answer

    def reload(self) -> None:
        """Read the configuration again; a text given as config is written again first.

        Raises StackError with Alertmanager's own words when it refuses it.
        """
        self.config_file = self.config_path(self.config)
        self.post("/-/reload")
