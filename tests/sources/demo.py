"""The demonstration databases counted through the product's own commands."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from exporter.__main__ import main
from exporter.aggregation.poller import Worker
from exporter.aggregation.series import SourceView
from exporter.config import loader
from exporter.exposition import collector
from exporter.exposition.negotiation import Format
from exporter.sources import mapping
from tests.servers import Database

DEMO = Path(__file__).parents[2] / "tools" / "demo"

Series = dict[str, dict[tuple[tuple[str, str], ...], float]]
"""Name -> sorted labels -> value."""


def run(*arguments: str) -> Result:
    """Run a command of the product in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@dataclass
class DemoSource:
    """A database that is a source, and its configuration file."""

    database: Database
    preset: str
    folder: Path
    worker: Worker = field(init=False)

    def __post_init__(self) -> None:
        self.path = self.folder / f"{self.preset.replace('/', '_')}.yml"
        self.path.write_text(f"database: {{dsn: '{self.database.dsn}'}}\nsources: [{{preset: {self.preset}}}]\n")

    def adopt(self, *options: str) -> Result:
        """Run `platform-exporter adopt`."""
        return run("adopt", self.preset, "--config", str(self.path), *options)

    def poll(self) -> Series:
        """Count what is new, as an exporter newly started does, and return all series of the exposition."""
        view = self.view()
        assert view.problems == ()
        return parse(view)

    def view(self) -> SourceView:
        """Count what is new and return what became of it."""
        settings = loader.load(self.path)
        source = settings.sources[0]
        worker = Worker(mapping.plan(source), settings.database_of(source), settings.limits, settings.retention_days)
        try:
            worker.poll()
        finally:
            worker._disconnect()
        return worker.view

    def sql(self, query: str, labels: tuple[str, ...]) -> dict[tuple[tuple[str, str], ...], float]:
        """Return what plain SQL says: the last column is the value, the ones before it are the labels' values."""
        rows = self.database.execute(query)
        return {tuple(sorted(zip(labels, row[:-1], strict=True))): float(row[-1]) for row in rows}


def parse(view: SourceView) -> Series:
    """Return the series of a view as a strict parser reads them."""
    form = Format("application/openmetrics-text")
    body = form.join([form.encode(collector.counted([view], created=True))]).decode()
    series: Series = {}
    for family in text_string_to_metric_families(body):
        for sample in family.samples:
            series.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return series


def without(series: dict[tuple[tuple[str, str], ...], float], *names: str) -> dict[tuple[tuple[str, str], ...], float]:
    """Return series summed over these labels, without those that are 0."""
    sums: dict[tuple[tuple[str, str], ...], float] = {}
    for labels, value in series.items():
        key = tuple(pair for pair in labels if pair[0] not in names)
        sums[key] = sums.get(key, 0.0) + value
    return {key: value for key, value in sums.items() if value}


def placeholders(path: Any) -> str:
    """Return the route that a raw path belongs to: what the mapping says in SQL, said again in Python."""
    parts = "(unmatched)" if path is None else path.split("?")[0]
    return "/".join(_placeholder(part) for part in parts.split("/"))


def _placeholder(part: str) -> str:
    if re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", part):
        return "{uuid}"
    if part.isdigit():
        return "{id}"
    return "{hash}" if re.fullmatch(r"[0-9a-fA-F]{16,}", part) and re.search(r"\d", part) else part
