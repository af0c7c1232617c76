"""One checkout's side of `counting_against`: polls a store of its own whenever a line asks for it."""

import json
import sys
from pathlib import Path

from exporter.aggregation import poll
from exporter.config.settings import Database, Limits, Source
from exporter.database import schema
from exporter.database.connection import connect
from exporter.sections import Secret
from exporter.sources import mapping


def main(dsn: str) -> None:
    """Answer each line, a stream's name, with the rows that a poll of it saw and the seconds of a core it took."""
    plan = mapping.plan(Source(preset="native"))
    streams = {stream.name: stream for stream in plan.streams}
    with connect(Database(dsn=Secret(dsn)), "benchmark") as connection:
        schema.apply(connection)
        poll.register(connection, plan.name)
        print(json.dumps({"file": poll.__file__}), flush=True)
        for line in sys.stdin:
            schedule = Path(f"/proc/{connection.info.backend_pid}/schedstat")
            before = int(schedule.read_text().split()[0])
            counted = poll.poll(connection, streams[line.strip()], Limits())
            core_ns = int(schedule.read_text().split()[0]) - before
            print(json.dumps({"seen": counted.seen, "core_seconds": core_ns / 1e9}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
