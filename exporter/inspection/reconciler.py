"""The thread that compares counters with rows on a schedule, where the configuration says so."""

import logging
import threading
import time
from collections.abc import Iterator

import psycopg

from exporter.aggregation.gauges import DUTY
from exporter.config.settings import Config, Source
from exporter.database.connection import cancel, connect
from exporter.errors import PlatformError
from exporter.inspection.reconcile import Reconciliation, reconcile_source
from exporter.sources import mapping

logger = logging.getLogger(__name__)

RETRY_SECONDS = 60.0
"""How soon a source is tried again that could not be reconciled, such as one that was not counted yet."""

SERIES = 200
"""How many metrics of a source have a difference of their own: those with the largest."""


class Reconciler:
    """The daemon thread that reconciles one source after another, each in a connection of its own.

    What took D seconds is done again after DUTY * D at the earliest. `differences` may be read from any thread.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._found: dict[str, Reconciliation] = {}
        self._connection: psycopg.Connection | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reconcile", daemon=True)

    def same_as(self, config: Config) -> bool:
        """Return whether another configuration would do exactly the same."""
        mine, other = (
            (each.reconcile, each.sources, each.limits, [each.database_of(source) for source in each.sources])
            for each in (self._config, config)
        )
        return mine == other

    def start(self) -> None:
        """Start the thread, unless nothing is to be done."""
        if self._config.reconcile.interval_seconds is not None:
            self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """End the thread, and its statement if one runs."""
        self._stopping.set()
        if self._thread.is_alive():
            cancel(self._connection)
            self._thread.join(timeout_seconds)

    def differences(self) -> Iterator[tuple[str, float, dict[str, float]]]:
        """Yield (source, when, unexplained differences by metric) of each source that was reconciled."""
        for name, found in list(self._found.items()):
            by_metric: dict[str, float] = {}
            for one in found.comparisons:
                unexplained = 0.0 if one.explained else one.difference
                by_metric[one.metric] = by_metric.get(one.metric, 0.0) + unexplained
            largest = sorted(by_metric.items(), key=lambda pair: (-abs(pair[1]), pair[0]))
            yield name, found.at.timestamp(), dict(largest[:SERIES])

    def _run(self) -> None:
        interval = self._config.reconcile.interval_seconds or 0.0
        while not self._stopping.is_set():
            began = time.monotonic()
            done = [not self._stopping.is_set() and self._reconcile(source) for source in self._config.sources]
            took = time.monotonic() - began
            due = interval if all(done) else min(interval, RETRY_SECONDS)
            self._stopping.wait(max(due - took, DUTY * took))

    def _reconcile(self, source: Source) -> bool:
        """Reconcile a source; return whether that was possible."""
        try:
            with connect(
                mapping.store_of(self._config, source), "reconcile", native=mapping.plan(source).native
            ) as connection:
                self._connection = connection
                found = reconcile_source(connection, self._config, source)
        except (PlatformError, psycopg.Error) as error:
            if not self._stopping.is_set():
                logger.error("reconcile, source %s: %s", source.label, str(error).strip())
            return False
        except Exception:  # the thread must outlive anything
            logger.exception("reconcile, source %s", source.label)
            return False
        finally:
            self._connection = None
        for problem in found.problems:
            logger.info("reconcile, source %s: %s", source.label, problem)
        for one in found.comparisons:
            if not one.explained:
                logger.error("reconcile, source %s: %s is %g above its rows", source.label, one.metric, one.difference)
        if not found.problems:
            self._found[source.label] = found
        return not found.problems
