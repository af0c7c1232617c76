"""Measure what the dashboards' SQL takes on a full event store.

    python -m tools.benchmarks.grafana_sql [--rows N] [--state DIR]

10 million rows, spread over the retention of their kinds, and every query of panels and variables at the default range
of 6 hours and at 7 days, as the role of its data source; the best of three, as a page that refreshes every 30 s finds
its data cached. Loading takes five minutes: with --state the server's data stay in that folder and the next run begins
at once. Exit status 1 where a query takes longer than it may.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from tools.stack.servers import Postgres
from tools.testing import event_rows
from tools.testing.dashboard_sql import DASHBOARDS, Viewer, targets

ROWS = 10_000_000
BOUNDS_SECONDS = {6 * 3600: 0.2, 7 * 86400: 1.0}
"""What a query may take, by range."""
REPEATS = 3


def main() -> int:
    """Load, ask everything, print a line a query and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="rows of all kinds together (default: %(default)s)")
    parser.add_argument("--state", type=Path, help="keep the server's data in this folder, and take what is there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="platform-grafana-", ignore_cleanup_errors=True) as name:
        folder = options.state or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)
        server = Postgres(folder / "postgres", durable=False, settings={"shared_buffers": "512MB"})
        server.start()
        try:
            slow = _slow(server.dsn_of("postgres"), options.rows)
        finally:
            server.stop() if options.state else server.destroy()
    print(f"{len(slow)} take longer than they may")
    print(*slow, sep="\n")
    return 1 if slow else 0


def _slow(dsn: str, rows: int) -> list[str]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        if not _exists(connection, "monitoring.audit"):
            started = time.monotonic()
            event_rows.load(connection, rows)
            connection.execute("VACUUM (ANALYZE)")
            print(f"{rows} rows loaded in {time.monotonic() - started:.0f} s")
        # Where they were loaded earlier, the viewer looks at that time.
        row = connection.execute("SELECT extract(epoch FROM max(at)) FROM monitoring.http_request").fetchone()
    assert row
    slow = []
    for span, bound in BOUNDS_SECONDS.items():
        print(f"range of {span / 3600:.0f} h, at most {bound * 1000:.0f} ms each")
        slow += [line for line, seconds in _measured(Viewer(dsn, float(row[0]), span)) if seconds > bound]
    return slow


def _exists(connection: psycopg.Connection[Any], table: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [table]).fetchone()
    return bool(row and row[0])


def _measured(viewer: Viewer) -> list[tuple[str, float]]:
    found = []
    for name, board in DASHBOARDS.items():
        chosen = viewer.chosen(name)
        asked = [(panel["title"], target["datasource"]["uid"], target["rawSql"]) for panel, target in targets(name)]
        asked += [
            (f"variable {one['name']}", one["datasource"]["uid"], one["query"])
            for one in board["templating"]["list"]
            if "postgresql" in one.get("datasource", {}).get("type", "")
        ]
        for title, uid, text in asked:
            seconds = min(viewer.ask(uid, text, chosen).seconds for _ in range(REPEATS))
            found.append((f"{name}: {title}", seconds))
            print(f"{seconds * 1000:8.1f} ms  {name}: {title}", flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
