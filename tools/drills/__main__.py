"""Be `python -m tools.drills`: play incidents on a whole stack, and watch who is told what and when."""

import argparse
import signal
import sys
from pathlib import Path

from tools.drills import healthy, report, run
from tools.drills.catalogue import DRILLS
from tools.drills.errors import DrillError


def main() -> int:
    """Play what the arguments say; return the exit status: 0 all went well, 1 something did not, 2 wrong usage."""
    options = _parser().parse_args()
    if options.list:
        for drill in DRILLS.values():
            print(f"{drill.name:22} {drill.happens}")
        return 0
    if unknown := [name for name in options.names if name not in DRILLS and options.names != ["healthy"]]:
        print(f"drills: no drill is called {unknown[0]!r}; there are {', '.join(DRILLS)}", file=sys.stderr)
        return 2
    try:
        if options.names == ["healthy"]:
            return healthy.run(options.minutes)
        outcomes = run.run([DRILLS[name] for name in options.names or DRILLS])
    except DrillError as error:
        print(f"drills: {error}", file=sys.stderr)
        return 1
    if options.json:
        options.json.write_text(report.as_json(outcomes) + "\n")
    print(f"\n{report.table(outcomes)}\n\nSeconds count from the incident's beginning, of what is over from its end.")
    return 0 if all(outcome.well for outcome in outcomes) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.drills", description="Play incidents on a whole stack of this machine, on free ports."
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME",
        help="which drills (default: all), or `healthy` alone: traffic of which nobody may be told anything",
    )  # fmt: skip
    parser.add_argument("--list", action="store_true", help="say which drills there are")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was seen there, too")
    parser.add_argument("--minutes", type=float, default=60, help="how long `healthy` runs (default: 60)")
    return parser


if __name__ == "__main__":
    # As a person's Ctrl-C, also where it was started in the background: servers must not stay.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
