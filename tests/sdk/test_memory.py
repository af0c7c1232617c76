"""Memory stays bounded while the database is down."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]

CODE = """
import dataclasses, json, sys, time
import psutil
import platform_sdk
from platform_sdk import client, emit
import psycopg.pq  # what the writer loads at its first batch is not what this measures
platform_sdk.init(dsn="postgresql://127.0.0.1:1/x", app="shop", spool_folder=sys.argv[1], flush_interval_seconds=0.05,
         sample_above_per_second=None)
emit.request_finished("/", "GET", 200, 0.1)
platform_sdk.flush(0.2)
memory = psutil.Process().memory_info
idle, most = memory().rss, 0
for second in range(600):
    for number in range(1000):
        if number % 50 == 0:
            emit.error_message(f"it broke {number}", context={"number": number, "text": "x" * 200})
        else:
            emit.request_finished(f"/articles/{number % 40}", "GET", 200, 0.1, number, f"user {number}", "reader",
                                  f"session {second}-{number}", f"10.0.{number % 250}.9", f"Mozilla/5.0 {number % 30}")
    while client.current.waiting > 3000:
        time.sleep(0.002)
    most = max(most, memory().rss)
stats = platform_sdk.stats()
print(json.dumps({"growth": most - idle, **dataclasses.asdict(stats)}))
"""


def test_ten_minutes_of_a_database_down_cost_less_than_40_mb(tmp_path: Path) -> None:
    """600,000 events, as of ten minutes at 1,000 a second: spooled, or dropped where that is full; all counted."""
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CODE), str(tmp_path / "spool")],
        cwd=ROOT, capture_output=True, text=True, timeout=1200, check=True,
    )  # fmt: skip
    stats = json.loads(process.stdout)

    assert stats["growth"] < 40 * 2**20
    assert stats["produced"] == 600_001
    assert stats["spooled"] > 100_000
    assert stats["produced"] == stats["spooled"] + stats["buffered"] + sum(stats["dropped"].values())
