"""The faults, one a function: each breaks something of the testbed and mends it, and returns when it is mended."""

import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tools.chaos.testbed import Platform

FAULT_SECONDS = 5.0
"""How long each lasts."""


def exporter_killed(bed: "Platform") -> None:
    """Kill the exporter, whatever it does, and start another."""
    bed.exporter.kill()
    time.sleep(FAULT_SECONDS)
    bed.start_exporter()


def exporter_frozen(bed: "Platform") -> None:
    """Stop the exporter for a while, as a machine that swaps or is moved."""
    bed.exporter.freeze()
    time.sleep(FAULT_SECONDS)
    bed.exporter.thaw()


def writer_frozen(bed: "Platform") -> None:
    """Stop the application for a while, in the middle of whatever it sends."""
    bed.freeze_writer(FAULT_SECONDS)


def network_blackholed(bed: "Platform") -> None:
    """Let no packet through, neither of the application nor of the exporter."""
    bed.cable.blackhole()
    time.sleep(FAULT_SECONDS)
    bed.cable.restore()


def network_cut(bed: "Platform") -> None:
    """Reset every connection, new ones as well."""
    bed.cable.cut()
    time.sleep(FAULT_SECONDS)
    bed.cable.restore()


def disk_full(bed: "Platform") -> None:
    """Let the application and the exporter write no file, as on a full disk, while the network is cut."""
    with bed.full_disk():
        network_cut(bed)


def database_frozen(bed: "Platform") -> None:
    """Stop PostgreSQL for a while, with its connections open."""
    bed.postgres.process.freeze()
    time.sleep(FAULT_SECONDS)
    bed.postgres.process.thaw()


def database_killed(bed: "Platform") -> None:
    """Kill PostgreSQL and have it recover from its log, as at a crash or a failover to its own disk."""
    bed.postgres.process.kill()
    time.sleep(FAULT_SECONDS)
    bed.postgres.start()


def database_failed_over(bed: "Platform") -> None:
    """Kill PostgreSQL for good; its synchronous standby takes over."""
    standby = bed.start_standby()
    bed.postgres.process.kill()
    time.sleep(FAULT_SECONDS)
    bed.promote(standby)


def clock_wrong(bed: "Platform") -> None:
    """Put the application's clock an hour ahead, then an hour behind, then right."""
    for turns in ((signal.SIGUSR1,), (signal.SIGUSR2, signal.SIGUSR2), (signal.SIGUSR1,)):
        for turn in turns:
            bed.signal_writer(turn)
            time.sleep(FAULT_SECONDS / 3)


FAULTS: tuple[Callable[["Platform"], None], ...] = (
    exporter_killed, network_blackholed, database_killed, writer_frozen, network_cut, exporter_frozen,
    disk_full, database_frozen, clock_wrong, database_failed_over,
)  # fmt: skip
