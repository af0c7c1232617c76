"""The short form of `make chaos`."""

from pathlib import Path

import pytest

from tools.chaos import faults
from tools.chaos.__main__ import account
from tools.chaos.testbed import Platform


def test_nothing_is_lost_or_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An exporter that is killed, a full disk, a network that is cut, a wrong clock, a crash and a failover."""
    monkeypatch.setattr(faults, "FAULT_SECONDS", 0.5)
    with Platform(tmp_path, events_per_second=100) as bed:
        for fault in (
            faults.exporter_killed, faults.disk_full, faults.clock_wrong, faults.database_killed,
            faults.database_failed_over,
        ):  # fmt: skip
            fault(bed)
        differ = account(bed)

    assert not differ, capsys.readouterr().out
