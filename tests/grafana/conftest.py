"""Fixtures for the dashboards: an hour of demo data in a real Prometheus, and an event store with some rows."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import pytest

from tests.grafana import demo_series, past_rules, remote_write
from tests.servers import PrometheusBinaries, ServerFactory, fresh_database
from tools.stack.servers import Postgres, Prometheus
from tools.testing import event_rows
from tools.testing.dashboard_sql import Viewer

CONFIG = "global: {scrape_interval: 15s}\nstorage: {tsdb: {out_of_order_time_window: 5w}}\n"
ROWS = 20_000
FLAGS = ("--web.enable-remote-write-receiver", "--storage.tsdb.retention.time=60d")


@dataclass(frozen=True)
class Hour:
    """An hour of demo data with incidents: the server that holds it, and its begin and end in Unix seconds."""

    server: Prometheus
    start: float
    end: float

    def at_end(self, promql: str) -> list[dict[str, object]]:
        """Return the result of an instant query at the end of the hour."""
        return _at_end(self, promql)

    def over(self, promql: str) -> list[dict[str, object]]:
        """Return the result of a query over the hour, a point a minute."""
        return _over(self, promql)


@cache
def _at_end(hour: Hour, promql: str) -> list[dict[str, object]]:
    return hour.server.query(promql, at=hour.end)


@cache
def _over(hour: Hour, promql: str) -> list[dict[str, object]]:
    found = hour.server.get("/api/v1/query_range", query=promql, start=hour.start, end=hour.end, step=60)
    result: list[dict[str, object]] = found["data"]["result"]
    return result


@pytest.fixture(scope="session")
def hour(session_servers: ServerFactory) -> Hour:
    """Return the oldest Prometheus supported (2.42) with an hour of every series and what our rules make of them."""
    binary = PrometheusBinaries.of("stable").prometheus
    server = session_servers.start(Prometheus, CONFIG, name="hour", binary=binary, flags=FLAGS)
    end = time.time() // 60 * 60
    start = end - demo_series.HOUR_SECONDS
    remote_write.write(server.url, demo_series.earlier_month(start))
    remote_write.write(server.url, demo_series.earlier_weeks(start))
    remote_write.write(server.url, demo_series.series(start))
    past_rules.evaluate(server, start - demo_series.WARM_UP_SECONDS + 300, end, demo_series.STEP_SECONDS)
    return Hour(server, start, end)


@pytest.fixture(scope="session")
def parser(session_servers: ServerFactory) -> Prometheus:
    """Return a Prometheus that parses PromQL: the newest, because 2.42 cannot."""
    return session_servers.start(Prometheus, name="parser", binary=PrometheusBinaries.of("newest").prometheus)


@pytest.fixture(scope="session")
def viewer(postgres: Postgres) -> Iterator[Viewer]:
    """Return a viewer of the last six hours of a small event store, who only reads."""
    with fresh_database(postgres) as database:
        with database.connect() as connection:
            event_rows.load(connection, ROWS, hours=6)
            connection.execute("ANALYZE")
        yield Viewer(database.dsn, time.time())
