"""An application of the SDK that emits at an even rate until SIGTERM, and then prints what became of its events.

SIGUSR1 puts its clock an hour ahead, SIGUSR2 an hour back.
"""

import json
import signal
import sys
import threading
import time

_CLOCK = time.time
_ahead_seconds = 0.0
time.time = lambda: _CLOCK() + _ahead_seconds  # before the SDK takes it

import platform_sdk  # noqa: E402


def main(dsn: str, app: str, per_second: float, spool: str) -> None:
    """Emit calls of APIs with 20 names. Blocks."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    signal.signal(signal.SIGUSR1, lambda *_: _turn_clock(3600))
    signal.signal(signal.SIGUSR2, lambda *_: _turn_clock(-3600))
    platform_sdk.init(dsn, app=app, spool_folder=spool, sample_above_per_second=1e9)
    began, emitted = time.monotonic(), 0
    while not stopping.wait(0.05):
        for _ in range(emitted, int((time.monotonic() - began) * per_second)):
            platform_sdk.log_api_usage(f"api{emitted % 20}", duration_seconds=0.1, status=200)
            emitted += 1
    platform_sdk.close()
    ledger = platform_sdk.stats()
    print(json.dumps({"emitted": emitted, "dropped": ledger.lost, "spooled": ledger.spooled}), flush=True)


def _turn_clock(seconds: float) -> None:
    global _ahead_seconds
    _ahead_seconds += seconds


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4])
