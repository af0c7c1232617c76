"""Store what dead processes left in their spool folders, and correct their ledgers."""

import time

from platform_sdk.delivery import spool_file
from platform_sdk.delivery.ledger import Ledger
from platform_sdk.delivery.spool import AbandonedSpool, BatchSpool
from platform_sdk.delivery.spool_file import CorruptError, SpoolFile
from platform_sdk.delivery.store import EventStore, note_poison
from platform_sdk.diagnostics import note


def adopt_one(spool: BatchSpool, store: EventStore, known_app: str, until: float) -> int | None:
    """Store one folder of a dead process; return the number of its events, None if there is no such folder.

    Ends soon after `until` (of `time.monotonic`), or with UnavailableError: the rest of the folder is then left for
    another time, and nothing is stored or counted twice.
    """
    for folder in spool.abandoned():
        try:
            return _adopt(folder, spool, store, known_app, until)
        finally:
            folder.close()
    return None


def _adopt(folder: AbandonedSpool, spool: BatchSpool, store: EventStore, known_app: str, until: float) -> int:
    ledger = folder.ledger()
    # If the row in the database is newer, it already counts the files that were stored.
    written = ledger is not None and store.run(ledger.upsert_if_newer()) is not None
    owner = ledger or Ledger(known_app, f"unknown {folder.folder.name}", 0, 0, 0, {}, 0.0, 0.0)
    adopted = 0
    for file in folder.files():
        if time.monotonic() > until:
            return adopted
        adopted += _adopt_file(file, owner, spool, store, written)
    folder.remove()
    return adopted


def _adopt_file(file: SpoolFile, owner: Ledger, spool: BatchSpool, store: EventStore, written: bool) -> int:
    try:
        batch = spool_file.read(file)
    except CorruptError as error:
        note("spool", error)
        store.run(owner.move(0, {"spool_corrupt": file.events}))
        spool.isolate(file)
        return 0
    delivery = store.deliver(batch, lambda _, events: owner.move(events, {}))
    note_poison(delivery)
    again = delivery.again if written else 0
    if delivery.poison or again:
        store.run(owner.move(again, {"poison": delivery.poison} if delivery.poison else {}))
    file.path.unlink(missing_ok=True)
    return delivery.stored
