"""The command `python -m tools.fuzz`: try inputs that nobody meant to write."""

import argparse
import subprocess
import sys

from tools.fuzz import runner
from tools.fuzz.targets import TARGETS


def main() -> int:
    """Run the targets of the arguments; return the exit status: 0 nothing found, 1 something found, 2 wrong usage."""
    options = _parser().parse_args()
    if unknown := [name for name in options.names if name not in TARGETS]:
        print(f"fuzz: unknown target {unknown[0]!r}: expected one of {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    names = options.names or list(TARGETS)
    if len(names) == 1:
        return _fuzz(names[0], options)
    # A process for each, so that the memory is its own.
    more = [*(["--cases", str(options.cases)] if options.cases else []), "--seed", str(options.seed)]
    return max(subprocess.run([sys.executable, "-m", "tools.fuzz", name, *more], check=False).returncode
               for name in names)  # fmt: skip


def _fuzz(name: str, options: argparse.Namespace) -> int:
    target = TARGETS[name]()
    outcome = runner.run(target, options.cases or target.cases, options.seed, first=options.first)
    print(
        f"{name}: {outcome.cases:,} inputs, {outcome.failed:,} with a fault, slowest {outcome.slowest_seconds:.2f} s "
        f"of processor time, {outcome.megabytes:.0f} MB",
        flush=True,
    )
    for fault in outcome.faults.values():
        print(f"\n{fault.problem.rstrip()}\n  again: {fault.again}")
    if outcome.megabytes > target.limit_megabytes:
        print(f"\nmore memory than {target.limit_megabytes:g} MB")
    return 1 if outcome.faults or outcome.megabytes > target.limit_megabytes else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.fuzz",
        description="Try inputs that nobody meant to write. One that finds something is kept in tools/fuzz/seeds: "
        "commit it with the fix, and every run begins with it.",
    )
    parser.add_argument("names", nargs="*", metavar="TARGET", help=f"which (default: all): {', '.join(TARGETS)}")
    parser.add_argument("--cases", type=int, help="how many inputs of each target (default: as many as it declares)")
    parser.add_argument("--seed", type=int, default=0, help="where the random numbers begin (default: 0)")
    parser.add_argument("--first", type=int, default=0, help="the number of the first input (default: 0)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
