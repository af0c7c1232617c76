"""Receive Alertmanager's notifications, for first steps and drills."""

from pathlib import Path

import click

from exporter.commands.common import FILE, log_to_stderr, reports_errors
from exporter.config.settings import parse_address
from exporter.errors import ConfigError


@click.command("receive-notifications")
@click.option(
    "--listen",
    "--web.listen-address",
    "listen",
    default="127.0.0.1:9848",
    show_default=True,
    metavar="ADDR",
    help="HOST:PORT to listen on.",
)
@click.option("--file", "path", type=FILE, help="Append each notification to this file, one JSON object a line.")
@reports_errors
def receive_notifications(listen: str, path: Path | None) -> None:
    """Print what Alertmanager sends to its webhook receiver.

    The Alertmanager configuration that ships with the exporter sends everything here, so that notifications can be
    seen before mail or chat is set up. Open the address in a browser to see the last ones.
    """
    # Imported here: other commands start faster without a server.
    from exporter.alerts.notification_receiver import receive

    log_to_stderr("warning")
    try:
        host, port = parse_address(listen)
    except ValueError as error:
        raise ConfigError(f"invalid address {listen!r} for `--listen`: {error}") from error
    receive(host, port, path)
