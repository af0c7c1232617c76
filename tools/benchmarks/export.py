"""Measure `platform-exporter export`: the memory of its process and its speed, with ten thousand rows and a million.

Both sizes run in one go; the ratio says whether memory grows with the rows.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from exporter.database import schema
from exporter.history.formats import FORMATS
from tools.stack.servers import Postgres
from tools.testing.databases import Database, fresh_database

TARGET_MEGABYTES = 60


def main() -> int:
    """Print a line per format; return 1 where CSV or JSON need more than the target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    worst = 0.0
    with tempfile.TemporaryDirectory(prefix="platform-export-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        with Postgres(folder / "postgres", durable=False) as postgres, fresh_database(postgres) as database:
            fill(database, rows)
            config = folder / "platform-exporter.yml"
            config.write_text(f"database: {{dsn: '{database.dsn}'}}\n")
            print(f"{'format':<8} {'rows':>9} {'seconds':>8} {'rows/s':>9} {'peak memory':>12} {'file':>9}")
            for form in FORMATS:
                small, large = (measure(config, form, folder / f"out.{form}", count) for count in (rows // 100, rows))
                print(f"{form:<8} memory of {rows:,} rows against {rows // 100:,}: ratio {large / small:.2f}")
                worst = max(worst, large if form != "parquet" else 0.0)
    print(f"most of CSV and JSON: {worst:.0f} MB (target {TARGET_MEGABYTES} MB); pyarrow adds some 40")
    return 0 if worst <= TARGET_MEGABYTES else 1


def fill(database: Database, rows: int) -> None:
    """Store requests, 10 ms apart, ending now."""
    with database.connect() as connection:
        schema.apply(connection)
    database.execute(
        "INSERT INTO monitoring.http_request (at, app, route, method, status, duration_seconds, response_bytes, "
        "user_id, role, session_id) SELECT now() - i * interval '10 ms', 'shop', '/route/' || i %% 50, 'GET', 200, "
        "random(), 1000 + i %% 7, 'user' || i %% 1000, 'member', md5((i %% 5000)::text) FROM generate_series(1, %s) i",
        [rows],
    )


def measure(config: Path, form: str, output: Path, rows: int) -> float:
    """Export the newest rows, print a line, and return the peak memory of the process in MB (ru_maxrss)."""
    argv = [sys.executable, "-m", "exporter", "export", "http_request", "--config", str(config)]
    argv += ["--since", f"{rows // 100}s" if rows < 360_000 else "30d", "--format", form, "-o", str(output)]
    began = time.monotonic()
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - began
    if process.returncode:
        sys.exit(f"export failed: {said}")
    count = int(said.split()[0])
    megabytes = usage.ru_maxrss / 1024
    size = output.stat().st_size / 1e6
    print(f"{form:<8} {count:>9,} {seconds:>8.1f} {count / seconds:>9,.0f} {megabytes:>9.1f} MB {size:>6.1f} MB")
    return megabytes


if __name__ == "__main__":
    sys.exit(main())
