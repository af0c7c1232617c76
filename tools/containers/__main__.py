"""The command `python -m tools.containers`: run docker-compose.yml as it ships, with images made here, and try it."""

import argparse
import signal
import sys
import time

import yaml

from tools.containers import engine, images
from tools.containers.checks import CHECKS
from tools.containers.project import PROFILES, Project
from tools.stack.checkout import CHECKOUT
from tools.stack.errors import StackError
from tools.stack.programs.catalogue import SearchPath


def main() -> int:
    """Run the checks of the arguments; return the exit status: 0 all went well, 1 something did not, 2 wrong usage."""
    checks = {check.__name__: check for check in CHECKS}
    parser = argparse.ArgumentParser(
        prog="python -m tools.containers",
        description="Run docker-compose.yml on a Docker engine of its own (as root; some GB of disk, up to an hour).",
    )
    parser.add_argument("names", nargs="*", choices=[*checks, []], help="which checks, in their order (default: all)")
    options = parser.parse_args()
    tools = SearchPath().tools
    failed = 0
    try:
        with engine.engine(tools / "containers", tools) as running:
            services = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]
            images.make(running, tools / "containers", {service["image"] for service in services.values()})
            project = Project.copied(running, tools / "containers/project")
            project.compose(*PROFILES, "down", "--volumes", "--remove-orphans")
            for name in options.names or checks:
                began = time.monotonic()
                try:
                    said, outcome = checks[name](project), "ok"
                except StackError as error:
                    said, outcome, failed = str(error), "FAILED", failed + 1
                print(f"{outcome:6} {name} ({time.monotonic() - began:.0f} s): {said}", flush=True)
            project.compose(*PROFILES, "down", "--volumes", "--remove-orphans")
    except StackError as error:
        print(f"containers: {error}", file=sys.stderr)
        return 1
    return 1 if failed else 0


if __name__ == "__main__":
    # Like Ctrl-C, also where it was started in the background: the engine must not stay.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
