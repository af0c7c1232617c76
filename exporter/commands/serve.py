"""`serve`: run the exporter until SIGTERM."""

import contextlib
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exporter.commands.common import FILE, config_option, load, log_to_stderr, reports_errors
from exporter.config.settings import parse_address
from exporter.errors import ConfigError

if TYPE_CHECKING:
    from exporter.web.web_config import WebConfig


@click.command()
@config_option
@click.option(
    "--listen",
    "--web.listen-address",
    "listen",
    metavar="ADDR",
    help="HOST:PORT to listen on, instead of `listen` in the configuration.",
)
@click.option(
    "--web.config.file",
    "web_config",
    type=FILE,
    help="TLS, client certificates and users, in the format of Prometheus's exporter-toolkit.",
)
@click.option("--web.enable-lifecycle", "lifecycle", is_flag=True, help="Let POST /-/reload work without users.")
@click.option(
    "--web.allowed-host",
    "allowed_hosts",
    metavar="HOST",
    multiple=True,
    help="Answer for this name in Host, besides localhost and addresses; may be repeated.",
)
@click.option(
    "--log-level",
    "--log.level",
    "log_level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
)
@click.option(
    "--log-format",
    "--log.format",
    "log_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Text, or an object a line.",
)
@reports_errors
def serve(
    path: Path,
    listen: str | None,
    web_config: Path | None,
    lifecycle: bool,
    allowed_hosts: tuple[str, ...],
    log_level: str,
    log_format: str,
) -> None:
    """Count events, probe components and answer on /metrics.

    SIGHUP or POST /-/reload reads the configuration again; an invalid one is rejected. SIGTERM ends the exporter.
    POST /-/reload needs --web.enable-lifecycle, or users or verified client certificates in the web configuration.

    \b
    Example:
      platform-exporter serve --config platform-exporter.yml
    """
    # Imported here: other commands start faster without a web server.
    from exporter.alerts import history_api, watchdog_api
    from exporter.issues import api as issues
    from exporter.service import Service
    from exporter.web.routes import build_app
    from exporter.web.server import serve as serve_http

    # Before the server handles it, a reload signal would end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    log_to_stderr(log_level, log_format)
    config = load(path)
    try:
        host, port = parse_address(listen or config.listen)
    except ValueError as error:
        raise ConfigError(f"invalid address {listen!r} for `--listen`: {error}") from error
    web = _web(web_config)
    service = Service(path, config, web.certificate_expiry if web else lambda: None)
    service.start()
    try:
        notifications = history_api.route(lambda: (service.alerts.token, service.alerts.history))
        watchdog = watchdog_api.route(lambda: (service.alerts.watchdog_token, service.alerts.watchdog))
        more = [notifications, watchdog, *issues.routes(lambda: service.config)]
        app = build_app(service, more, lifecycle=lifecycle, identifies=lambda: bool(web and web.identifies()))
        serve_http(app, host, port, web, _quietly(service.reload), allowed_hosts=allowed_hosts)
    finally:
        service.stop()


def _web(path: Path | None) -> "WebConfig | None":
    if path is None:
        return None
    from exporter.web.web_config import WebConfig

    return WebConfig(path)


def _quietly(reload: Callable[[], None]) -> Callable[[], None]:
    """Return `reload` without its ConfigError, which the service has logged and shows as a metric."""

    def on_sighup() -> None:
        with contextlib.suppress(ConfigError):
            reload()

    return on_sighup
