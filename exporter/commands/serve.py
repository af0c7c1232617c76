"""`serve`: run the exporter until SIGTERM."""

import contextlib
import signal
from collections.abc import Callable
from pathlib import Path

import click

from exporter.commands.common import FILE, config_option, load, log_to_stderr, reports_errors
from exporter.config.settings import parse_address
from exporter.errors import ConfigError


@click.command()
@config_option
@click.option("--listen", metavar="ADDR", help="HOST:PORT to listen on, instead of `listen` in the configuration.")
@click.option(
    "--web.config.file",
    "web_config",
    type=FILE,
    help="TLS, client certificates and users, in the format of Prometheus's exporter-toolkit.",
)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
@reports_errors
def serve(path: Path, listen: str | None, web_config: Path | None, log_level: str) -> None:
    """Count events, probe components and answer on /metrics.

    SIGHUP or POST /-/reload reads the configuration again; an invalid one is rejected. SIGTERM ends the exporter.

    \b
    Example:
      platform-exporter serve --config platform-exporter.yml
    """
    # Imported here: other commands start faster without a web server.
    from exporter.alerts import history_api
    from exporter.issues import api as issues
    from exporter.service import Service
    from exporter.web.routes import build_app
    from exporter.web.server import serve as serve_http
    from exporter.web.web_config import WebConfig

    # Before the server handles it, a reload signal would end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    log_to_stderr(log_level)
    config = load(path)
    try:
        host, port = parse_address(listen or config.listen)
    except ValueError as error:
        raise ConfigError(f"invalid address {listen!r} for `--listen`: {error}") from error
    web = WebConfig(web_config) if web_config else None
    service = Service(path, config, web.certificate_expiry if web else lambda: None)
    service.start()
    try:
        notifications = history_api.route(lambda: (service.alerts.token, service.alerts.history))
        more = [notifications, *issues.routes(lambda: service.config)]
        serve_http(build_app(service, more), host, port, web, _quietly(service.reload))
    finally:
        service.stop()


def _quietly(reload: Callable[[], None]) -> Callable[[], None]:
    """Return `reload` without its ConfigError, which the service has logged and shows as a metric."""

    def on_sighup() -> None:
        with contextlib.suppress(ConfigError):
            reload()

    return on_sighup
