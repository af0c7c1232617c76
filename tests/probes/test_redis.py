"""The probe of Redis, against real servers."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import celery  # type: ignore[import-untyped]  # ships no types
import pytest
import redis as client
from celery import signals

from exporter.probes.base import TOO_MANY_CONNECTIONS, Reason, Status
from exporter.sections import Secret
from platform_sdk.jobs import celery as jobs
from tests.probes.probing import SHORT_SECONDS, TIMEOUT_SECONDS, Subject, direct, gauges, gives_up, redis, target
from tests.servers import ServerFactory, TcpProxy
from tools.stack.process import poll_until
from tools.stack.programs.search import find
from tools.stack.servers import Minio, Redis

Starter = Callable[..., Redis]


@pytest.fixture
def keys(redis_server: Redis) -> Iterator["client.Redis"]:
    """Return a client of the session's server, which is emptied afterwards."""
    with redis_server.client() as connection:
        yield connection
        connection.flushall()


@pytest.fixture
def proxy(redis_server: Redis, tcp_proxy: Callable[[str, int], TcpProxy]) -> TcpProxy:
    """Return a cable to the session's server."""
    return tcp_proxy(redis_server.host, redis_server.port)


@pytest.fixture
def cabled(proxy: TcpProxy) -> Iterator[Subject]:
    """Return the session's server behind that cable, asked once."""
    with target(redis(f"redis://{proxy.address}/0")) as subject:
        assert subject.ask().status is Status.HEALTHY
        yield subject


def test_gauges(redis_server: Redis) -> None:
    """A healthy server shows memory and clients, and the limit's gauge only where there is a limit."""
    with target(redis(redis_server.url)) as subject:
        result = subject.ask()

        assert result.status is Status.HEALTHY
        assert gauges(result)["redis_memory_used_bytes"] > 100_000
        assert gauges(result)["redis_clients"] >= 1
        assert gauges(result)["redis_cache"] == 0
        assert "redis_memory_limit_bytes" not in gauges(result)


@pytest.mark.parametrize(
    ("command", "arguments", "length"),
    [
        ("rpush", ("a", "b", "c"), 3),
        ("xadd", ({"a": 1},), 1),
        ("zadd", ({"a": 1, "b": 2},), 2),
        ("sadd", ("a", "b"), 2),
        ("hset", ("a", "1"), 1),
    ],
)
def test_queue(
    redis_server: Redis, keys: "client.Redis", command: str, arguments: tuple[Any, ...], length: int
) -> None:
    """The length of a queue is shown whatever the type of its key."""
    getattr(keys, command)("celery", *arguments)
    with target(redis(redis_server.url, queues=("celery",))) as subject:
        found = [gauges(subject.ask())["queue_length:celery:"] for _ in range(2)]

        assert found == [length, length]


def test_queue_changes_type(redis_server: Redis, keys: "client.Redis") -> None:
    """A queue whose key changes its type is still shown."""
    keys.xadd("celery", {"a": 1})
    with target(redis(redis_server.url, queues=("celery",))) as subject:
        subject.ask()
        keys.delete("celery")
        keys.rpush("celery", "a", "b")

        assert gauges(subject.ask())["queue_length:celery:"] == 2


def test_oldest_entry_of_a_stream(redis_server: Redis, keys: "client.Redis") -> None:
    """A stream shows when its first entry was added; an empty one, an id chosen by a client and a list do not."""
    keys.xadd("celery", {"a": 1}, id="1767225600500-3")
    keys.xadd("celery", {"a": 2})
    keys.xadd("mail", {"a": 1}, id="7-1")
    keys.rpush("list", "a")
    names = ("celery", "mail", "list", "none")
    with target(redis(redis_server.url, queues=names)) as subject:
        subject.ask()
        found = gauges(subject.ask())
        keys.xtrim("celery", maxlen=0)
        emptied = gauges(subject.ask())

    oldest = "queue_oldest_timestamp_seconds:"
    assert {name: value for name, value in found.items() if name.startswith(oldest)} == {
        oldest + "celery:": 1767225600.5
    }
    assert [found[f"queue_length:{name}:"] for name in names] == [2, 1, 1, 0]
    assert f"{oldest}celery:" not in emptied


def test_priorities_of_celery(redis_server: Redis, keys: "client.Redis") -> None:
    """The lists of a queue's priorities are the queue: in its length, and the oldest message of all is shown."""
    app = celery.Celery("shop", broker=redis_server.url)
    hooks = jobs._Hooks(None, True, False)
    signals.before_task_publish.connect(hooks.before_task_publish)
    try:
        before = time.time()
        app.send_task("shop.send_mail", queue="mail", priority=9)
        after = time.time()
        for priority in (0, 3, 6, 9):
            app.send_task("shop.send_mail", queue="mail", priority=priority)
        app.send_task("shop.send_mail", queue="late", priority=6)
    finally:
        signals.before_task_publish.disconnect(hooks.before_task_publish)
        app.close()
    assert keys.llen("mail") == 1
    with target(redis(redis_server.url, queues=("mail", "late"))) as subject:
        found = gauges(subject.ask())

    assert (found["queue_length:mail:"], found["queue_length:late:"]) == (5, 1)
    assert before <= found["queue_oldest_timestamp_seconds:mail:"] <= after
    assert found["queue_oldest_timestamp_seconds:late:"] >= after
    assert len([name for name in found if name.startswith("queue_length")]) == 2


def test_oldest_message_of_celery(redis_server: Redis, keys: "client.Redis") -> None:
    """A list of Celery's shows when the message that is taken next was published, by the SDK's hook."""
    app = celery.Celery("shop", broker=redis_server.url)
    hooks = jobs._Hooks(None, True, False)
    signals.before_task_publish.connect(hooks.before_task_publish)
    try:
        sent = [time.time()]
        for number in range(3):
            app.send_task("shop.send_mail", args=("x" * 2000 * number,), queue="mail")
            sent.append(time.time())
    finally:
        signals.before_task_publish.disconnect(hooks.before_task_publish)
        app.close()
    with target(redis(redis_server.url, queues=("mail",))) as subject:
        found = gauges(subject.ask())
        keys.rpop("mail")
        later = gauges(subject.ask())

    assert (found["queue_length:mail:"], later["queue_length:mail:"]) == (3, 2)
    oldest = "queue_oldest_timestamp_seconds:mail:"
    assert sent[0] <= found[oldest] <= sent[1] <= later[oldest] <= sent[2]


@pytest.mark.parametrize(
    "entry",
    [
        b"5f2c", b"{", b"[1]", b'{"headers": []}', b'{"headers": {"platform_published_at": "soon"}}',
        b'{"headers": {"platform_published_at": 7}}', b'{"headers": {"platform_published_at": 9e99}}',
        b"[" * 60_000, b'{"body": "' + b"x" * 200_000 + b'", "headers": {"platform_published_at": 1767225600.5}}',
    ],
    ids=["id", "torn", "list", "no headers", "text", "too early", "too late", "deep", "large"],
)  # fmt: skip
def test_entries_that_do_not_say_when_they_were_added(redis_server: Redis, keys: "client.Redis", entry: bytes) -> None:
    """The queue has a length, and the probe is healthy."""
    keys.lpush("mail", entry)
    with target(redis(redis_server.url, queues=("mail",))) as subject:
        result = subject.ask()

    assert result.status is Status.HEALTHY
    assert gauges(result)["queue_length:mail:"] == 1
    assert "queue_oldest_timestamp_seconds:mail:" not in gauges(result)


FIRST, SECOND, THIRD = (f"{1767225600000 + 1000 * number}-0" for number in range(3))


def read(keys: "client.Redis", group: str, entries: int, *, acknowledged: int) -> None:
    """Let a group read so many entries of the stream `mail`, and acknowledge some of them, the first ones."""
    ((_, found),) = keys.xreadgroup(group, "worker", {"mail": ">"}, count=entries)
    for entry, _ in found[:acknowledged]:
        keys.xack("mail", group, entry)


@pytest.fixture(scope="module", params=["redis-server", "valkey-server"])
def stream(request: pytest.FixtureRequest, session_servers: ServerFactory) -> tuple[Redis, bool]:
    """Return a server with the stream `mail`, read by groups, and whether it knows a group's lag.

    `done` has acknowledged all three entries, `busy` has two unacknowledged, `new` was never read from, and `late` has
    acknowledged one of three and read no more.
    """
    server = session_servers.start(Redis, binary=find(request.param))
    with server.client() as keys:
        for name in ("done", "busy", "late", "new"):
            keys.xgroup_create("mail", name, id="0", mkstream=True)
        for entry in (FIRST, SECOND, THIRD):
            keys.xadd("mail", {b"\xff\xfe": b"\x80"}, id=entry)
        read(keys, "done", 3, acknowledged=3)
        read(keys, "busy", 3, acknowledged=1)
        read(keys, "late", 1, acknowledged=1)
    return server, request.param == "valkey-server"


def test_groups_of_a_stream(stream: tuple[Redis, bool]) -> None:
    """Of a stream each group shows what it has not acknowledged; the lag only where Redis knows it."""
    server, knows_lag = stream
    with target(redis(server.url, queues=("mail",))) as subject:
        result = subject.ask()
        found = gauges(result)

    groups = ("busy", "done", "late", "new")
    lag: dict[str, int] = {"busy": 0, "done": 0, **({"late": 2, "new": 3} if knows_lag else {})}
    assert result.status is Status.HEALTHY
    assert {group: found[f"queue_pending:mail:{group}"] for group in groups} == {
        "busy": 2, "done": 0, "late": 0, "new": 0
    }  # fmt: skip
    assert {name.rpartition(":")[2]: value for name, value in found.items() if name.startswith("queue_lag")} == lag
    assert {name.rpartition(":")[2]: value for name, value in found.items() if name.startswith("queue_length")} == {
        group: waits + found[f"queue_pending:mail:{group}"] for group, waits in lag.items()
    }
    assert {name.rpartition(":")[2]: value for name, value in found.items() if name.startswith("queue_oldest")} == {
        "busy": 1767225601, "late": 1767225601, "new": 1767225600
    }  # fmt: skip


def test_lag_that_redis_does_not_know(start_redis: Starter) -> None:
    """After entries in the middle were deleted Redis has no lag: nor has the queue a length."""
    server = start_redis(binary=find("valkey-server"))
    with server.client() as keys, target(redis(server.url, queues=("mail",))) as subject:
        for entry in (FIRST, SECOND, THIRD):
            keys.xadd("mail", {"a": 1}, id=entry)
        keys.xgroup_create("mail", "workers", id="0")
        keys.xdel("mail", SECOND)
        keys.xgroup_setid("mail", "workers", FIRST)
        found = gauges(subject.ask())

    assert {name: value for name, value in found.items() if name.startswith("queue")} == {
        "queue_pending:mail:workers": 0,
        "queue_oldest_timestamp_seconds:mail:workers": 1767225602,
    }


def test_many_groups(redis_server: Redis, keys: "client.Redis") -> None:
    """Groups past the first twenty are one, whatever their names are."""
    keys.xadd("mail", {"a": 1})
    for number in range(300):
        keys.xgroup_create("mail", b"%03d" % number + b"\xff\n" * 100, id="$")
    with target(redis(redis_server.url, queues=("mail",))) as subject:
        found = [gauge for gauge in subject.ask().gauges if gauge.metric == "queue_pending"]

    labels = [gauge.labels["group"] for gauge in found]
    assert len(labels) == 21
    assert (labels[0][:9], labels[-1]) == ("000\\xff\n\\", "_other_")
    assert all(len(label) <= 100 for label in labels)


@pytest.mark.parametrize("group", ["", "workers"])
def test_huge_entry(redis_server: Redis, keys: "client.Redis", group: str) -> None:
    """The content of entries is not read: of one of 60 MB the age is known, and most bytes are never sent."""
    keys.xadd("mail", {b"\xff": b"\x80" * 60_000_000}, id=FIRST)
    if group:
        keys.xgroup_create("mail", group, id="0")
    before = keys.info("stats")["total_net_output_bytes"]
    with target(redis(redis_server.url, queues=("mail",))) as subject:
        result = subject.ask()

    assert result.status is Status.HEALTHY
    assert gauges(result)[f"queue_oldest_timestamp_seconds:mail:{group}"] == 1767225600
    assert keys.info("stats")["total_net_output_bytes"] - before < 30_000_000


def test_no_queue(redis_server: Redis) -> None:
    """A queue that does not exist is empty."""
    with target(redis(redis_server.url, queues=("celery", "mail"))) as subject:
        found = gauges(subject.ask())

        assert (found["queue_length:celery:"], found["queue_length:mail:"]) == (0, 0)


def test_no_length(redis_server: Redis, keys: "client.Redis") -> None:
    """A queue that is a plain text is degraded and has no gauge."""
    keys.set("celery", "text")
    with target(redis(redis_server.url, queues=("celery",))) as subject:
        result = subject.ask()

        assert (result.status, result.cause) == (Status.DEGRADED, "queue 'celery' has no length")
        assert result.problems == ("queue",)
        assert "queue_length:celery:" not in gauges(result)


def test_one_connection(redis_server: Redis, keys: "client.Redis") -> None:
    """Any number of checks use one connection, which names its program."""
    with target(redis(redis_server.url)) as subject:
        for _ in range(5):
            subject.ask()
        names = [entry["name"] for entry in keys.client_list()]

    assert names.count("platform-exporter") == 1


def test_stopped_and_started(start_redis: Starter) -> None:
    """A stopped server is refused; started again it is healthy in the next check."""
    server = start_redis()
    with target(redis(server.url)) as subject:
        subject.ask()
        server.stop()
        stopped = subject.ask()
        server.start()

        assert (stopped.status, stopped.reason) == (Status.UNHEALTHY, Reason.REFUSED)
        assert subject.ask().status is Status.HEALTHY


def test_restarted(start_redis: Starter) -> None:
    """A restart between two scrapes is not an outage."""
    server = start_redis()
    with target(redis(server.url)) as subject:
        subject.ask()
        server.restart()

        assert subject.ask().status is Status.HEALTHY


def test_frozen(start_redis: Starter) -> None:
    """Each check of a frozen server ends at its deadline; the server is healthy again once it goes on."""
    server = start_redis()
    with direct(redis(server.url)) as probe:
        probe.check(TIMEOUT_SECONDS)
        server.freeze()
        frozen = [gives_up(probe) for _ in range(3)]
        server.thaw()

        assert frozen == [True] * 3
        assert probe.check(TIMEOUT_SECONDS).degraded == ()


def test_blackholed(cabled: Subject, proxy: TcpProxy) -> None:
    """Where packets vanish the check ends at its deadline and drops the connection."""
    proxy.blackhole()
    result = cabled.ask(SHORT_SECONDS)

    proxy.restore()  # it sees nothing of a connection's end while it is a black hole

    assert (result.status, result.reason) == (Status.UNHEALTHY, Reason.TIMEOUT)
    poll_until(lambda: proxy.connections == 0)


def test_cut(cabled: Subject, proxy: TcpProxy) -> None:
    """Connections that are reset are protocol."""
    proxy.cut()

    assert cabled.ask().reason is Reason.PROTOCOL


def test_mended(cabled: Subject, proxy: TcpProxy) -> None:
    """Once the cable is mended the target is healthy."""
    proxy.cut()
    cabled.ask()
    proxy.restore()

    assert cabled.ask().status is Status.HEALTHY


def test_timeouts_differ(redis_server: Redis) -> None:
    """Scrapes with different timeouts are all answered."""
    with target(redis(redis_server.url)) as subject:
        found = [subject.ask(seconds).status for seconds in (10, 4, 10)]

        assert found == [Status.HEALTHY] * 3


@pytest.fixture(scope="module")
def guarded(session_servers: ServerFactory) -> Redis:
    """Return a server that asks for a password."""
    return session_servers.start(Redis, name="guarded", password="s3cret")


def test_password(guarded: Redis) -> None:
    """A password of its own wins over one in the URL."""
    with target(redis(f"redis://:wrong@{guarded.address}/0", password=Secret("s3cret"))) as subject:
        assert subject.ask().status is Status.HEALTHY


@pytest.mark.parametrize("user_info", ["", ":hunter2@", "nobody:hunter2@"])
def test_wrong_password(guarded: Redis, user_info: str) -> None:
    """A wrong password, none and an unknown user are auth, and the cause holds no password."""
    with target(redis(f"redis://{user_info}{guarded.address}/0")) as subject:
        result = subject.ask()

        assert (result.status, result.reason) == (Status.UNHEALTHY, Reason.AUTH)
        assert "hunter2" not in result.cause


def test_least_rights(guarded: Redis) -> None:
    """A user who may only PING sees the server healthy, without gauges."""
    with guarded.client() as admin:
        admin.execute_command("ACL", "SETUSER", "watcher", "on", ">pw", "+ping", "+select")
    with target(redis(f"redis://watcher:pw@{guarded.address}/0")) as subject:
        result = subject.ask()

        assert (result.status, result.gauges) == (Status.HEALTHY, ())


def test_may_not_ask_for_groups(guarded: Redis) -> None:
    """Where a user may not ask for the groups of a stream, its length may be a backlog or not: it is not shown."""
    with guarded.client() as admin:
        admin.execute_command("ACL", "SETUSER", "counter", "on", ">pw", "~*", "+ping", "+select", "+llen", "+xlen")
        admin.xadd("mail", {"a": 1})
    with target(redis(f"redis://counter:pw@{guarded.address}/0", queues=("mail",))) as subject:
        result = subject.ask()

    assert (result.problems, result.gauges) == (("queue",), ())
    assert result.cause.startswith("queue 'mail' has no length: ")


def test_no_such_host() -> None:
    """A name that does not exist is dns."""
    with target(redis("redis://nowhere.invalid/0")) as subject:
        assert subject.ask().reason is Reason.DNS


def test_no_tls(moto_server: Minio) -> None:
    """A server that answers TLS with something else is tls; Redis itself would wait for the rest of a line."""
    with target(redis(f"rediss://{moto_server.address}/0")) as subject:
        assert subject.ask().reason is Reason.TLS


def test_replica(redis_server: Redis, start_redis: Starter) -> None:
    """A replica is degraded where a primary is expected, and healthy where it is not."""
    replica = start_redis(replica_of=redis_server)
    with target(redis(replica.url)) as primary, target(redis(replica.url, primary=False)) as any_role:
        poll_until(lambda: any_role.ask().status is Status.HEALTHY)
        result = primary.ask()

        assert (result.status, result.cause) == (Status.DEGRADED, "role is slave where a primary is expected")
        assert result.problems == ("replica",)


def test_replica_cut_off(start_redis: Starter) -> None:
    """A replica that lost its primary is degraded."""
    primary = start_redis()
    replica = start_redis(replica_of=primary)
    primary.kill()
    with target(redis(replica.url, primary=False)) as subject:
        result = poll_until(lambda: (found := subject.ask()).cause and found)

        assert (result.status, result.cause) == (Status.DEGRADED, "the link to its primary is down")
        assert result.problems == ("replication",)


def fill(server: Redis) -> int:
    """Set the limit of a server's memory so that about 95 % of it are used, and return it."""
    with server.client() as admin:
        for number in range(100):  # one by one: the memory of a large command is given back soon after
            admin.set(f"ballast{number}", "x" * 50_000)
        limit = int(admin.info("memory")["used_memory"] / 0.95)
        admin.config_set("maxmemory", limit)
        return limit


def test_memory(start_redis: Starter) -> None:
    """From the configured share of its memory on a server is degraded."""
    server = start_redis(settings={"maxmemory": "1gb"})
    with target(redis(server.url)) as subject:
        before = subject.ask()
        limit = fill(server)
        after = subject.ask()

        assert before.status is Status.HEALTHY
        assert gauges(before)["redis_memory_limit_bytes"] == 1 << 30
        assert after.status is Status.DEGRADED
        assert after.problems == ("memory",)
        assert f"of {limit} bytes of memory are used, 9" in after.cause


@pytest.mark.parametrize(("queues", "status"), [((), Status.HEALTHY), (("celery",), Status.DEGRADED)])
def test_cache(start_redis: Starter, queues: tuple[str, ...], status: Status) -> None:
    """A cache that evicts any key is meant to be full, unless queues are in it."""
    server = start_redis(settings={"maxmemory-policy": "allkeys-lru"})
    with target(redis(server.url, queues=queues)) as subject:
        subject.ask()
        fill(server)
        result = subject.ask()

        assert result.status is status
        assert gauges(result)["redis_cache"] == (status is Status.HEALTHY)


def test_full(start_redis: Starter) -> None:
    """Where our kept connection still answers on a full server it is degraded, and where we cannot get in, down."""
    server = start_redis(settings={"maxclients": "4"})
    with ExitStack() as sessions, target(redis(server.url)) as kept, target(redis(server.url)) as new:
        kept.ask()
        for _ in range(3):
            connection = client.Connection(host=server.host, port=server.port)
            sessions.callback(connection.disconnect)
            connection.connect()
        refused = new.ask()

        assert (refused.status, refused.reason) == (Status.UNHEALTHY, TOO_MANY_CONNECTIONS)
        assert kept.ask().up


def test_save_failed(start_redis: Starter, tmp_path: Path) -> None:
    """A server whose last save to disk failed is degraded: it may refuse writes."""
    folder = tmp_path / "gone"
    folder.mkdir()
    server = start_redis(settings={"dir": str(folder)})
    with target(redis(server.url)) as subject, server.client() as admin:
        folder.rmdir()
        admin.bgsave()
        result = poll_until(lambda: (found := subject.ask()).cause and found)

        assert result.status is Status.DEGRADED
        assert result.problems == ("persistence",)
        assert result.cause.startswith("the last save to disk failed")


def test_loading(start_redis: Starter) -> None:
    """A server that loads its data is down, refused: it serves no client yet."""
    server = start_redis(settings={"rdbcompression": "no"})
    with server.client() as keys:
        keys.mset({f"key{number}": "x" * 10_000 for number in range(2000)})
        keys.save()
    server.stop()
    server._settings |= {"key-load-delay": "1000"}  # it looks at its connections every 2 MB: so every 0.2 s, for 2 s
    server.prepare()
    server.process.start(server.command())
    with target(redis(server.url)) as subject:
        result = poll_until(lambda: "loading" in (found := subject.ask()).cause and found)

        assert (result.status, result.reason) == (Status.UNHEALTHY, Reason.REFUSED)
