"""The command line: `platform-exporter` and `python -m exporter`."""

from importlib import import_module

import click

from exporter import __version__
from exporter.files import NO_TEXT

COMMANDS = {
    "serve": "exporter.commands.serve",
    "check-config": "exporter.commands.check_config",
    "schema": "exporter.commands.schema",
    "adopt": "exporter.commands.adopt",
    "preview": "exporter.commands.preview",
    "reconcile": "exporter.commands.reconcile",
    "health": "exporter.commands.health",
    "doctor": "exporter.commands.doctor",
    "series": "exporter.commands.series",
    "alerts": "exporter.commands.alerts",
    "errors": "exporter.commands.errors",
    "rules": "exporter.commands.rules",
    "export": "exporter.commands.export",
    "users": "exporter.commands.users",
    "backfill": "exporter.commands.backfill",
    "demo": "exporter.commands.demo",
    "receive-notifications": "exporter.commands.receive_notifications",
}
"""Where each command is; imported when it is asked for, as one needs a web server and another only a connection."""


class _Commands(click.Group):
    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        if any(map(NO_TEXT.search, args)):  # no database, and no terminal, takes half a character
            raise click.UsageError("invalid argument: expected UTF-8")
        return super().parse_args(context, args)

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(COMMANDS[name]), name.replace("-", "_"))
        return command


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="platform-exporter")
def main() -> None:
    """Monitor a web and scraping platform: a Prometheus exporter with exact counters.

    \b
    First steps:
      platform-exporter check-config FILE            is the configuration good?
      platform-exporter schema apply --config FILE   create the event store
      platform-exporter preview stratlogic --config FILE   what would be counted of your tables?
      platform-exporter adopt stratlogic --config FILE   count them
      platform-exporter serve --config FILE          answer on http://127.0.0.1:9847/metrics
      platform-exporter doctor --config FILE         is every piece reachable and flowing?

    Exit status: 0 fine, 1 failed, 2 wrong usage or configuration (for `health`: 0 healthy, 1 degraded or unknown,
    2 unhealthy).
    """


if __name__ == "__main__":
    main()
