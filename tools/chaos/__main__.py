"""The command `python -m tools.chaos`: faults one after the other; then what was lost, doubled, slow, and what grew."""

import argparse
import contextlib
import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tools.chaos.faults import FAULT_SECONDS, FAULTS, exporter_killed
from tools.chaos.testbed import Platform
from tools.stack.errors import StackError
from tools.stack.process import poll_until

Samples = list[tuple[float, dict[str, float]]]


def main() -> int:
    """Run; return the exit status: 0 nothing lost or doubled, 1 something, 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m tools.chaos", description="Break everything below a platform.")
    parser.add_argument("--minutes", type=float, help="how long (default: every fault once)")
    parser.add_argument("--every", type=float, default=10.0, help="seconds from a fault to the next (default: 10)")
    parser.add_argument("--rate", type=float, default=300.0, help="events a second (default: 300)")
    options = parser.parse_args()
    seconds = options.minutes * 60 if options.minutes else len(FAULTS) * (FAULT_SECONDS + options.every)
    with (
        tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder,
        Platform(Path(folder), options.rate) as bed,
        _scraping(bed) as scrapes,
    ):
        samples = _break(bed, seconds, options.every)
        wrong = account(bed)
        print(f"scrapes: {len(scrapes):,} answered, slowest {max(scrapes, default=0.0):.2f} s")
    _slopes(samples)
    return 1 if wrong else 0


def _break(bed: Platform, seconds: float, every: float) -> Samples:
    """Break one thing after the other for so long; return samples taken while all was whole.

    The exporter is killed in the first round only: what grows in it would otherwise begin again with each.
    """
    began, samples = time.monotonic(), []
    faults = itertools.chain(FAULTS, itertools.cycle(fault for fault in FAULTS if fault is not exporter_killed))
    while time.monotonic() - began < seconds:
        time.sleep(every)
        samples.append((time.monotonic() - began, bed.sample()))
        fault = next(faults)
        print(f"{time.monotonic() - began:6.0f} s  {(fault.__doc__ or '').splitlines()[0]}", flush=True)
        fault(bed)
    return samples


def account(bed: Platform) -> bool:
    """Hold what was emitted against what is stored and counted; return whether they differ."""
    said = bed.end_writer()
    kept = said["emitted"] - said["dropped"]
    with contextlib.suppress(StackError):  # what is missing after this is lost
        poll_until(lambda: bed.stored() + said["spooled"] == kept == bed.counted() + bed.rejected() + said["spooled"])
    rejected = bed.rejected()
    stored, counted = bed.stored() + said["spooled"], bed.counted() + rejected + said["spooled"]
    print(f"emitted {said['emitted']:,}, dropped and accounted for {said['dropped']:,}, spooled {said['spooled']:,}")
    print(f"rejected, of a clock ahead: {rejected:,}")
    print(f"stored: lost {max(0, kept - stored)}, doubled {max(0, stored - kept)}")
    print(f"counted: lost {max(0, stored - counted)}, doubled {max(0, counted - stored)}")
    print(f"ledger: {kept - stored} differ")
    return kept != stored or stored != counted


@contextlib.contextmanager
def _scraping(bed: Platform) -> Iterator[list[float]]:
    """Scrape twice a second until the block ends; the list has how long each answered scrape took."""
    taken: list[float] = []
    stopping = threading.Event()

    def scrape() -> None:
        while not stopping.wait(0.5):
            seconds = bed.scrape_seconds()
            if seconds is not None:
                taken.append(seconds)

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield taken
    finally:
        stopping.set()
        thread.join()


def _slopes(samples: Samples) -> None:
    """Print what may grow: what it was at first and in the end, and its slope, from the middle on."""
    half = samples[len(samples) // 2 :]
    for name in samples[0][1]:
        times, values = [at for at, _ in half], [found[name] for _, found in half]
        mean_time, mean = sum(times) / len(times), sum(values) / len(values)
        spread = sum((at - mean_time) ** 2 for at in times)
        rise = sum((at - mean_time) * (value - mean) for at, value in zip(times, values, strict=True))
        slope = f"{3600 * rise / spread:+.1f} an hour" if spread else "too short for a slope"
        print(f"{name}: {samples[0][1][name]:.0f} at first, {values[-1]:.0f} in the end, {slope}")


if __name__ == "__main__":
    sys.exit(main())
