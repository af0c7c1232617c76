"""Run a Prometheus, 2.42 or newer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.stack.process import Command
from tools.stack.programs.search import Binary, find
from tools.stack.servers.base import Server

IDLE_CONFIG = "global: {scrape_interval: 1s}\n"


def start_flags(binary: Binary) -> list[str]:
    """Return the flags with which a Prometheus lets series begin at 0 where their created timestamps say; 3.x only."""
    return ["--enable-feature=created-timestamp-zero-ingestion"] if binary.release >= (3,) else []


class Prometheus(Server):
    """A Prometheus on loopback.

    config is a file, used where it lies (its rule_files are found beside it), or the text of one. With a text,
    rules_dir is made to appear as `rules` beside it, so that it says `rule_files: [rules/*.yml]`.
    """

    kind = "prometheus"

    def __init__(
        self,
        state_dir: Path,
        config: Path | str = IDLE_CONFIG,
        *,
        name: str | None = None,
        port: int | None = None,
        rules_dir: Path | None = None,
        flags: Sequence[str] = (),
        suite: str | None = None,
        binary: Binary | None = None,
    ) -> None:
        super().__init__(state_dir, binary or find("prometheus", suite=suite), name=name, port=port)
        self.config = config
        self.rules_dir = rules_dir
        self.flags = tuple(flags)

    def prepare(self) -> None:
        """Write the configuration where it was given as text, and lay the rules beside it."""
        super().prepare()
        self.config_file = self.config_path(self.config)
        link = self.config_file.parent / "rules"
        if self.rules_dir and not isinstance(self.config, Path):
            link.unlink(missing_ok=True)
            link.symlink_to(self.rules_dir.absolute())

    def command(self) -> Command:
        argv = [
            str(self.binary.path),
            f"--config.file={self.config_file}",
            f"--storage.tsdb.path={self.data_dir / 'tsdb'}",
            f"--web.listen-address={self.address}",
            "--web.enable-lifecycle",
            *self.flags,
        ]
        return Command(argv, folder=self.data_dir)

    def ready(self) -> bool:
        return self.ok("/-/ready")

    def query(self, promql: str, at: float | None = None) -> list[dict[str, Any]]:
        """Return the result of an instant query: [{"metric": {...}, "value": [time, "number as text"]}, ...].

        at is a Unix time in seconds, None meaning now. Raises StackError with Prometheus' own words for bad PromQL.
        """
        parameters = {"query": promql} | ({"time": at} if at is not None else {})
        return self._data("/api/v1/query", "result", **parameters)

    def alerts(self) -> list[dict[str, Any]]:
        return self._data("/api/v1/alerts", "alerts")

    def targets(self) -> list[dict[str, Any]]:
        """Return the targets being scraped, with `health` and `lastError`."""
        return self._data("/api/v1/targets", "activeTargets", state="active")

    def rules(self) -> list[dict[str, Any]]:
        """Return the rules of all groups, with `health`, `lastError` and `state`."""
        return [rule for group in self._data("/api/v1/rules", "groups") for rule in group["rules"]]

    def reload(self) -> None:
        """Read configuration and rules again; a text given as config is written again first.

        Raises StackError with Prometheus' own words when it refuses them.
        """
        self.config_file = self.config_path(self.config)
        self.post("/-/reload")

    def _data(self, path: str, key: str, **parameters: Any) -> list[dict[str, Any]]:
        data: list[dict[str, Any]] = self.get(path, **parameters)["data"][key]
        return data
