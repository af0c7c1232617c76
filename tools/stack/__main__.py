"""The command `python -m tools.stack`: the whole platform as plain processes."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tools.stack.checkout import CHECKOUT
from tools.stack.errors import StackError

if TYPE_CHECKING:
    from tools.stack.up import Options

COMMANDS = {
    "up": "start what does not run yet, and show that it works",
    "down": "end what was started; its data stay",
    "status": "show what runs, what it has counted and the latest notifications",
    "backfill": "give Prometheus the week from before it was started: takes minutes",
    "clean": "end it and remove its data",
}


def main() -> int:
    """Run the command of the arguments; return the exit status: 0 fine, 1 failed, 2 wrong usage."""
    options = _parser().parse_args()
    # Imported by need: `down` and `clean` work without the virtual environment.
    try:
        if options.command == "up":
            from tools.stack import up

            return up.run(options.state, _up_options(options))
        if options.command == "status":
            from tools.stack import status

            return status.run(options.state)
        if options.command == "backfill":
            from tools.stack import backfill

            return backfill.run(options.state)
        from tools.stack import down

        return down.clean(options.state) if options.command == "clean" else down.run(options.state)
    except (StackError, OSError) as error:
        print(f"\nstack: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nstack: interrupted; `make status` shows what runs, `make down` ends it", file=sys.stderr)
    return 1


def _up_options(options: argparse.Namespace) -> "Options":
    from tools.stack.up import Options

    return Options(
        free_ports=options.free_ports,
        grafana=not options.no_grafana,
        download_grafana=options.download_grafana,
        wait=not options.no_wait,
        two_alertmanagers=options.two_alertmanagers,
        traffic=not options.no_traffic,
        build_minio=options.build_minio,
        past=options.past,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.stack", description="Run the platform as plain processes.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        folder = CHECKOUT / ".stack"
        command.add_argument("--state", type=Path, default=folder, metavar="DIR", help="its folder (default: .stack)")
        if name == "up":
            _add_up_options(command)
    return parser


def _add_up_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--free-ports", action="store_true", help="take any free ports, not the usual ones")
    command.add_argument("--past", default="7d", help="how much past to write for the simulated platform (default: 7d)")
    command.add_argument("--two-alertmanagers", action="store_true", help="run two that know each other")
    command.add_argument(
        "--build-minio", action="store_true", help="compile MinIO before the start where it is missing, not beside it"
    )
    grafana = command.add_mutually_exclusive_group()
    grafana.add_argument("--no-grafana", action="store_true", help="leave Grafana out")
    grafana.add_argument(
        "--download-grafana", action="store_true", help="download it from its makers where it is missing (grafana.com)"
    )
    command.add_argument("--no-traffic", action="store_true", help="leave the demo's live traffic out")
    command.add_argument("--no-wait", action="store_true", help="do not wait for the demo's first notification")


if __name__ == "__main__":
    sys.exit(main())
