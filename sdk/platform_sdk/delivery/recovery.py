"""Store what dead processes left in their spool folders, and set their ledgers right."""

import time

from platform_sdk.delivery import spool_file
from platform_sdk.delivery.ledger import Ledger
from platform_sdk.delivery.spool import Abandoned, Spool
from platform_sdk.delivery.spool_file import CorruptError, SpoolFile
from platform_sdk.delivery.store import EventStore, tell_poison
from platform_sdk.diagnostics import note


def adopt_one(spool: Spool, store: EventStore, known_app: str, until: float) -> int | None:
    """Store one folder of a dead process; return its events, None where there is no such folder.

    Ends soon after `until` (of `time.monotonic`), or with UnavailableError: what is left of the folder then stays for
    another time, and nothing of it is stored or counted twice.
    """
    for folder in spool.abandoned():
        try:
            return _adopt(folder, spool, store, known_app, until)
        finally:
            folder.close()
    return None


def _adopt(folder: Abandoned, spool: Spool, store: EventStore, known_app: str, until: float) -> int:
    ledger = folder.ledger()
    # Where the row in the database was newer, it knows already which of the files had been stored.
    written = ledger is not None and store.run(ledger.upsert_if_newer()) is not None
    owner = ledger or Ledger(known_app, f"unknown {folder.folder.name}", 0, 0, 0, {}, 0.0, 0.0)
    adopted = 0
    for file in folder.files():
        if time.monotonic() > until:
            return adopted
        adopted += _adopt_file(file, owner, spool, store, written)
    folder.remove()
    return adopted


def _adopt_file(file: SpoolFile, owner: Ledger, spool: Spool, store: EventStore, written: bool) -> int:
    try:
        batch = spool_file.read(file)
    except CorruptError as error:
        note("spool", error)
        store.run(owner.move(0, {"spool_corrupt": file.events}))
        spool.isolate(file)
        return 0
    delivery = store.deliver(batch, lambda _, events: owner.move(events, {}))
    tell_poison(delivery)
    again = delivery.again if written else 0
    if delivery.poison or again:
        store.run(owner.move(again, {"poison": delivery.poison} if delivery.poison else {}))
    file.path.unlink(missing_ok=True)
    return delivery.stored
