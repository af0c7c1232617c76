"""What every scrape stands on: servers that hang cost a scrape its timeout and no more."""

import threading
from collections.abc import Callable

from exporter.probes import Probes, build
from exporter.probes.base import Reason
from exporter.probes.run import ProbeRunner
from tests.probes.probing import TIMEOUT_SECONDS, postgresql, redis
from tools.stack.servers import Postgres, Redis

SCRAPES = 5


def test_scrapes_of_frozen_servers(start_postgres: Callable[..., Postgres], start_redis: Callable[..., Redis]) -> None:
    """While PostgreSQL and Redis are frozen every scrape ends, says so of both, and leaves no thread behind."""
    servers = (start_postgres(), start_redis())
    targets = Probes(postgresql=(postgresql(servers[0].dsn),), redis=(redis(servers[1].url),))
    runner = ProbeRunner(build(targets))
    runner.run(TIMEOUT_SECONDS)
    for server in servers:
        server.freeze()
    threads = threading.active_count()
    found = [{result.reason for result in runner.run(0.3).values()} for _ in range(SCRAPES)]
    left = threading.active_count()
    runner.close()

    assert found == [{Reason.TIMEOUT}] * SCRAPES
    assert left == threads
