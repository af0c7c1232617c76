"""Probe Redis (6.2 and later) or Valkey: does it answer, is it the primary, how full is it, how long are the queues."""

import re
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from exporter.probes.base import (
    TOO_MANY_CONNECTIONS,
    Answer,
    Degradation,
    Driver,
    Gauge,
    GaugeFamily,
    Probe,
    ProbeError,
    Reason,
    Target,
)
from exporter.probes.certificate import CertificateWatch, Peer
from exporter.probes.reasons import reason_of
from exporter.probes.redis_queues import QUEUE_FAMILIES, Queues
from exporter.probes.redis_servers import SENTINEL_PORT, Command, Servers, parse_address, parse_url
from exporter.sections import Problem, Ratio, Secret

if TYPE_CHECKING:
    import redis
else:
    redis = Driver("redis")

CLIENT_NAME = "platform-exporter"

SECTIONS = ("memory", "clients", "replication", "persistence")
"""The sections of INFO asked for, each with a command of its own: Redis 6.2 takes one at a time."""

Info = dict[str, str]


class RedisTarget(Target, frozen=True):
    """A Redis server to probe, and the keys whose lengths are queue lengths."""

    url: Secret
    password: Secret | None = None
    sentinels: tuple[str, ...] = ()
    sentinel_username: str | None = None
    sentinel_password: Secret | None = None
    queues: tuple[str, ...] = ()
    primary: bool = True
    memory_degraded_ratio: Ratio = 0.9

    def problems(self) -> Iterator[Problem]:
        try:
            scheme = parse_url(self.url).scheme
        except ValueError as error:
            yield Problem("url", str(error))
            return
        if self.sentinels and scheme == "unix":
            yield Problem(
                "url", "with `sentinels` redis://NAME/NUMBER or rediss://, NAME as the Sentinels call the primary"
            )
        for place in self.sentinels:
            if parse_address(place, SENTINEL_PORT) is None:
                yield Problem("sentinels", "HOST:PORT of each Sentinel")  # not its value: it may hold a password


class RedisProbe(Probe):
    """The probe of one target, over kept connections.

    A user who may not run INFO makes its gauges disappear, not the component. A kept connection that broke since the
    last check is replaced within the same check. No entry's content is read.
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
        *QUEUE_FAMILIES,
    )
    reasons = (TOO_MANY_CONNECTIONS,)
    weaknesses = ("replica", "replication", "connections", "memory", "persistence", "queue", "sentinel")
    example = """
name: main
url: redis://127.0.0.1:6379/0   # rediss:// with TLS; of a cluster any node; with sentinels redis://PRIMARY_NAME/0
sentinels: []           # HOST:PORT of each; they say where the primary is, with TLS where the url is rediss://
sentinel_username: default
sentinel_password_file: /run/secrets/sentinel_password
queues: [celery]        # lists, streams or sorted sets whose lengths are queue lengths
primary: true           # a replica is degraded
memory_degraded_ratio: 0.9
"""

    def __init__(self, settings: RedisTarget) -> None:
        super().__init__(settings)
        redis.Connection  # noqa: B018 - loads the driver, which takes longer than a check may
        self._certificate = CertificateWatch()
        self._servers = _servers(settings)
        self._queues = Queues(self._servers, settings.queues)

    def check(self, timeout_seconds: float) -> Answer:
        """Ask for everything. Raises ProbeError."""
        deadline = time.monotonic() + timeout_seconds
        try:
            sentinel = self._servers.find(deadline)
            info = self._info(deadline)
            waiting, unknown = self._queues.ask(deadline)
        except redis.RedisError as error:
            self.close()
            reason = reason_of_failure(error)
            cause = f"no answer in {timeout_seconds:.3g} s" if reason is Reason.TIMEOUT else str(error)
            raise ProbeError(reason, cause) from error
        except ProbeError:
            self.close()
            raise
        found = (*self._degradations(info), *unknown)
        if sentinel:
            found = (*found, Degradation("sentinel", f"no Sentinel says where the primary is: {sentinel}"))
        gauges = (*_gauges(info), *waiting, *self._certificate.gauges(self._tls_peer()))
        if "maxmemory_policy" in info:
            gauges = (*gauges, Gauge("redis_cache", int(self._is_cache(info))))
        return Answer(found, gauges)

    def close(self) -> None:
        """Drop the connections."""
        self._servers.close()

    def _info(self, deadline: float) -> Info:
        """Return what INFO says, empty where it is not allowed. Raises ProbeError where PING is answered badly."""
        commands: list[Command] = [("CLIENT", "SETNAME", CLIENT_NAME), ("PING",)]
        commands += [("INFO", section) for section in SECTIONS]
        _, pong, *replies = self._servers.main.ask(commands, deadline)
        if isinstance(pong, redis.ResponseError) and not isinstance(pong, redis.exceptions.NoPermissionError):
            raise ProbeError(reason_of_failure(pong), f"PING was answered with: {pong}")
        return _parse(replies)

    def _tls_peer(self) -> Peer | None:
        """Return where the server shows its certificate, None where the connection is not encrypted."""
        if parse_url(self.settings.url).scheme != "rediss":
            return None
        options = self._servers.main.options
        own = (options["ssl_certfile"], options.get("ssl_keyfile")) if "ssl_certfile" in options else None
        return Peer(options["host"], options["port"], options["host"], own=own)

    def _degradations(self, info: Info) -> Iterator[Degradation]:
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


def reason_of_failure(error: "redis.RedisError") -> str:
    """Return the reason by the exception's type, by what it came from, and last by the server's words."""
    if isinstance(error, redis.AuthenticationError | redis.exceptions.NoPermissionError):
        return Reason.AUTH
    if isinstance(error, redis.TimeoutError):
        return Reason.TIMEOUT
    if isinstance(error, redis.BusyLoadingError | redis.exceptions.MasterDownError):
        return Reason.REFUSED
    if "max number of clients" in str(error):
        return TOO_MANY_CONNECTIONS
    if "protected mode" in str(error):  # it works, and lets in no one from elsewhere without a password
        return Reason.AUTH
    if isinstance(error, redis.InvalidResponse | redis.ConnectionError):
        return reason_of(error) or Reason.PROTOCOL
    return Reason.OTHER


def _servers(settings: RedisTarget) -> Servers:
    url = parse_url(settings.url)
    if settings.password is not None:
        url.options["password"] = settings.password.reveal()
    credentials = {"username": settings.sentinel_username} if settings.sentinel_username else {}
    if settings.sentinel_password is not None:
        credentials["password"] = settings.sentinel_password.reveal()
    places = [parse_address(place, SENTINEL_PORT) for place in settings.sentinels]
    return Servers(url, [place for place in places if place], **credentials)


def _parse(replies: Sequence[object]) -> Info:
    """Return the fields of the sections that the server answered; sections refused are left out."""
    text = "\n".join(reply.decode(errors="replace") for reply in replies if isinstance(reply, bytes))
    return dict(re.findall(r"^([^#:\s]+):([^\r\n]*)", text, re.MULTILINE))


def _gauges(info: Info) -> Iterator[Gauge]:
    if "used_memory" in info:
        yield Gauge("redis_memory_used_bytes", int(info["used_memory"]))
    if int(info.get("maxmemory", 0)):  # 0 is not a limit, and a limit of 0 would make every ratio infinite
        yield Gauge("redis_memory_limit_bytes", int(info["maxmemory"]))
    if "connected_clients" in info:
        yield Gauge("redis_clients", int(info["connected_clients"]))
