"""The queues that the Redis probe watches: lists, sets and sorted sets, streams and their consumer groups."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exporter.probes.base import Degradation, Driver, Gauge, GaugeFamily
from exporter.probes.redis_servers import Command, Servers

if TYPE_CHECKING:
    import redis
else:
    redis = Driver("redis")

STREAM = "XLEN"
LENGTHS = ("LLEN", STREAM, "ZCARD", "HLEN", "SCARD")
"""The commands that return a key's length, by its type: Celery and RQ keep lists, arq a sorted set, others streams."""

PRIORITIES = tuple(f"\x06\x16{step}" for step in (3, 6, 9))
"""What kombu adds to a list's name for messages of a priority, by its default `priority_steps`: one queue's, too."""

GROUPS_MOST = 20
"""How many consumer groups of a stream are shown by name, the first of the alphabet; the others are one, `_other_`."""

OTHER_GROUPS = "_other_"

GROUP_CHARACTERS = 100
"""How much of a group's name is shown: groups whose names begin alike are one, `_other_`, but for the first."""

EARLIEST_ENTRY = 1_000_000_000.0
"""Ids of streams before this, in Unix seconds (September 2001), were chosen by clients and are not times."""

PUBLISHED = "platform_published_at"
"""The header in which the SDK's hook of Celery says when a message was published (`platform_sdk.jobs.celery`)."""

LONGEST_ENTRY_BYTES = 65_536

QUEUE_FAMILIES = (
    GaugeFamily(
        "queue_length",
        "Entries waiting in a queue; of a stream with consumer groups, those that each group has not acknowledged "
        "(lag and pending), absent where Redis does not know the lag.",
        ("queue", "group"),
    ),
    GaugeFamily(
        "queue_lag",
        "Entries of a Redis stream not yet delivered to a consumer group; absent where Redis does not know it: "
        "before version 7, and after entries were deleted.",
        ("queue", "group"),
    ),
    GaugeFamily(
        "queue_pending",
        "Entries of a Redis stream delivered to a consumer group and not yet acknowledged.",
        ("queue", "group"),
    ),
    GaugeFamily(
        "queue_oldest_timestamp_seconds",
        "When the oldest entry of a queue was added, of a consumer group the oldest that it has not acknowledged; "
        "only of Redis streams, and of Celery's lists whose publishers use the SDK's hook: other lists do not say it.",
        ("queue", "group"),
    ),
)


@dataclass(slots=True)
class Waiting:
    """What waits in a queue, or for one group of a stream; None is unknown, and of no group for those of a group."""

    length: int | None
    lag: int | None = None
    pending: int | None = None
    oldest_seconds: float | None = None

    def gauges(self, queue: str, group: str) -> Iterator[Gauge]:
        values = {
            "queue_length": self.length,
            "queue_lag": self.lag,
            "queue_pending": self.pending,
            "queue_oldest_timestamp_seconds": self.oldest_seconds,
        }
        for metric, value in values.items():
            if value is not None:
                yield Gauge(metric, value, {"queue": queue, "group": group})


class Queues:
    """The queues of one target. Of no entry anything is read but when Celery's publisher sent it."""

    def __init__(self, servers: Servers, queues: Sequence[str]) -> None:
        self._servers = servers
        self._commands = dict.fromkeys(queues, LENGTHS[0])

    def ask(self, deadline: float) -> tuple[list[Gauge], list[Degradation]]:
        """Return the queues' gauges, and those that have none. Raises redis.RedisError where the main server fails."""
        lengths = self._lengths(deadline)
        return self._waiting(lengths, deadline), list(_unknown(lengths))

    def _lengths(self, deadline: float) -> dict[str, object]:
        """Return the length of each queue, or the error that asking for it gave.

        A key of another type than last time costs one more round trip, once: the command that fits is remembered.
        """
        wanted: list[tuple[str, Command]] = [(queue, (command, queue)) for queue, command in self._commands.items()]
        lengths: dict[str, object] = dict(zip(self._commands, self._servers.ask_keys(wanted, deadline), strict=True))
        for queue in [queue for queue, reply in lengths.items() if _is_error(reply, "WRONGTYPE")]:
            replies = self._servers.ask_keys([(queue, (command, queue)) for command in LENGTHS], deadline)
            for command, reply in zip(LENGTHS, replies, strict=True):
                if isinstance(reply, int):
                    self._commands[queue], lengths[queue] = command, reply
        return lengths

    def _waiting(self, lengths: dict[str, object], deadline: float) -> list[Gauge]:
        """Return the gauges of the queues; a stream of which consumer groups read has those of its groups instead.

        Replaces the length by the error of a stream whose groups cannot be asked for.
        """
        streams = [queue for queue, command in self._commands.items() if command == STREAM]
        groups = self._servers.ask_keys([(queue, ("XINFO", "GROUPS", queue)) for queue in streams], deadline)
        found = []
        for queue, reply in zip(streams, groups, strict=True):
            if isinstance(reply, Exception) and not _is_error(reply, "no such key"):
                lengths[queue] = reply
            elif isinstance(reply, list) and reply:
                of_groups = self._groups(queue, reply, deadline)
                found += [gauge for group, waiting in of_groups.items() for gauge in waiting.gauges(queue, group)]
                lengths[queue] = None
        parts = self._priorities(lengths, deadline)
        stamped = self._stamped({**lengths, **parts}, deadline)
        for key, waiting in parts.items():
            queue = key.partition(PRIORITIES[0][0])[0]
            lengths[queue] = int(str(lengths[queue])) + waiting
            if key in stamped:
                stamped[queue] = min(stamped[key], stamped.get(queue, stamped[key]))
        for queue, length in lengths.items():
            if isinstance(length, int):
                oldest = self._oldest(queue, b"-", deadline) if queue in streams and length else None
                found += Waiting(length, oldest_seconds=_added(oldest) or stamped.get(queue)).gauges(queue, "")
        return found

    def _priorities(self, lengths: dict[str, object], deadline: float) -> dict[str, int]:
        """Return the lengths of the lists that hold the messages of lists' priorities, by their keys."""
        keys = [
            f"{queue}{end}" for queue, length in lengths.items()
            if isinstance(length, int) and self._commands[queue] == LENGTHS[0] and PRIORITIES[0][0] not in queue
            for end in PRIORITIES if f"{queue}{end}" not in self._commands
        ]  # fmt: skip
        replies = self._servers.ask_keys([(key, (LENGTHS[0], key)) for key in keys], deadline)
        return {key: reply for key, reply in zip(keys, replies, strict=True) if isinstance(reply, int) and reply}

    def _stamped(self, lengths: dict[str, object], deadline: float) -> dict[str, float]:
        """Return when the entry at the end of each list was published: Celery adds at the front and takes from the end.

        Lists whose entries are large on average are left out: an entry cannot be read in part.
        """
        lists = [
            queue for queue, length in lengths.items()
            if isinstance(length, int) and length and self._commands.get(queue, LENGTHS[0]) == LENGTHS[0]
        ]  # fmt: skip
        sizes = self._servers.ask_keys(
            [(queue, ("MEMORY", "USAGE", queue, "SAMPLES", "1")) for queue in lists], deadline
        )
        small = [
            queue for queue, size in zip(lists, sizes, strict=True)
            if isinstance(size, int) and size <= LONGEST_ENTRY_BYTES * int(str(lengths[queue]))
        ]  # fmt: skip
        entries = self._servers.ask_keys([(queue, ("LINDEX", queue, "-1")) for queue in small], deadline)
        found = {queue: _published(entry) for queue, entry in zip(small, entries, strict=True)}
        return {queue: seconds for queue, seconds in found.items() if seconds is not None}

    def _groups(self, queue: str, reply: list[list[Any]], deadline: float) -> dict[str, Waiting]:
        """Return what waits for each group of a stream, by the group's name as it is shown."""
        groups = sorted((dict(zip(flat[::2], flat[1::2], strict=True)) for flat in reply), key=lambda of: of[b"name"])
        pending = [group[b"name"] for group in groups[:GROUPS_MOST] if group[b"pending"]]
        summaries = self._servers.ask_keys([(queue, ("XPENDING", queue, name)) for name in pending], deadline)
        first_pending = {
            name: reply[1] for name, reply in zip(pending, summaries, strict=True) if isinstance(reply, list)
        }
        found: dict[str, Waiting] = {}
        for group in groups:
            label = group[b"name"].decode(errors="backslashreplace")[:GROUP_CHARACTERS]
            if label in found or len(found) >= GROUPS_MOST:
                label = OTHER_GROUPS
            oldest, lag = first_pending.get(group[b"name"]), group.get(b"lag")
            if label != OTHER_GROUPS and lag != 0 and (lag is None or not group[b"pending"]):
                undelivered = self._oldest(queue, b"(" + group[b"last-delivered-id"], deadline)
                lag = 0 if undelivered == b"" else lag
                oldest = oldest or undelivered
            _add(found.setdefault(label, Waiting(0, 0, 0)), lag, group[b"pending"], _added(oldest))
        return found

    def _oldest(self, queue: str, start: bytes, deadline: float) -> bytes | None:
        """Return the id of the first entry from `start` on, empty where there is none, None where it is not said."""
        try:
            return self._servers.first_id(queue, start, deadline)
        except (redis.RedisError, OSError):
            return None


def _is_error(reply: object, words: str) -> bool:
    """Tell whether a reply is the server's error of these words; Redis has few codes, and one language."""
    return isinstance(reply, redis.ResponseError) and words in str(reply)


def _unknown(lengths: dict[str, object]) -> Iterator[Degradation]:
    for queue, reply in lengths.items():
        if isinstance(reply, Exception):
            why = "" if _is_error(reply, "WRONGTYPE") else f": {reply}"
            yield Degradation("queue", f"queue {queue!r} has no length{why}")


def _added(entry: bytes | None) -> float | None:
    """Return when an entry was added: its id is (milliseconds)-(number), unless a client chose it."""
    seconds = int((entry or b"").partition(b"-")[0] or b"0") / 1000
    return seconds if EARLIEST_ENTRY <= seconds <= time.time() + 86_400 else None


def _published(entry: object) -> float | None:
    """Return when a message of Celery's was published, None for an entry that does not say it."""
    try:
        headers = json.loads(entry)["headers"] if isinstance(entry, bytes) and entry[:1] == b"{" else {}
        seconds = float(headers[PUBLISHED])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return seconds if EARLIEST_ENTRY <= seconds <= time.time() + 86_400 else None


def _add(waiting: Waiting, lag: int | None, pending: int, oldest_seconds: float | None) -> None:
    """Add what waits for one more group; once something is unknown the sum is."""
    waiting.lag = None if lag is None or waiting.lag is None else waiting.lag + lag
    waiting.pending = (waiting.pending or 0) + pending
    waiting.length = None if waiting.lag is None else waiting.lag + waiting.pending
    waiting.oldest_seconds = min(filter(None, (waiting.oldest_seconds, oldest_seconds)), default=None)
