"""The workers of the exporter that deal with alerts, under one configuration."""

import socket
from collections.abc import Callable
from pathlib import Path

from exporter.aggregation.series import SourceView
from exporter.aggregation.shown import ShownSources
from exporter.alerts import alertmanager
from exporter.alerts.history_worker import HistoryWorker
from exporter.alerts.resender import Resender
from exporter.alerts.watchdog import WatchdogSwitch
from exporter.config.settings import Alertmanager, Alerts, Config, Database, Watchdog
from exporter.errors import ConfigError, SpoolError
from exporter.sections import Secret


class AlertWorkers:
    """The history's worker, the resender of manual alerts and the dead man's switch, those that are configured."""

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
        self.watchdog_token: Secret | None = config.watchdog.token
        self.watchdog: WatchdogSwitch | None = None
        if config.watchdog.token:
            folder = Path(config.state_folder) if config.state_folder else None
            self.watchdog = WatchdogSwitch(config.watchdog, config.database, folder, place(config))
        self._resender: Resender | None = None
        if config.alertmanager.urls:
            self._resender = Resender(
                config.database, alertmanager.from_config(config), config.alertmanager.resend_seconds
            )

    @property
    def _workers(self) -> tuple[HistoryWorker | Resender | WatchdogSwitch, ...]:
        return tuple(worker for worker in (self.history, self._resender, self.watchdog) if worker)

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
        if self.watchdog and other.watchdog:
            self.watchdog.follow(other.watchdog)

    def start(self) -> None:
        for worker in self._workers:
            worker.start()

    def stop(self, timeout_seconds: float) -> None:
        for worker in self._workers:
            worker.stop(timeout_seconds)


def place(config: Config) -> str:
    """Return how messages name this exporter: HOST:PORT."""
    return f"{socket.gethostname()}:{config.listen.rpartition(':')[2]}"


def _settings(config: Config) -> tuple[Database, Alerts, Alertmanager, Watchdog]:
    return config.database, config.alerts, config.alertmanager, config.watchdog
