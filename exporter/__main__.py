"""Be the command line: `platform-exporter` and `python -m exporter`."""

import click

from exporter import __version__
from exporter.commands.adopt import adopt
from exporter.commands.check_config import check_config
from exporter.commands.doctor import doctor
from exporter.commands.health import health
from exporter.commands.receive_notifications import receive_notifications
from exporter.commands.schema import schema
from exporter.commands.serve import serve


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="platform-exporter")
def main() -> None:
    """Monitor a web and scraping platform: a Prometheus exporter with exact counters.

    \b
    First steps:
      platform-exporter check-config FILE            is the configuration good?
      platform-exporter schema apply --config FILE   create the event store
      platform-exporter adopt stratlogic --config FILE   count tables an application already has
      platform-exporter serve --config FILE          answer on http://127.0.0.1:9847/metrics
      platform-exporter doctor --config FILE         is every piece reachable and flowing?

    Exit status: 0 fine, 1 failed, 2 wrong usage or configuration (for `health`: 0 healthy, 1 warning or unknown,
    2 critical).
    """


for command in (serve, check_config, schema, adopt, health, doctor, receive_notifications):
    main.add_command(command)

if __name__ == "__main__":
    main()
