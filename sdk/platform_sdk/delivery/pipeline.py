"""What the writer does in a round: encode what came in, store it, spool what cannot be stored, replay the spool.

One thread at a time; the writer sees to that.
"""

import math
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from platform_sdk.delivery import kinds, spool_file
from platform_sdk.delivery.batch import Batch, batch_of
from platform_sdk.delivery.before_send import Hook
from platform_sdk.delivery.encoding import Encoder
from platform_sdk.delivery.intake import Event, Intake, value_of
from platform_sdk.delivery.ledger import Accounts, Ledger
from platform_sdk.delivery.recovery import OtherStore, adopt_one, enter_lost
from platform_sdk.delivery.sampling import HELD_SECONDS, Sampler
from platform_sdk.delivery.spool import BatchSpool, SpoolFullError
from platform_sdk.delivery.spool_file import CorruptError, SpoolFile
from platform_sdk.delivery.store import Delivery, EventStore, note_poison
from platform_sdk.diagnostics import note
from platform_sdk.errors import UnavailableError
from platform_sdk.options import Options

if TYPE_CHECKING:
    from platform_sdk.libpq import Deadline

FIRST_RETRY_SECONDS = 0.25
LEDGER_SECONDS = 5.0
REPORT_SECONDS = 60.0
"""How often an unchanged ledger is written, so that a process without events is known to run."""
ADOPT_SECONDS = 30.0
ROUND_SECONDS = 0.5
REPLAY_SECONDS = 0.5
URGENT_PENDING = 1.5
"""How much more than `pending_bytes` may be pending where what comes in are errors and finished jobs."""


class Pipeline:
    """The accounts, and all that is needed to move events through them."""

    def __init__(
        self, options: Options, intake: Intake, process: str, deadline: "Deadline", asking_until: "Deadline"
    ) -> None:
        """`deadline` is when all waiting for the store must end, `asking_until` that for the `before_send`."""
        self.options = options
        self.intake = intake
        self.process = process
        self.started_at = time.time()
        self.accounts = Accounts(Sampler(options.sample_above_per_second))
        self.store = EventStore(options, deadline)
        self.other_stores = [OtherStore(options, dsn, deadline) for dsn in options.other_dsns]
        self._deadline, self._asking_until = deadline, asking_until
        self.spool = BatchSpool(options)
        self._encoder = Encoder(options)
        self.before_send = Hook(options.before_send, self._encoder) if options.before_send else None
        self.retry_at = 0.0
        self._failures = 0
        self._ledger_at = self._reported_at = 0.0
        self._ledger_was: tuple[object, ...] = ()
        self._adopt_at = 0.0

    @property
    def looking_up(self) -> bool:
        """Whether the name of a server is being looked up, which has no deadline."""
        return self.store.looking_up or any(other.store.looking_up for other in self.other_stores)

    def round(self) -> None:
        """Do one round: of about a second, plus the store's timeouts where it has to wait for them."""
        end = time.monotonic() + ROUND_SECONDS
        while True:
            self.collect()
            if not self.deliver() or not self.intake.waiting or time.monotonic() > end:
                break
        self.spool_down_to(self.options.pending_bytes)
        if self.retry_at <= time.monotonic():
            self.catch_up()

    def collect(self, *, everything: bool = False) -> None:
        """Encode what waits, one batch; `everything` includes what sampling holds back and asks for no room."""
        intake, hand = self.intake, self.accounts.hand
        # Where there is no room the intake fills up, and decides by priority what to drop.
        full = not everything and self.accounts.pending_bytes > self.options.pending_bytes
        if full and self.accounts.pending_bytes > URGENT_PENDING * self.options.pending_bytes:
            return
        before, room = intake.waiting, self.options.batch_events - len(self.accounts.unasked)
        for lane in (intake.urgent,) if full else (intake.urgent, intake.other, intake.plain):
            intake.take(lane, hand, room - len(hand))
        intake.waiting_bytes = intake.waiting_bytes * intake.waiting // before if before > len(hand) else 0
        self._encode(None if everything else -math.inf if full else time.time() - HELD_SECONDS)

    def deliver(self) -> bool:
        """Store what is pending, unless it is too early for another try; return whether all of it is stored."""
        if self.accounts.pending and self.retry_at > time.monotonic():
            return False
        for batch in self.accounts.pending:
            if self._deadline() <= time.monotonic():  # of a flush: a slow `before_send` took it, not the database
                return False
            try:
                delivery = self.store.deliver(batch, lambda done, _: self.ledger(done).upsert())
            except UnavailableError as error:
                self._down(error)
                return False
            self.accounts = self.accounts.settled(batch, delivery.stored, poison=delivery.poison)
            note_poison(delivery)
            self._up()
        return True

    def spool_down_to(self, size: int, otherwise: str | None = None) -> None:
        """Write pending batches to disk, the oldest first, where they are more than `size` bytes.

        `otherwise` is the reason to drop what finds no room there; without one it stays pending.
        """
        if self.accounts.pending_bytes <= size:
            return
        target = size // 2
        for batch in self.accounts.pending:
            if self.accounts.pending_bytes <= target:
                break
            refused = self._spool(batch)
            if refused is not None and otherwise is not None:
                self.accounts = self.accounts.settled(batch, **{refused or otherwise: batch.events})
        self.save_ledger()

    def spool_all(self) -> None:
        """Write all there is to disk; what finds no room is dropped. At the end, where the database does not answer.

        May run in one thread while another is `looking_up` a name, which touches nothing of this then.
        """
        while True:
            self.collect(everything=True)
            if self.accounts.unasked:
                note("slow before_send", "the process ends: what before_send had no time for is dropped")
                self.accounts = self.accounts.hand_lost("shutdown")
            if not self.intake.waiting:
                break
        self.spool_down_to(0, otherwise="shutdown")

    def catch_up(self) -> None:
        """Replay the spool for a while, adopt another process's, and write the ledger if it is due."""
        end = time.monotonic() + REPLAY_SECONDS
        try:
            while self.accounts.files and time.monotonic() < end:
                self._replay(self.accounts.files[0])
            if time.monotonic() >= self._adopt_at and self.accounts.stored:
                self._adopt(end)
            if time.monotonic() - self._ledger_at > LEDGER_SECONDS:
                self.write_ledger()
        except UnavailableError as error:
            self._down(error)
        except OSError as error:
            note("spool", error)

    def write_ledger(self) -> None:
        """Bring this process's row up to date if anything changed or a report is due. Raises UnavailableError."""
        ledger = self.ledger(Delivery())
        figures = (ledger.produced, ledger.stored, ledger.spooled, ledger.dropped)
        due = time.monotonic() - self._reported_at > REPORT_SECONDS
        if ledger.produced and (due or figures != self._ledger_was):
            self.store.run(ledger.upsert())
            self._ledger_was, self._reported_at = figures, time.monotonic()
        self._ledger_at = time.monotonic()

    def end_ledger(self) -> None:
        """Tell that nothing more will come of this process: its row need not be kept. Raises UnavailableError."""
        if self._ledger_was:
            self.store.run(self.ledger(Delivery()).end())

    def end_asking(self) -> None:
        """End the thread of the application's `before_send`."""
        if self.before_send is not None:
            self.before_send.end()

    def save_ledger(self, *, always: bool = False) -> bool:
        """Write the ledger beside the spooled batches, even if there are none if `always`, for a later process."""
        if self.spool.folder is not None or (always and self.spool.enabled):
            try:
                self.spool.save(self.ledger(Delivery()))
                return True
            except OSError as error:
                note("spool", error)
        return False

    def ledger(self, done: Delivery, replaying: int = 0) -> Ledger:
        """Return the ledger as it is once `done` is committed; `replaying` events of it come from the spool."""
        accounts, dropped = self.accounts, self.dropped()
        if done.poison:
            dropped["poison"] = dropped.get("poison", 0) + done.poison
        return Ledger(
            self.options.app, self.process, value_of(self.intake.produced), accounts.stored + done.stored,
            accounts.spooled - replaying, dropped, self.started_at, time.time(),
        )  # fmt: skip

    def dropped(self) -> dict[str, int]:
        """Return the events dropped by reason, of those reasons that occurred."""
        dropped = dict(self.accounts.dropped)
        for reason, counter in (("overflow", self.intake.overflow), ("internal", self.intake.internal)):
            events = dropped.get(reason, 0) + value_of(counter)
            if events:
                dropped[reason] = events
        return dropped

    def _encode(self, held_before: float | None) -> None:
        sampler = self.accounts.sampler.copy()
        rows: dict[int, list[str]] = {}
        events: dict[int, int] = {}
        unwritable = unwanted = 0
        chosen = [*self.accounts.unasked, *sampler.chosen(self.accounts.hand)]
        chosen += sampler.release(held_before)
        row_of: Callable[[Event, int], str | None] = self._encoder.row
        asked = len(chosen)
        if (hook := self.before_send) is not None:
            row_of, asked = hook.row, hook.ask([event for event, _ in chosen], self._asking_until)
        for event, weight in chosen[:asked]:
            try:
                row = row_of(event, weight)
            except Exception as error:  # noqa: BLE001 - arguments of odd make; the event is counted
                unwritable += weight
                text = self._encoder.unfit(event) or f"{type(error).__name__}: {error}"
                note("serialization", f"{kinds.name_of(event)}: {text}")
                continue
            if row is None:
                unwanted += weight
                continue
            kind = event[kinds.KIND]
            rows.setdefault(kind, []).append(row)
            events[kind] = events.get(kind, 0) + weight
        self._encode_jobs(rows)
        batch = batch_of(rows, events) if rows else None
        self.accounts = self.accounts.encoded(
            batch, sampler, chosen[asked:], serialization=unwritable, before_send=unwanted
        )

    def _encode_jobs(self, rows: dict[int, list[str]]) -> None:
        jobs = self.intake.jobs
        for job_id in list(jobs):
            try:
                rows.setdefault(kinds.JOB, []).append(self._encoder.job_row(job_id, jobs.pop(job_id)))
            except Exception as error:  # noqa: BLE001 - arguments of odd make
                note("job", error)
        if not rows.get(kinds.JOB, True):
            del rows[kinds.JOB]

    def _spool(self, batch: Batch) -> str | None:
        """Write a batch to disk; return why not, "" where there is no disk to be had."""
        if not self.spool.enabled:
            return ""
        try:
            file = self.spool.write(batch, sum(file.size for file in self.accounts.files))
        except (OSError, SpoolFullError) as error:
            note("spool", error)
            return "spool_full" if isinstance(error, SpoolFullError) else ""
        self.accounts = self.accounts.spooled_as(batch, file)
        return None

    def _replay(self, file: SpoolFile) -> None:
        try:
            batch = spool_file.read(file)
        except CorruptError as error:
            note("spool", error)
            self.accounts = self.accounts.settled(file, spool_corrupt=file.events)
            self.spool.isolate(file)
        else:
            delivery = self.store.deliver(batch, lambda done, _: self.ledger(done, file.events).upsert())
            self.accounts = self.accounts.settled(file, delivery.stored, poison=delivery.poison)
            note_poison(delivery)
            file.path.unlink(missing_ok=True)
        self.save_ledger()

    def _adopt(self, until: float) -> None:
        """Adopt one folder, or a part of it; where there was one, there may be another."""
        adopted = adopt_one(self.spool, self.store, self.options.app, until)
        if adopted is None:
            enter_lost(self.spool, self.store, self.options)
            found = [count for other in self.other_stores if (count := other.adopt_one(until)) is not None]
            adopted = sum(found) if found else None
        if adopted is None:
            self._adopt_at = time.monotonic() + ADOPT_SECONDS
        else:
            self.accounts = replace(self.accounts, adopted=self.accounts.adopted + adopted)

    def _up(self) -> None:
        self.retry_at, self._failures = 0.0, 0

    def _down(self, error: UnavailableError) -> None:
        """Wait before the next try: twice as long each time, less a random bit, so that processes return one by one."""
        pause = min(FIRST_RETRY_SECONDS * 2**self._failures, self.options.retry_seconds)
        self._failures = min(self._failures + 1, 16)
        self.retry_at = time.monotonic() + pause * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        note("database", f"events wait: {error}")
