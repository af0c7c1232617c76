"""Run a Prometheus, 2.42 or newer."""

import time
from pathlib import Path
from typing import Any

from tools.stack.process import Command
from tools.stack.programs.search import Binary
from tools.stack.servers.base import ConfiguredServer

IDLE_CONFIG = "global: {scrape_interval: 1s}\n"


EXEMPLARS = "--enable-feature=exemplar-storage"


def start_flags(binary: Binary) -> list[str]:
    """Return the flags with which a Prometheus keeps exemplars, and lets series begin at 0 where they did; 3.x only."""
    zeros = ["--enable-feature=created-timestamp-zero-ingestion"] if binary.release >= (3,) else []
    return [EXEMPLARS, *zeros]


class Prometheus(ConfiguredServer):
    """A Prometheus on loopback.

    Beside a config given as text, rules_dir is made to appear as `rules`, so that it says `rule_files: [rules/*.yml]`.
    """

    kind = "prometheus"

    def __init__(
        self, state_dir: Path, config: Path | str = IDLE_CONFIG, *, rules_dir: Path | None = None, **options: Any
    ) -> None:
        super().__init__(state_dir, config, **options)
        self.rules_dir = rules_dir

    def prepare(self) -> None:
        """Write the configuration where it was given as text, and lay the rules beside it."""
        super().prepare()
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

    def query(self, promql: str, at: float | None = None) -> list[dict[str, Any]]:
        """Return the result of an instant query: [{"metric": {...}, "value": [time, "number as text"]}, ...].

        at is a Unix time in seconds, None meaning now. Raises StackError with Prometheus' own words for bad PromQL.
        """
        parameters = {"query": promql} | ({"time": at} if at is not None else {})
        return self._data("/api/v1/query", "result", **parameters)

    def exemplars(self, promql: str, seconds: float = 3600.0) -> list[dict[str, Any]]:
        """Return the exemplars of an expression's series within so many seconds: {"seriesLabels", "exemplars"}."""
        now = time.time()
        found: list[dict[str, Any]] = self.get("/api/v1/query_exemplars", query=promql, start=now - seconds, end=now)[
            "data"
        ]
        return found

    def alerts(self) -> list[dict[str, Any]]:
        return self._data("/api/v1/alerts", "alerts")

    def targets(self) -> list[dict[str, Any]]:
        """Return the targets being scraped, with `health` and `lastError`."""
        return self._data("/api/v1/targets", "activeTargets", state="active")

    def rules(self) -> list[dict[str, Any]]:
        """Return the rules of all groups, with `health`, `lastError` and `state`."""
        return [rule for group in self._data("/api/v1/rules", "groups") for rule in group["rules"]]

    def _data(self, path: str, key: str, **parameters: Any) -> list[dict[str, Any]]:
        data: list[dict[str, Any]] = self.get(path, **parameters)["data"][key]
        return data
