"""The workers of the exporter that deal with alerts, under one configuration."""

from collections.abc import Callable

from exporter.aggregation.series import SourceView
from exporter.aggregation.shown import ShownSources
from exporter.alerts import alertmanager
from exporter.alerts.history_worker import HistoryWorker
from exporter.alerts.resender import Resender
from exporter.config.settings import Alertmanager, Alerts, Config, Database
from exporter.errors import ConfigError, SpoolError
from exporter.sections import Secret


class AlertWorkers:
    """The history's worker and the resender of manual alerts, as far as the configuration asks for them."""

    def __init__(self, config: Config, shown: ShownSources, published: Callable[[], None]) -> None:
        """Nothing connects before `start`. Raises ConfigError."""
        self._settings = _settings(config)
        self.token: Secret | None = config.alerts.token
        self.history: HistoryWorker | None = None
        if config.alerts.token:
            try:
                self.history = HistoryWorker(config.database, config.alerts, shown, published)
            except SpoolError as error:
                raise ConfigError(str(error)) from error
        self._resender: Resender | None = None
        if config.alertmanager.urls:
            self._resender = Resender(
                config.database, alertmanager.from_config(config), config.alertmanager.resend_seconds
            )

    @property
    def _workers(self) -> tuple[HistoryWorker | Resender, ...]:
        return tuple(worker for worker in (self.history, self._resender) if worker)

    @property
    def views(self) -> tuple[SourceView, ...]:
        """Return what `/metrics` shows beside the sources' counts."""
        return (self.history.view,) if self.history else ()

    def same_as(self, config: Config) -> bool:
        """Tell whether a configuration asks for the same, so that a reload can leave it alone."""
        return self._settings == _settings(config)

    def follow(self, other: "AlertWorkers") -> None:
        """Show what `other` showed until the first read, so that a reload leaves no gap."""
        if self.history and other.history:
            self.history.view = other.history.view
        if self._resender and other._resender:
            self._resender.follow(other._resender)

    def start(self) -> None:
        for worker in self._workers:
            worker.start()

    def stop(self, timeout_seconds: float) -> None:
        for worker in self._workers:
            worker.stop(timeout_seconds)


def _settings(config: Config) -> tuple[Database, Alerts, Alertmanager]:
    return config.database, config.alerts, config.alertmanager
