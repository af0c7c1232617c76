"""Deliveries on disk: whole, in order, bounded, and none lost."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from exporter.alerts.spool import KEPT_REFUSED, NotificationSpool
from exporter.errors import SpoolError
from tests.alerts.notifying import alert, delivery


def test_deliveries_come_out_as_they_went_in(tmp_path: Path) -> None:
    """In order, times and all, for another process too."""
    deliveries = [delivery(alert(number)) for number in range(5)]
    for one in deliveries:
        NotificationSpool(tmp_path / "a/b", 1_000_000).add(one)
    spool = NotificationSpool(tmp_path / "a/b", 1_000_000)
    found = list(spool.deliveries())
    for file, _ in found:
        spool.remove(file)

    assert [one for _, one in found] == deliveries
    assert spool.waiting() == []
    assert (tmp_path / "a/b").stat().st_mode & 0o777 == 0o700


def test_it_is_bounded(tmp_path: Path) -> None:
    """Past the limit a delivery is refused, so that Alertmanager keeps it; freed room is used."""
    spool = NotificationSpool(tmp_path, 2000)
    with pytest.raises(SpoolError, match=r"`alerts.spool_limit_bytes`, 2000, are used up in /"):
        fill(spool)

    assert 1 < len(spool.waiting()) < 5
    assert sum(file.stat().st_size for file in spool.waiting()) <= 2000
    spool.remove(spool.waiting()[0])
    spool.add(delivery(alert(0)))


def fill(spool: NotificationSpool) -> None:
    while True:
        spool.add(delivery(alert(0)))


def test_replicas_share_a_folder(tmp_path: Path) -> None:
    """What one of them has stored and removed disturbs no other one that adds or starts."""
    adding, storing = NotificationSpool(tmp_path, 1_000_000), NotificationSpool(tmp_path, 1_000_000)
    with ThreadPoolExecutor(2) as replicas:
        added = replicas.submit(lambda: [adding.add(delivery(alert(number))) for number in range(200)])
        removed = 0
        while removed < 200:
            for file, _ in storing.deliveries():
                storing.remove(file)
                removed += 1
            if added.done():
                added.result()
            NotificationSpool(tmp_path, 1_000_000)

    assert storing.waiting() == []


def test_half_a_file_holds_up_nothing(tmp_path: Path) -> None:
    """An invalid file is set aside, and only the last ones of these are kept."""
    spool = NotificationSpool(tmp_path, 1_000_000)
    for number in range(KEPT_REFUSED + 5):
        (tmp_path / f"0000{number:04d}.post").write_bytes(b'{"id": "')
    spool.add(delivery(alert(0)))

    assert len(list(spool.deliveries())) == 1
    assert len(list(tmp_path.glob("*.refused"))) == KEPT_REFUSED


@pytest.mark.parametrize(("minutes", "kept"), [(10, True), (120, False)])
def test_a_replica_that_starts_leaves_what_another_may_be_writing(tmp_path: Path, minutes: int, kept: bool) -> None:
    """The server of a shared folder has a clock of its own; only what is hours old was given up."""
    unfinished = tmp_path / "1.post.new"
    unfinished.write_bytes(b"{")
    then = time.time() - 60 * minutes
    os.utime(unfinished, (then, then))
    NotificationSpool(tmp_path, 1_000_000)

    assert unfinished.exists() is kept


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    """At the start, with the key, the path and what is expected."""
    (tmp_path / "file").write_text("")

    with pytest.raises(SpoolError, match=r"`alerts.spool_folder` is '.*/file/x': Not a directory; expected"):
        NotificationSpool(tmp_path / "file/x", 1000)
