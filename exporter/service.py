"""The running exporter: sources, probes and what is shown, under a configuration that may be reloaded."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector

from exporter import queries
from exporter.aggregation.claims import StoreClaims
from exporter.aggregation.poller import Worker
from exporter.aggregation.series import SourceView
from exporter.aggregation.shown import ShownSources
from exporter.alerts.workers import AlertWorkers
from exporter.config import loader as configuration
from exporter.config.settings import Config
from exporter.dependencies import dependencies
from exporter.errors import ConfigError, MappingError, StateError
from exporter.exposition import collector, partial_sums
from exporter.exposition.labels import AddedLabels, added_labels
from exporter.exposition.negotiation import Format
from exporter.exposition.queries import check as check_queries
from exporter.inspection.reconciler import Reconciler
from exporter.jobs import Jobs
from exporter.probes import build
from exporter.probes.base import Status
from exporter.probes.run import ProbeRunner
from exporter.queries import QueryView, QueryWorker
from exporter.redaction import shown_name
from exporter.sources import mapping

logger = logging.getLogger(__name__)

SCRAPE_MARGIN_SECONDS = 0.5
"""What is left of Prometheus's own timeout for encoding and sending, so that it never expires."""

SHORTEST_PROBE_SECONDS = 0.05

_WORST_FIRST = (Status.UNHEALTHY, Status.DEGRADED, Status.UNKNOWN, Status.HEALTHY)


class Service:
    """The running parts. `render` may be called from several threads at once."""

    def __init__(
        self, path: Path, config: Config, certificate_expiry: Callable[[], float | None] = lambda: None
    ) -> None:
        """Nothing connects before `start`. Raises ConfigError.

        `certificate_expiry` returns when the server's certificate expires, in Unix seconds; None without TLS.
        """
        self._certificate_expiry = certificate_expiry
        self._path = path
        self._config = config
        self._changed = threading.Event()
        self._shown = _shown(config)
        self._claims = StoreClaims(_stores(config))
        self._workers = _workers(config, {}, self._shown, self._changed.set, self._claims)
        self._stores = _stores(config)
        self._withheld: list[str] = []
        self._added = added_labels(config)
        self._dependencies = tuple(dependencies(config))
        self._runner = ProbeRunner(build(config.probes))
        self._queries = _query_workers(config, ())
        self._reconciler = Reconciler(config)
        self._jobs = Jobs(config)
        self.alerts = AlertWorkers(config, self._shown, self._changed.set)
        self._reload_ok = True
        self._loaded_at = time.time()
        self._lock = threading.Lock()
        self._cached: tuple[tuple[SourceView, ...], dict[bool, bytes], AddedLabels] = ((), {}, self._added)
        self._encoding = threading.Lock()
        self._formats: dict[bool, Format] = {}
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)

    @property
    def config(self) -> Config:
        """Return the configuration in force."""
        return self._config

    def start(self) -> None:
        threading.Thread(target=self._encode_ahead, name="encoder", daemon=True).start()
        for worker in self._workers.values():
            worker.start()
        self.alerts.start()
        self._reconciler.start()
        self._jobs.start()
        for queried in self._queries:
            queried.start()

    def stop(self) -> None:
        """End all threads; blocks for a few seconds at most."""
        _stop((*self._workers.values(), self.alerts, self._reconciler, self._jobs, *self._queries), timeout_seconds=2.0)
        self._shown.close()
        self._runner.close()

    def render(self, accept: str, scrape_timeout_seconds: float | None, client: str = "") -> tuple[bytes, str]:
        """Probe, and return the whole exposition with its content type. Blocks until the probes' deadline at most."""
        config, workers = self._config, self._workers
        asked = time.monotonic()
        failures = self._runner.failures()  # from before: a counter is seen at 0 before its first failure
        results = self._runner.run(self._probe_timeout(config, scrape_timeout_seconds))
        began = time.monotonic()
        form = Format(accept)
        self._formats[form.openmetrics] = form
        views = tuple(worker.view for worker in workers.values())
        self._log_withheld(views)
        intervals = {name: worker.interval_seconds for name, worker in workers.items()}
        live = [
            *collector.probed(results, failures, self._added),
            *collector.sources(views, intervals, time.monotonic()),
            *collector.exporter(config, reload_ok=self._reload_ok, loaded_at=self._loaded_at, now=time.time()),
            *collector.needed(self._dependencies),
            *collector.own_certificate(self._certificate_expiry()),
            *collector.jobs(self._jobs.states(views, collector.fresh(views, intervals, time.monotonic())), self._added),
            *collector.reconciled(self._reconciler.differences()),
            *(collector.watchdog(*self.alerts.watchdog.view) if self.alerts.watchdog else ()),
            *collector.queried(self._query_views(), time.monotonic(), self._added),
            *self._process.collect(),
        ]
        body = form.join((self._counted((*views, *self.alerts.views), form), form.encode(live)))
        # A scraper that has given up meanwhile has seen nothing.
        if scrape_timeout_seconds is None or time.monotonic() - asked < scrape_timeout_seconds:
            self._shown.scrapers.note(client, began, scrapes=scrape_timeout_seconds is not None)
        if scrape_timeout_seconds is not None and self.alerts.watchdog:
            self.alerts.watchdog.scraped()
        return body, form.content_type

    def not_ready(self) -> list[str]:
        """Return the sources that were never read, and why; and which counters are withheld for that.

        One that another source counts already is left out: that lasts until somebody changes the configuration.
        """
        views = [worker.view for worker in self._workers.values()]
        waiting = [view for view in views if view.polled_at is None and not view.doubled]
        return [
            *(f"source {view.source}: {'; '.join(view.problems)}" for view in waiting),
            *partial_sums.notices(views, self._stores, self._added),
        ]

    def notices(self) -> list[str]:
        """Return what is not shown although it is configured, and why."""
        views = [worker.view for worker in self._workers.values()]
        return [
            *(f"source {view.source}: {'; '.join(view.problems)}" for view in views if view.doubled),
            *partial_sums.notices(views, self._stores, self._added),
        ]

    def health(self) -> dict[str, object]:
        """Probe and return the health of every component, source and query, and the worst of all as `status`."""
        config, workers, now = self._config, self._workers, time.monotonic()
        results = self._runner.run(config.probe_timeout_seconds)
        components: list[dict[str, object]] = [
            {
                "component": component,
                "name": name,
                "status": result.status.value,
                "cause": result.cause,
                "reason": result.reason,
                "problems": list(result.problems),
                "response_time_seconds": round(result.duration_seconds, 6),
            }
            for (component, name), result in results.items()
        ]
        sources: list[dict[str, object]] = [
            {
                "source": name,
                "status": _source_status(worker, now).value,
                "cause": "; ".join(worker.view.problems),
                "lag_seconds": worker.view.lag_seconds(now),
                "approximate": worker.plan.read_only,
            }
            for name, worker in workers.items()
        ]
        asked: list[dict[str, object]] = [
            {
                "query": view.query.name,
                "status": (Status.HEALTHY if view.is_up(now) else Status.DEGRADED).value,
                "cause": view.problem,
                "age_seconds": view.age_seconds(now),
            }
            for view in self._query_views()
        ]
        found = {item["status"] for item in (*components, *sources, *asked)}
        worst = next((status for status in _WORST_FIRST if status.value in found), Status.UNKNOWN)
        return {"status": worst.value, "components": components, "sources": sources, "queries": asked}

    def reload(self) -> None:
        """Reload the configuration and change what differs. Raises ConfigError, and then changes nothing.

        Whatever else it raises, the reload has failed, too.
        """
        with self._lock:
            try:
                self._apply(configuration.load(self._path))
            except BaseException as error:
                self._reload_ok = False
                if isinstance(error, ConfigError):
                    logger.error("the configuration was not reloaded, the old one stays in force: %s", error)
                raise
            self._reload_ok, self._loaded_at = True, time.time()
            logger.info("reloaded the configuration from %s", self._path)

    def _apply(self, config: Config) -> None:
        """Make all parts of a configuration, which changes nothing yet, and then replace what differs."""
        workers = _workers(config, self._workers, self._shown, self._changed.set, self._claims)
        probes = build(config.probes)
        alerts = self.alerts
        if not alerts.same_as(config):
            alerts = AlertWorkers(config, self._shown, self._changed.set)
        added, needed = added_labels(config), tuple(dependencies(config))
        queried = _query_workers(config, self._queries)
        old, self._workers = self._workers, workers
        old_config, self._config = self._config, config
        later = (
            ("listen", config.listen, old_config.listen),
            ("state_folder", config.state_folder, old_config.state_folder),
        )
        for key, now, before in later:
            if now != before:
                logger.warning("`%s` changed to %s, which takes effect at the next start", key, now)
        self._shown.scrapers.interval_seconds = config.scrape_interval_seconds
        self._added, self._dependencies = added, needed
        self._replace_queries(queried)
        _stop([worker for name, worker in old.items() if workers.get(name) is not worker], timeout_seconds=5.0)
        self._claims.keep(_stores(config))
        for name, worker in workers.items():
            if old.get(name) is not worker:
                worker.start()
        self._replace_alerts(alerts)
        self._replace_reconciler(config)
        self._replace_jobs(config)
        self._runner.replace(probes)

    def _replace_queries(self, new: list[QueryWorker]) -> None:
        old, self._queries = self._queries, new
        _stop([worker for worker in old if worker not in new], timeout_seconds=5.0)
        for worker in new:
            if worker not in old:
                worker.start()

    def _query_views(self) -> list[QueryView]:
        return [view for worker in self._queries for view in worker.views.values()]

    def _replace_alerts(self, alerts: AlertWorkers) -> None:
        old, self.alerts = self.alerts, alerts
        if old is not alerts:
            alerts.follow(old)
            old.stop(timeout_seconds=5.0)
            alerts.start()

    def _replace_reconciler(self, config: Config) -> None:
        if not self._reconciler.same_as(config):
            self._reconciler.stop(timeout_seconds=5.0)
            self._reconciler = Reconciler(config)
            self._reconciler.start()

    def _replace_jobs(self, config: Config) -> None:
        if not self._jobs.same_as(config):
            self._jobs.stop(timeout_seconds=5.0)
            self._jobs = Jobs(config, self._jobs)
            self._jobs.start()

    def _log_withheld(self, views: tuple[SourceView, ...]) -> None:
        """Log which counters a scrape does not show, when that changes."""
        found = partial_sums.notices(views, self._stores, self._added)
        before, self._withheld = self._withheld, found
        if found != before:
            logger.log(logging.WARNING if found else logging.INFO, "%s", "; ".join(found) or "all counters are shown")

    def _encode_ahead(self) -> None:
        """Encode new counters before the next scrape: encoding takes longer than all the rest of a scrape."""
        while True:
            self._changed.wait()
            self._changed.clear()
            views = (*(worker.view for worker in self._workers.values()), *self.alerts.views)
            for form in list(self._formats.values()):
                try:
                    self._counted(views, form)
                except Exception:  # the thread must outlive anything; the scrape that follows raises it again
                    logger.exception("encoding failed")

    def _counted(self, views: tuple[SourceView, ...], form: Format) -> bytes:
        """Return the encoded counters, from the cache unless a view changed."""
        with self._encoding:
            added = self._added
            seen, encoded, before = self._cached
            if (
                added != before
                or len(seen) != len(views)
                or not all(_shows_same(a, b) for a, b in zip(seen, views, strict=True))
            ):
                encoded = {}
            body = encoded.get(form.openmetrics)
            if body is None:
                # One that a reload adds was in no sum before.
                whole = partial_sums.without_partial_sums(views, self._stores, added)
                body = form.encode(collector.counted(whole, created=form.openmetrics, added=added))
            self._cached = (views, {**encoded, form.openmetrics: body}, added)
            return body

    @staticmethod
    def _probe_timeout(config: Config, scrape_timeout_seconds: float | None) -> float:
        if scrape_timeout_seconds is None:
            return config.probe_timeout_seconds
        left = scrape_timeout_seconds - SCRAPE_MARGIN_SECONDS
        return max(SHORTEST_PROBE_SECONDS, min(config.probe_timeout_seconds, left))


def _shown(config: Config) -> ShownSources:
    try:
        folder = Path(config.state_folder) if config.state_folder else None
        return ShownSources(folder, config.scrape_interval_seconds)
    except StateError as error:
        raise ConfigError(str(error)) from error


def _workers(
    config: Config, running: dict[str, Worker], shown: ShownSources, published: Callable[[], None],
    claims: StoreClaims,
) -> dict[str, Worker]:  # fmt: skip
    """Return a worker for each source, from `running` where nothing changed."""
    workers = {}
    for source in config.sources:
        try:
            plan = mapping.plan(source)
        except MappingError as error:
            raise ConfigError(f"`sources`, {shown_name(source.label)}: {error}") from error
        tables = config.database_of(source)
        store = config.database if plan.read_only else tables
        new = Worker(plan, store, config.limits, config.retention_days, published, shown, tables, claims)
        known = running.get(source.label)
        if known is not None and known.counts_as(new):
            new.view = known.view  # no gap in the series until its own first poll
        workers[source.label] = known if known is not None and known.same_as(new) else new
    return workers


def _stores(config: Config) -> list[str]:
    """Return the sources that are event stores."""
    return [source.label for source in config.sources if source.preset == "native"]


def _query_workers(config: Config, running: Iterable[QueryWorker]) -> list[QueryWorker]:
    check_queries(config)
    return queries.workers(config, running)


def _shows_same(a: SourceView, b: SourceView) -> bool:
    """Tell whether two views have the same series: comparing 2,000 takes a hundredth of the time to encode them."""
    return a is b or (a.known == b.known and a.totals == b.totals and a.readings == b.readings)


def _stop(workers: Iterable[Worker | AlertWorkers | Reconciler | QueryWorker | Jobs], timeout_seconds: float) -> None:
    """Stop all workers at the same time: where a server hangs, each takes its whole timeout."""
    threads = [threading.Thread(target=worker.stop, args=(timeout_seconds,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _source_status(worker: Worker, now: float) -> Status:
    if worker.view.polled_at is None and not worker.view.doubled:
        return Status.UNKNOWN
    return Status.HEALTHY if collector.is_up(worker.view, worker.interval_seconds, now) else Status.UNHEALTHY
