"""The command `python -m tools.drills`: simulate incidents on a whole stack, and watch who is notified and when."""

import argparse
import signal
import sys
from pathlib import Path

from tools.drills import healthy, report, runner
from tools.drills.faults import DrillError
from tools.drills.incidents import DRILLS


def main() -> int:
    """Run the drills of the arguments; return the exit status: 0 all went well, 1 something did not, 2 wrong usage."""
    options = _parser().parse_args()
    if options.list:
        for drill in DRILLS.values():
            print(f"{drill.name:22} {drill.happens}")
        return 0
    if unknown := [name for name in options.names if name not in DRILLS and options.names != ["healthy"]]:
        print(f"drills: unknown drill {unknown[0]!r}: expected one of {', '.join(DRILLS)}", file=sys.stderr)
        return 2
    try:
        if options.names == ["healthy"]:
            return healthy.run(options.minutes)
        outcomes = runner.run([DRILLS[name] for name in options.names or DRILLS])
    except DrillError as error:
        print(f"drills: {error}", file=sys.stderr)
        return 1
    if options.json:
        options.json.write_text(report.as_json(outcomes) + "\n")
    print(f"\n{report.table(outcomes)}\n\nSeconds count from the incident's beginning; for what is over, from its end.")
    return 0 if all(outcome.well for outcome in outcomes) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.drills", description="Simulate incidents on a whole stack on this machine, on free ports."
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME",
        help="which drills (default: all), or `healthy` alone: traffic that must notify no one",
    )  # fmt: skip
    parser.add_argument("--list", action="store_true", help="list the drills")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was seen to this file too")
    parser.add_argument("--minutes", type=float, default=60, help="how long `healthy` runs (default: 60)")
    return parser


if __name__ == "__main__":
    # Like Ctrl-C, also where it was started in the background: servers must not stay.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
