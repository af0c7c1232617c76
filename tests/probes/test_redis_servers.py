"""What a Redis URL may be, Sentinels, and the nodes of a cluster; against real servers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from exporter.probes.base import Reason, Status
from exporter.probes.redis import RedisTarget
from exporter.probes.redis_servers import parse_url
from exporter.sections import Secret
from tests.probes.probing import gauges, redis, target
from tests.servers import ServerFactory
from tools.stack.ports import free_port
from tools.stack.process import Command, poll_until
from tools.stack.programs.search import find
from tools.stack.servers import Redis

Starter = Callable[..., Redis]


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("redis://h", {"host": "h", "port": 6379}),
        ("redis://h/", {"host": "h", "port": 6379}),
        ("redis://MyMaster:7000/3", {"host": "MyMaster", "port": 7000, "db": 3}),
        ("redis://h?db=2", {"host": "h", "port": 6379, "db": 2}),
        ("redis://[::1]:7000", {"host": "::1", "port": 7000}),
        ("redis://:p%2Fa%40s:s@h", {"host": "h", "port": 6379, "password": "p/a@s:s"}),
        ("redis://u@h", {"host": "h", "port": 6379, "username": "u"}),
        ("rediss://u:p@h/0?ssl_cert_reqs=CERT_NONE&ssl_check_hostname=false", {
            "host": "h", "port": 6379, "username": "u", "password": "p", "db": 0,
            "ssl_cert_reqs": "none", "ssl_check_hostname": False,
        }),
        ("unix:///run/redis.sock?db=1", {"path": "/run/redis.sock", "db": 1}),
        ("unix://u:p@/run/redis%20.sock", {"path": "/run/redis .sock", "username": "u", "password": "p"}),
    ],
)  # fmt: skip
def test_url(url: str, options: dict[str, Any]) -> None:
    """A URL says where the server is and how to sign in."""
    assert parse_url(Secret(url)).options == options


@pytest.mark.parametrize(
    "url",
    [
        "h:6379", "http://h", "redis://", "redis:///0", "redis://h:0", "redis://h:70000", "redis://[bad", "redis://h/0#x",
        "redis://u:p@s3cret/word@host", "redis://u:s3/cret@host", "redis://u:1/s3cret@host", "redis://u:s3#cret@host",
        "redis://u:s3?cret@host", "redis://u:p@s3cret@host", "redis://u:s3 cret@host", "redis://h/0\n",
        "redis://h/s3cret", "redis://h/-1", "redis://h/0?db=0", "redis://h?foo=s3cret", "redis://h?ssl_cert_reqs=none",
        "rediss://h?ssl_cert_reqs=s3cret", "redis://h?protocol=3", "unix://s3cret/run/redis.sock", "unix://",
    ],
)  # fmt: skip
def test_bad_url(url: str) -> None:
    """What redis-py would pass over or take for something else is refused, and not quoted."""
    (problem,) = RedisTarget(name="main", url=Secret(url)).problems()

    assert problem.key == "url"
    assert "s3cret" not in f"{problem}"
    assert "cret@" not in f"{problem}"


@pytest.mark.parametrize("place", ["h:0", "h:x", "redis://h", "u:p@h:1", ""])
def test_bad_sentinel(place: str) -> None:
    """A Sentinel is HOST:PORT, and what is not is not quoted: it may hold a password."""
    (problem,) = RedisTarget(name="main", url=Secret("redis://main"), sentinels=("h", place)).problems()

    assert (problem.key, problem.value) == ("sentinels", None)


class Sentinel(Redis):
    """A Sentinel that watches one server by the name `Main`, alone."""

    def prepare(self) -> None:
        super().prepare()
        watched = self._replica_of
        assert watched is not None
        lines = [f"port {self.port}", "bind 127.0.0.1", f"sentinel monitor Main 127.0.0.1 {watched.port} 1"]
        lines += ["sentinel down-after-milliseconds Main 500", "sentinel failover-timeout Main 1000"]
        lines += [f"requirepass {self.password}"] if self.password else []
        self.write_private(f"{self.name}.conf", "".join(f"{line}\n" for line in lines))

    def command(self) -> Command:
        return Command([*super().command().argv, "--sentinel"])


@dataclass
class Guarded:
    """A primary, its replica, and two Sentinels, which ask for a password."""

    primary: Redis
    replica: Redis
    sentinels: list[Sentinel]

    def settings(self, **options: Any) -> RedisTarget:
        places = tuple(sentinel.address for sentinel in self.sentinels)
        return redis("redis://Main/0", sentinels=places, **{"sentinel_password": Secret("s3cret"), **options})


@pytest.fixture
def guarded(servers: ServerFactory, start_redis: Starter) -> Guarded:
    """Return a primary with a replica and Sentinels."""
    primary = start_redis()
    replica = start_redis(replica_of=primary)
    sentinels = [servers.start(Sentinel, name="sentinel", replica_of=primary, password="s3cret") for _ in range(2)]
    for sentinel in sentinels:
        with sentinel.client() as asked:
            poll_until(lambda: asked.execute_command("SENTINEL REPLICAS", "Main"))
    return Guarded(primary, replica, sentinels)


def test_failover(guarded: Guarded) -> None:
    """After a failover the new primary is probed, and healthy again."""
    with target(guarded.settings(queues=("mail",))) as subject:
        with guarded.primary.client() as keys:
            keys.rpush("mail", "a")
            keys.wait(1, 30_000)
        before = subject.ask()
        guarded.primary.kill()
        after = poll_until(lambda: (found := subject.ask()).status is Status.HEALTHY and found)

    assert before.status is Status.HEALTHY
    assert gauges(before)["queue_length:mail:"] == gauges(after)["queue_length:mail:"] == 1
    with guarded.replica.client() as asked:
        assert asked.info("replication")["role"] == "master"


def test_sentinels_down(guarded: Guarded) -> None:
    """One Sentinel is enough; without any the last known primary is probed, and degraded."""
    with target(guarded.settings()) as subject:
        subject.ask()
        guarded.sentinels[0].kill()
        one = subject.ask()
        guarded.sentinels[1].kill()
        none = subject.ask()
    with target(guarded.settings()) as new:
        never = new.ask()

    assert one.status is Status.HEALTHY
    assert (none.status, none.problems) == (Status.DEGRADED, ("sentinel",))
    assert (never.status, never.reason) == (Status.UNHEALTHY, Reason.REFUSED)


def test_sentinel_frozen(guarded: Guarded) -> None:
    """A Sentinel that hangs leaves time for the next one, and for the primary where it is the last."""
    with target(guarded.settings()) as subject:
        subject.ask()
        guarded.sentinels[0].freeze()
        one = [subject.ask(2.0).status for _ in range(2)]
        guarded.sentinels[1].freeze()
        none = subject.ask(2.0)
        for sentinel in guarded.sentinels:
            sentinel.thaw()

    assert one == [Status.HEALTHY] * 2
    assert (none.status, none.problems) == (Status.DEGRADED, ("sentinel",))


@pytest.mark.parametrize(
    ("options", "reason", "cause"),
    [
        ({"url": Secret("redis://other/0")}, Reason.OTHER, "knows no primary of the name 'other'"),
        ({"sentinel_password": Secret("hunter2")}, Reason.AUTH, ""),
        ({"sentinel_password": None}, Reason.AUTH, ""),
    ],
)
def test_sentinel_refuses(guarded: Guarded, options: dict[str, Any], reason: Reason, cause: str) -> None:
    """A name that no Sentinel knows and a wrong password are distinguished."""
    settings = guarded.settings()
    changed = RedisTarget(**{name: getattr(settings, name) for name in settings.__struct_fields__} | options)
    with target(changed) as subject:
        result = subject.ask()

    assert result.reason is reason
    assert cause in result.cause
    assert "hunter2" not in result.cause


HALF = 8192
"""Slots 0 to 8191 are the first node's, the others the second's: `a` has slot 15495, `b` 3300."""


@pytest.fixture(scope="module")
def cluster(session_servers: ServerFactory) -> tuple[Redis, Redis]:
    """Return a cluster of two nodes with the stream `a` and the list `b`."""
    nodes = []
    for _ in range(2):
        bus = free_port()
        settings = {"cluster-enabled": "yes", "cluster-port": str(bus), "cluster-require-full-coverage": "no"}
        nodes.append(session_servers.start(Redis, binary=find("valkey-server"), settings=settings))
    first, second = nodes
    with first.client() as one, second.client() as two:
        one.execute_command("CLUSTER ADDSLOTSRANGE", 0, HALF - 1)
        two.execute_command("CLUSTER ADDSLOTSRANGE", HALF, 16383)
        one.execute_command("CLUSTER MEET", second.host, second.port, second._settings["cluster-port"])
        poll_until(lambda: len(one.execute_command("CLUSTER SLOTS")) == len(two.execute_command("CLUSTER SLOTS")) == 2)
        poll_until(lambda: all(node.execute_command("CLUSTER INFO")["cluster_state"] == "ok" for node in (one, two)))
        two.xadd("a", {"a": 1}, id="1767225600500-3")
        two.xgroup_create("a", "workers", id="0")
        one.rpush("b", "1", "2")
    return first, second


@pytest.mark.parametrize("seed", [0, 1])
def test_cluster(cluster: tuple[Redis, Redis], seed: int) -> None:
    """Each queue is asked of the node that holds it, whichever node the URL names."""
    with target(redis(cluster[seed].url, queues=("a", "b", "c"))) as subject:
        results = [subject.ask() for _ in range(2)]

    assert [result.status for result in results] == [Status.HEALTHY] * 2
    for result in results:
        assert {name: value for name, value in gauges(result).items() if name.startswith("queue")} == {
            "queue_length:a:workers": 1,
            "queue_lag:a:workers": 1,
            "queue_pending:a:workers": 0,
            "queue_oldest_timestamp_seconds:a:workers": 1767225600.5,
            "queue_length:b:": 2,
            "queue_length:c:": 0,
        }


def test_key_on_its_way(cluster: tuple[Redis, Redis]) -> None:
    """A key that moves to another node is asked of the node that it moves to."""
    first, second = cluster
    slot = 12182  # of `foo`
    with first.client() as one, second.client() as two, target(redis(first.url, queues=("foo",))) as subject:
        one_id, two_id = (node.execute_command("CLUSTER MYID") for node in (one, two))
        two.rpush("foo", "1", "2", "3")
        subject.ask()
        one.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", two_id)
        two.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", one_id)
        two.execute_command("MIGRATE", first.host, first.port, "foo", 0, 10_000)
        moving = subject.ask()
        for node in (two, one):
            node.execute_command("CLUSTER SETSLOT", slot, "STABLE")

    assert gauges(moving)["queue_length:foo:"] == 3


def test_node_of_a_cluster_is_down(cluster: tuple[Redis, Redis]) -> None:
    """Where the node of a queue does not answer that queue has no length; the others do, and the component is up."""
    first, second = cluster
    with target(redis(first.url, queues=("a", "b"))) as subject:
        subject.ask()
        second.stop()
        down = subject.ask()
        second.start()
        up = poll_until(lambda: (found := subject.ask()).status is Status.HEALTHY and found)

    assert (down.status, down.problems) == (Status.DEGRADED, ("queue",))
    assert f"queue 'a' has no length: its node {second.address}" in down.cause
    assert gauges(down)["queue_length:b:"] == 2
    assert up.cause == ""
