"""A Redis of the stack."""

from collections.abc import Callable

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.servers import poll_until
from tools.stack.servers import Redis

StartRedis = Callable[..., Redis]


def test_it_starts_and_stops(start_redis: StartRedis) -> None:
    """Nothing is kept: a restart is an empty one, on the same port."""
    server = start_redis()
    with server.client() as client:
        client.set("a", "b")
        server.restart()
        assert client.get("a") is None

    server.stop()
    assert not server.alive


def test_a_frozen_one_hangs_and_goes_on(start_redis: StartRedis) -> None:
    """The kernel accepts the connection, and no one answers."""
    server = start_redis()
    server.freeze()
    with server.client(timeout_seconds=0.2) as client, pytest.raises(redis.exceptions.TimeoutError):
        client.ping()

    server.thaw()
    with server.client() as client:
        assert client.ping()


def test_a_password_is_asked_for_and_kept_from_others(start_redis: StartRedis) -> None:
    """Not in the list of processes either."""
    server = start_redis(password="sesame")

    with (
        redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0)) as client,
        pytest.raises(redis.exceptions.AuthenticationError),
    ):
        client.ping()
    assert "sesame" not in " ".join(server.command().argv)
    assert (server.state_dir / "redis.conf").stat().st_mode & 0o777 == 0o600


def test_a_replica_follows_a_primary_with_a_password(start_redis: StartRedis) -> None:
    """Keys arrive, and it calls itself a replica."""
    primary = start_redis(password="secret")
    replica = start_redis(replica_of=primary)
    with primary.client() as writer, replica.client() as reader:
        writer.set("a", "b")
        poll_until(lambda: reader.get("a") == b"b")

        assert reader.info("replication")["role"] == "slave"


def test_settings_reach_it(start_redis: StartRedis) -> None:
    """A small memory makes a full one."""
    with start_redis(settings={"maxmemory": "5mb"}).client() as client:
        assert client.info("memory")["maxmemory"] == 5 * 1024 * 1024
