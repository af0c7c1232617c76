"""Probe Redis (6.2 and later) or Valkey: does it answer, is it the primary, how full is it, how long are the queues."""

import re
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from exporter.probes.base import Answer, Degradation, Driver, Gauge, GaugeFamily, Probe, ProbeError, Reason, Target
from exporter.probes.certificate import CertificateWatch, Peer
from exporter.probes.reasons import reason_of
from exporter.sections import Problem, Ratio, Secret

if TYPE_CHECKING:
    import redis
else:
    redis = Driver("redis")

CLIENT_NAME = "platform-exporter"

SECTIONS = ("memory", "clients", "replication", "persistence")
"""The sections of INFO asked for, each with a command of its own: Redis 6.2 takes one at a time."""

LENGTHS = ("LLEN", "XLEN", "ZCARD", "HLEN", "SCARD")
"""The commands that return a key's length, by its type: Celery and RQ keep lists, arq a sorted set, others streams."""

EARLIEST_ENTRY = 1_000_000_000.0
"""Ids of streams before this, in Unix seconds (September 2001), were chosen by clients and are not times."""

Info = dict[str, str]


class RedisTarget(Target, frozen=True):
    """A Redis server to probe, and the keys whose lengths are queue lengths."""

    url: Secret
    password: Secret | None = None
    queues: tuple[str, ...] = ()
    primary: bool = True
    memory_degraded_ratio: Ratio = 0.9

    def problems(self) -> Iterator[Problem]:
        try:
            parts = urlsplit(self.url.reveal())
            good = parts.scheme in ("redis", "rediss", "unix") and (parts.port is None or parts.port > 0)
        except ValueError:
            good = False
        if not good:
            yield Problem(
                "url",
                "redis://HOST:PORT/NUMBER, rediss:// or unix://PATH, and in a password %2F for /, %40 for @ "
                "and so on (or put it into `password_file`, as it is)",
            )


class RedisProbe(Probe):
    """The probe of one server, over one kept connection, in one round trip.

    A user who may not run INFO makes its gauges disappear, not the component. A kept connection that broke since the
    last check is replaced within the same check.
    """

    component = "redis"
    target = RedisTarget
    families = (
        GaugeFamily("redis_memory_used_bytes", "Memory Redis uses."),
        GaugeFamily("redis_memory_limit_bytes", "Memory Redis may use; absent where it has no limit."),
        GaugeFamily(
            "redis_cache",
            "Whether Redis is a cache, meant to be full: it evicts any key and no queue of it is watched.",
        ),
        GaugeFamily("redis_clients", "Clients connected to Redis."),
        GaugeFamily("queue_length", "Entries waiting in a queue.", ("queue",)),
        GaugeFamily(
            "queue_oldest_timestamp_seconds",
            "When the oldest entry of a queue was added; only of Redis streams: lists and sorted sets do not say it.",
            ("queue",),
        ),
    )
    weaknesses = ("replica", "replication", "connections", "memory", "persistence", "queue")
    example = """
name: main
url: redis://127.0.0.1:6379/0
queues: [celery]        # lists, streams or sorted sets whose lengths are queue lengths
primary: true           # a replica is degraded
memory_degraded_ratio: 0.9
"""

    def __init__(self, settings: RedisTarget) -> None:
        super().__init__(settings)
        self._connection: Any = None
        redis.Connection  # noqa: B018 - loads the driver, which takes longer than a check may
        self._certificate = CertificateWatch()
        self._commands = dict.fromkeys(settings.queues, LENGTHS[0])

    def check(self, timeout_seconds: float) -> Answer:
        """Ask everything in one pipeline. Raises ProbeError."""
        deadline = time.monotonic() + timeout_seconds
        if self._connection is not None and not 0.8 <= self._connection.socket_timeout / timeout_seconds <= 1:
            self.close()  # a connection's timeout is fixed when it is made
        try:
            info, lengths, oldest = self._ask(deadline)
        except redis.RedisError as error:
            self.close()
            reason = reason_of_failure(error)
            cause = f"no answer in {timeout_seconds:.3g} s" if reason is Reason.TIMEOUT else str(error)
            raise ProbeError(reason, cause) from error
        except BaseException:
            self.close()
            raise
        found = tuple(self._degradations(info, lengths))
        gauges = (*_gauges(info, lengths), *_oldest(oldest), *self._certificate.gauges(self._tls_peer()))
        if "maxmemory_policy" in info:
            gauges = (*gauges, Gauge("redis_cache", int(self._is_cache(info))))
        return Answer(found, gauges)

    def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None

    def _ask(self, deadline: float) -> tuple[Info, dict[str, int | None], dict[str, object]]:
        """Return what INFO says, the queues' lengths, and the first entries of those that are streams."""
        commands = [("CLIENT", "SETNAME", CLIENT_NAME), ("PING",), *(("INFO", section) for section in SECTIONS)]
        commands += [(command, queue) for queue, command in self._commands.items()]
        streams = [queue for queue, command in self._commands.items() if command == "XLEN"]
        commands += [("XRANGE", queue, "-", "+", "COUNT", "1") for queue in streams]
        _, pong, *replies = self._pipeline(commands, deadline)
        if isinstance(pong, redis.ResponseError) and not isinstance(pong, redis.exceptions.NoPermissionError):
            raise ProbeError(reason_of_failure(pong), f"PING was answered with: {pong}")
        info = _parse(replies[: len(SECTIONS)])
        first = len(replies) - len(streams)
        lengths = dict(zip(self._commands, replies[len(SECTIONS) : first], strict=True))
        oldest = dict(zip(streams, replies[first:], strict=True))
        return info, {queue: self._length(queue, reply, deadline) for queue, reply in lengths.items()}, oldest

    def _length(self, queue: str, reply: object, deadline: float) -> int | None:
        """Return a queue's length, None where its key has none.

        A key of another type than last time costs one more round trip, once: the command that fits is remembered.
        """
        if isinstance(reply, redis.ResponseError) and str(reply).startswith("WRONGTYPE"):
            replies = self._pipeline([(command, queue) for command in LENGTHS], deadline)
            fitting = [(command, found) for command, found in zip(LENGTHS, replies, strict=True) if type(found) is int]
            if fitting:
                self._commands[queue], reply = fitting[0]
        return reply if isinstance(reply, int) else None

    def _pipeline(self, commands: Sequence[tuple[str, ...]], deadline: float) -> list[Any]:
        """Send `commands` at once and return their replies; an error the server answers with is a reply too."""
        if self._connection is not None:
            try:
                return self._exchange(commands)
            except redis.TimeoutError:
                raise
            except redis.ConnectionError:
                self.close()
        self._connect(max(0.001, deadline - time.monotonic()))
        return self._exchange(commands)

    def _exchange(self, commands: Sequence[tuple[str, ...]]) -> list[Any]:
        self._connection.send_packed_command(self._connection.pack_commands(commands))
        replies = []
        for _ in commands:
            try:
                replies.append(self._connection.read_response())
            except redis.ResponseError as error:
                replies.append(error)
        return replies

    def _connect(self, timeout_seconds: float) -> None:
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        options = redis.connection.parse_url(self.settings.url.reveal())  # type: ignore[no-untyped-call]
        kind = options.pop("connection_class", redis.Connection)
        if self.settings.password is not None:
            options["password"] = self.settings.password.reveal()
        options |= {
            "decode_responses": True,
            "protocol": 2,  # no HELLO, no push messages: all that is asked here is the same in both
            "retry": Retry(NoBackoff(), 0),
            "socket_connect_timeout": timeout_seconds,
            "socket_timeout": timeout_seconds,
        }
        self._connection = kind(**options)
        self._connection.connect()

    def _tls_peer(self) -> Peer | None:
        """Return where the server shows its certificate, None where the connection is not encrypted."""
        options = redis.connection.parse_url(self.settings.url.reveal())  # type: ignore[no-untyped-call]
        if options.get("connection_class") is not redis.SSLConnection:
            return None
        host = options.get("host", "localhost")
        own = (options["ssl_certfile"], options.get("ssl_keyfile")) if "ssl_certfile" in options else None
        return Peer(host, options.get("port", 6379), host, own=own)

    def _degradations(self, info: Info, lengths: dict[str, int | None]) -> Iterator[Degradation]:
        role = info.get("role", "master")
        if self.settings.primary and role != "master":
            yield Degradation("replica", f"role is {role} where a primary is expected")
        if role != "master" and info.get("master_link_status") == "down":
            yield Degradation("replication", "the link to its primary is down")
        yield from self._memory(info)
        yield from _persistence(info)
        clients, most = int(info.get("connected_clients", 0)), int(info.get("maxclients", 0))
        if most and clients >= most:
            yield Degradation("connections", f"connections full: {clients} of {most} are open")
        for queue in (queue for queue, length in lengths.items() if length is None):
            yield Degradation("queue", f"queue {queue!r} has no length")

    def _memory(self, info: Info) -> Iterator[Degradation]:
        """Yield a degradation where memory runs short."""
        used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
        if limit and not self._is_cache(info) and used >= limit * self.settings.memory_degraded_ratio:
            yield Degradation(
                "memory",
                f"{used} of {limit} bytes of memory are used, {used / limit:.0%} "
                f"(degraded from {self.settings.memory_degraded_ratio:.0%})",
            )

    def _is_cache(self, info: Info) -> bool:
        """Tell whether the server is meant to be full: it evicts any key, and no queue of it is watched."""
        return info.get("maxmemory_policy", "").startswith("allkeys-") and not self.settings.queues


def _persistence(info: Info) -> Iterator[Degradation]:
    if info.get("rdb_last_bgsave_status") == "err":
        cause = "the last save to disk failed: writes are refused while stop-writes-on-bgsave-error is on"
        yield Degradation("persistence", cause)
    if info.get("aof_last_write_status") == "err":
        yield Degradation("persistence", "the last write to the append-only file failed: writes are refused")


def reason_of_failure(error: "redis.RedisError") -> Reason:
    """Return the reason by the exception's type, by what it came from, and last by the server's words."""
    if isinstance(error, redis.AuthenticationError | redis.exceptions.NoPermissionError):
        return Reason.AUTH
    if isinstance(error, redis.TimeoutError):
        return Reason.TIMEOUT
    if isinstance(error, redis.BusyLoadingError | redis.exceptions.MasterDownError):
        return Reason.REFUSED
    if "max number of clients" in str(error) or "protected mode" in str(error):
        return Reason.REFUSED
    if isinstance(error, redis.InvalidResponse | redis.ConnectionError):
        return reason_of(error) or Reason.PROTOCOL
    return Reason.OTHER


def _parse(replies: Sequence[object]) -> Info:
    """Return the fields of the sections that the server answered; sections refused are left out."""
    text = "\n".join(reply for reply in replies if isinstance(reply, str))
    return dict(re.findall(r"^([^#:\s]+):([^\r\n]*)", text, re.MULTILINE))


def _gauges(info: Info, lengths: dict[str, int | None]) -> Iterator[Gauge]:
    if "used_memory" in info:
        yield Gauge("redis_memory_used_bytes", int(info["used_memory"]))
    if int(info.get("maxmemory", 0)):  # 0 is no limit, and a limit of 0 would make every ratio infinite
        yield Gauge("redis_memory_limit_bytes", int(info["maxmemory"]))
    if "connected_clients" in info:
        yield Gauge("redis_clients", int(info["connected_clients"]))
    for queue, length in lengths.items():
        if length is not None:
            yield Gauge("queue_length", length, {"queue": queue})


def _oldest(entries: dict[str, object]) -> Iterator[Gauge]:
    """Yield when the first entry of each stream was added: its id is (milliseconds)-(number), unless a client chose it.

    An entry is [id, fields]; the reply is a list of at most one, or an error where the user may not ask.
    """
    for queue, reply in entries.items():
        if isinstance(reply, list) and reply and (match := re.match(r"(\d+)-", str(reply[0][0]))):
            seconds = int(match[1]) / 1000
            if EARLIEST_ENTRY <= seconds <= time.time() + 86_400:
                yield Gauge("queue_oldest_timestamp_seconds", seconds, {"queue": queue})
