"""Measure how long it takes from a dependency's death to the notification, and from its return to the resolved one.

A whole stack as `make up` starts it, with the configuration that ships. The times are those at which the receiver had
the notification on its disk, less the time of the kill and of the first connection after the return.
"""

import argparse
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from tools.stack.process import poll_until
from tools.testing.stack import DOWN, RunningStack

TARGET_SECONDS = 45
DEADLINE_SECONDS = 120
COMPONENTS = {"redis": "redis", "minio": "minio", "postgres": "postgresql"}


def main() -> int:
    """Print a line per run and a summary; return 1 where the slowest detection misses the target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=6, help="how often; the components take turns (default: 6)")
    runs = parser.parse_args().runs
    detected, resolved = [], []
    with tempfile.TemporaryDirectory(prefix="platform-detection-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        stack = RunningStack(Path(name) / "stack")
        try:
            stack.up()
            for run in range(runs):
                component = list(COMPONENTS)[run % len(COMPONENTS)]
                # The death falls anywhere between two scrapes.
                time.sleep(random.uniform(5, 10))
                seconds = _measure(stack, component)
                print(
                    f"{component:9} notified after {seconds[0]:5.1f} s, of its return after {seconds[1]:5.1f} s",
                    flush=True,
                )
                detected.append(seconds[0])
                resolved.append(seconds[1])
        finally:
            if stack.folder.exists():
                stack.run("clean")
    for what, numbers in (("killed -> webhook", detected), ("back -> resolved", resolved)):
        low, middle, high = min(numbers), statistics.median(numbers), max(numbers)
        print(f"{what:18} min {low:.1f} s, median {middle:.1f} s, max {high:.1f} s  (target {TARGET_SECONDS} s)")
    return 0 if max(detected) <= TARGET_SECONDS else 1


def _measure(stack: RunningStack, name: str) -> tuple[float, float]:
    """Return the seconds until the notification, and until the resolved one."""
    port, component = stack.state.ports[name], COMPONENTS[name]
    killed_at = time.time()
    stack.process(name).kill()
    notified_at = _notified_at(stack, "firing", killed_at, component)

    starter = threading.Thread(target=stack.up)
    starter.start()
    poll_until(lambda: _listens(port), DEADLINE_SECONDS, what=f"{name} to listen")
    back_at = time.time()
    starter.join()
    return notified_at - killed_at, _notified_at(stack, "resolved", back_at, component) - back_at


def _notified_at(stack: RunningStack, status: str, since: float, component: str) -> float:
    found = poll_until(
        lambda: stack.notified(DOWN, status, since, component=component),
        DEADLINE_SECONDS,
        interval_seconds=0.1,
        what=f"the notification that {component} is {status}",
    )
    assert found
    return found


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.TimeoutExpired as error:
        sys.exit(f"detection: {error}")
