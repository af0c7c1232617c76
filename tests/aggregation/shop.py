"""An application's table that is adopted: its mapping, its statements, and what is counted of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exporter.config.settings import Preset, Source
from exporter.sources import adopt, mapping
from tests.aggregation.counting import Store
from tests.servers import Database

MAPPING = """
app: shop
streams:
  jobs:
    table: public."ScrapeJobs"
    kind: scraping_run
    where: t.test IS NOT TRUE
    {when}
    columns:
      at: now()
      scraper: t."Name" || t.kind
      outcome: CASE t."Status" WHEN 'FAILED' THEN 'failure' ELSE 'success' END
      duration_seconds: t.millis / 1000.0
"""
FINISHED = """counted_when: t."Status" IN ('DONE', 'FAILED') AND 100 / t.divisor > 0"""
TABLE = """CREATE TABLE "ScrapeJobs" (id int PRIMARY KEY, "Name" varchar(20) DEFAULT 'n', kind char(3) DEFAULT 'k',
    "Status" text DEFAULT 'RUNNING', millis int DEFAULT 1, divisor int DEFAULT 1, test boolean, note text)"""
COUNT = "platform_scraping_runs_total"
NEW = 'INSERT INTO "ScrapeJobs" (id) SELECT generate_series(1, 4)'


@dataclass
class Shop:
    """An application's database, adopted and counted."""

    store: Store
    source: Source

    def execute(self, *statements: str) -> None:
        """Run statements, each in a transaction of its own."""
        with self.store.connect() as connection:
            for statement in statements:
                connection.execute(statement)

    def adopt(self) -> None:
        with self.store.connect() as connection:
            todo = adopt.steps(connection, self.source, mapping.load(self.source.preset))
            adopt.carry_out(connection, todo, lambda _: None)

    @property
    def captured(self) -> str:
        """The table of its changes."""
        return f"monitoring.captured_{self.store.one('SELECT number FROM monitoring.capture')}"

    def count(self) -> float:
        """Poll, and return how many runs are counted."""
        self.store.poll()
        return self.store.value(COUNT) or 0.0

    def problems(self) -> tuple[str, ...]:
        worker = self.store.worker()
        worker.poll()
        worker._disconnect()
        return worker.view.problems


Open = Callable[..., Shop]


def opened(database: Database, folder: Path, when: str = FINISHED, table: str = TABLE, *rows: str) -> Shop:
    """Make the table, adopt it, and count what it holds."""
    database.execute(table)
    path = folder / "shop.yml"
    path.write_text(MAPPING.format(when=when.replace("\n", "\n    ")))
    source = Source(preset=Preset(path))
    made = Shop(Store(database.dsn, mapping.plan(source)), source)
    made.execute(*rows)
    made.adopt()
    made.store.poll()
    return made
