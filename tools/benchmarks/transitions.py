"""Count rows that change while exporters die: python -m tools.benchmarks.transitions [--seconds N] [SETTING ...]

Eight writers insert, update through three states, upsert, copy, delete and truncate, with rollbacks and savepoints;
two `platform-exporter serve` are killed with SIGKILL, one a second. Then every counter is held against what the writers
committed, label by label: when inserted, once when ended, at every change, when deleted.

SETTING is one or more of these kinds of database, without any all of them:

    utf8, latin1, sql_ascii, turkish (ICU's tr-TR), german (DateStyle)

Exit status 1 where one row is lost or counted twice.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.stack.servers import Postgres
from tools.testing import transitions


@contextmanager
def server() -> Iterator[Postgres]:
    """Run a PostgreSQL of our own."""
    with tempfile.TemporaryDirectory(prefix="platform-benchmark-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        with Postgres(Path(name), durable=False) as postgres:
            yield postgres
            postgres.destroy()


def measure(server: Postgres, name: str, seconds: float) -> bool:
    """Run one setting, print it, and return whether every row was counted once."""
    with tempfile.TemporaryDirectory() as folder:
        outcome = transitions.count_under_kills(server, name, name, Path(folder), seconds)
    done = ", ".join(f"{count:,} {what}" for what, count in outcome.transactions.items())
    print(f"{name}: {outcome.ledger.total():,} rows and changes (transactions: {done}), {outcome.kills} kills -9")
    for stream, (lost, doubled) in outcome.found.items():
        rows = sum(count for (which, _), count in outcome.ledger.items() if which == stream)
        print(f"  {stream:8} {rows:>8,} rows, {lost} lost, {doubled} doubled", flush=True)
    return outcome.exact


def main() -> int:
    """Run the settings named, all if none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="*", metavar="SETTING")
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    if unknown := set(options.settings) - set(transitions.SETTINGS):
        parser.error(f"unknown setting {min(unknown)!r}: expected one of {', '.join(transitions.SETTINGS)}")
    with server() as postgres:
        print(f"PostgreSQL {postgres.version}, {options.seconds:.0f} s each", flush=True)
        good = [measure(postgres, name, options.seconds) for name in options.settings or transitions.SETTINGS]
    return int(not all(good))


if __name__ == "__main__":
    sys.exit(main())
