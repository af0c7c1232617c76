"""The figure that every scrape stands on: servers that hang cost a scrape its timeout and no more."""

import time
from collections.abc import Callable

from exporter.probes import Probes, build
from exporter.probes.base import Reason
from exporter.probes.run import ProbeRunner
from tests.probes.probing import postgresql, redis
from tools.stack.servers import Postgres, Redis

SCRAPES = 20


def test_scrapes_of_frozen_servers(start_postgres: Callable[..., Postgres], start_redis: Callable[..., Redis]) -> None:
    """With PostgreSQL and Redis frozen each of 20 scrapes ends within the timeout + 100 ms and says so of both."""
    servers = (start_postgres(), start_redis())
    targets = Probes(postgresql=(postgresql(servers[0].dsn),), redis=(redis(servers[1].url),))
    runner = ProbeRunner(build(targets))
    runner.run(1.0)
    for server in servers:
        server.freeze()
    seconds = []
    for _ in range(SCRAPES):
        start = time.monotonic()
        results = runner.run(1.0)
        seconds.append(time.monotonic() - start)
        assert {result.reason for result in results.values()} == {Reason.TIMEOUT}
    runner.close()

    assert max(seconds) <= 1.1
