"""Store what dead processes left in their spool folders, and correct their ledgers."""

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from platform_sdk.delivery import spool_file, tally
from platform_sdk.delivery.ledger import Ledger
from platform_sdk.delivery.spool import AbandonedSpool, BatchSpool
from platform_sdk.delivery.spool_file import CorruptError, NewerError, SpoolFile
from platform_sdk.delivery.store import EventStore, note_poison
from platform_sdk.diagnostics import note
from platform_sdk.errors import UnavailableError
from platform_sdk.options import Options

if TYPE_CHECKING:
    from platform_sdk.libpq import Deadline

STATEMENTS = 2
"""How many statements may yet run for a process that has died."""

OTHER_CONNECT_SECONDS = 1.0
"""How long another store may take to answer: events of this process wait meanwhile."""


class OtherStore:
    """A store of the list that this process does not write to: dead processes may have left events for it here.

    These go there and nowhere else: it may hold them already, where a connection broke while they were stored.
    """

    def __init__(self, options: Options, dsn: str, deadline: "Deadline") -> None:
        seconds = min(options.connect_timeout_seconds, OTHER_CONNECT_SECONDS)
        others = tuple(one for one in (options.dsn, *options.other_dsns) if one != dsn)
        self._options = replace(options, dsn=dsn, other_dsns=others, connect_timeout_seconds=seconds)
        self.store = EventStore(self._options, deadline)
        self._spool = BatchSpool(self._options)

    def adopt_one(self, until: float) -> int | None:
        """Do as `adopt_one`, and enter what was lost where there is no folder any more. Never raises."""
        adopted = None
        try:
            adopted = adopt_one(self._spool, self.store, self._options.app, until)
            if adopted is None:
                enter_lost(self._spool, self.store, self._options)
        except (UnavailableError, OSError) as error:
            note("another store", f"what dead processes left for it waits: {error}")
        if adopted is None:
            self.store.close()
        return adopted


def enter_lost(spool: BatchSpool, store: EventStore, options: Options) -> None:
    """Enter into their ledgers what dead processes have lost. Raises UnavailableError.

    Only of those that have been dead for longer than a statement may take: one that was on its way to the server may
    yet be committed. And not while a spool folder of theirs waits to be adopted.
    """
    settled_seconds = STATEMENTS * options.statement_timeout_seconds
    for dead in tally.of_dead_processes(options, spool.name):
        if spool.holds(dead.spool) or (dead.produced and dead.dead_seconds() < settled_seconds):
            continue
        if dead.produced:
            store.run(Ledger(dead.app, dead.process, dead.produced, 0, 0, {}, dead.started_at, 0.0).lose())
        dead.remove()


def adopt_one(spool: BatchSpool, store: EventStore, known_app: str, until: float) -> int | None:
    """Store one folder of a dead process; return the number of its events, None if there is no such folder.

    What a newer version left is not touched: a process of that version stores it. Ends soon after `until` (of
    `time.monotonic`), or with UnavailableError: the rest of the folder is then left for another time, and nothing is
    stored or counted twice.
    """
    for folder in spool.abandoned():
        try:
            adopted = _adopt(folder, spool, store, known_app, until)
        finally:
            folder.close()
        if adopted is not None:
            return adopted
    return None


def _adopt(folder: AbandonedSpool, spool: BatchSpool, store: EventStore, known_app: str, until: float) -> int | None:
    """Return how many of a folder's events were stored, None where a newer version's are all that is left of it."""
    ledger = folder.ledger()
    # If the row in the database is newer, it already counts the files that were stored.
    written = ledger is not None and store.run(ledger.upsert_if_newer()) is not None
    owner = ledger or Ledger(known_app, f"unknown {folder.folder.name}", 0, 0, 0, {}, 0.0, 0.0)
    adopted = 0
    for file in folder.files():
        if time.monotonic() > until:
            return adopted
        try:
            adopted += _adopt_file(file, owner, spool, store, written)
        except NewerError as error:
            note("spool of a newer version", f"{error}; {file.events} events wait for a process of that version")
            return adopted or None
    folder.remove()
    return adopted


def _adopt_file(file: SpoolFile, owner: Ledger, spool: BatchSpool, store: EventStore, written: bool) -> int:
    try:
        batch = spool_file.read(file)
    except NewerError:
        raise
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
