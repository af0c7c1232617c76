"""Run a Grafana that was found on the machine; it is never obtained."""

from collections.abc import Mapping
from pathlib import Path

from tools.stack.process import Command, clean_environment
from tools.stack.programs.search import Binary, find
from tools.stack.servers.base import Server


class Grafana(Server):
    """A Grafana on loopback; the user `admin` has a generated password, kept in NAME.password.

    provisioning is a folder of data sources and dashboards; environment adds GF_* settings, those of grafana.env among
    them, and what the provisioning files refer to.
    """

    kind = "grafana"

    def __init__(
        self,
        state_dir: Path,
        *,
        name: str | None = None,
        port: int | None = None,
        provisioning: Path | None = None,
        environment: Mapping[str, str] | None = None,
        binary: Binary | None = None,
    ) -> None:
        super().__init__(state_dir, binary or find("grafana"), name=name, port=port)
        self.password = self.secret("password")
        self._provisioning = provisioning
        self._environment = dict(environment or {})

    @property
    def _plugins(self) -> Path:
        return self.data_dir / "plugins"

    @property
    def home(self) -> Path:
        """Return the folder of its pages and defaults."""
        beside = self.binary.path.resolve().parent.parent
        return beside if (beside / "public").is_dir() else Path("/usr/share/grafana")

    def prepare(self) -> None:
        super().prepare()
        # It logs errors where the folder is missing.
        self._plugins.mkdir(exist_ok=True)

    def command(self) -> Command:
        settings = {
            "GF_SERVER_HTTP_ADDR": self.host,
            "GF_SERVER_HTTP_PORT": str(self.port),
            "GF_SECURITY_ADMIN_PASSWORD": self.password,
            "GF_PATHS_DATA": str(self.data_dir),
            "GF_PATHS_LOGS": str(self.data_dir / "logs"),
            "GF_PATHS_PLUGINS": str(self._plugins),
            "GF_LOG_MODE": "console",
            "GF_SERVER_ROOT_URL": f"{self.url}/",
        }
        if self._provisioning:
            settings["GF_PATHS_PROVISIONING"] = str(self._provisioning.absolute())
        # grafana-server is the old name of `grafana server`.
        verb = [] if self.binary.path.name == "grafana-server" else ["server"]
        environment = clean_environment("GF_", **{**settings, **self._environment})
        return Command([str(self.binary.path), *verb, f"--homepath={self.home}"], environment, folder=self.data_dir)

    def ready(self) -> bool:
        """Return whether it says that it and its database are healthy."""
        return self.ok("/api/health")
