"""Write what applications do into a stack's databases, second by second, in a thread."""

import random
import threading
import time
from collections.abc import Mapping

import psycopg

from tools.drills.applications import Application
from tools.stack import config_files, traffic
from tools.stack.state import StackState

# Far from the incident that the demo's own traffic plays in the first ten minutes of each hour.
HEALTHY_SECONDS = traffic.INCIDENT_SECONDS + 1
DEMO_EVERY_SECONDS = 2


class Traffic:
    """Healthy traffic of the demo, and what the given applications do; a database that is away costs its rows."""

    def __init__(self, state: StackState, applications: Mapping[str, Application], seed: int = 0) -> None:
        self._dsn = f"postgresql://writer:{state.secret('writer')}@{state.address('postgres')}/platform"
        self._applications = applications
        self._random = random.Random(seed)  # noqa: S311  # invented traffic, no secret
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._own, daemon=True)]
        addresses = config_files.traffic_addresses(state)
        self._demo = traffic.TrafficWriter(addresses, traffic.DemoApplications(self._random), log=_silent)
        self._threads.append(threading.Thread(target=self._demos, daemon=True))

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End it."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
        if self._connection:
            self._connection.close()

    def _demos(self) -> None:
        while not self._stop.wait(DEMO_EVERY_SECONDS):
            self._demo.round(HEALTHY_SECONDS)

    def _own(self) -> None:
        """Write a second's rows each second; what a database that hangs has held up is not made up for."""
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due = max(due + 1, time.monotonic() - 5)
            try:
                self._write()
            except psycopg.Error:
                if self._connection:
                    self._connection.close()
                self._connection = None

    def _write(self) -> None:
        if self._connection is None:
            self._connection = psycopg.connect(
                self._dsn, application_name="drill", connect_timeout=3, options="-c statement_timeout=5000"
            )
        with self._connection.transaction(), self._connection.cursor() as cursor:
            for application in list(self._applications.values()):
                for statement, rows in application.second(self._random).items():
                    cursor.executemany(statement.encode(), rows)


def _silent(line: str) -> None:
    """Take no notice: that a server is away is what drills are about."""
