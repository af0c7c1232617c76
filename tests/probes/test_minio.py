"""The probe of MinIO and other S3 stores, against real servers."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest
from minio import MinioAdmin
from minio.credentials.providers import StaticProvider

from exporter.probes.base import Reason, Status
from exporter.sections import Secret
from tests.probes.probing import SHORT_SECONDS, TIMEOUT_SECONDS, Subject, direct, gauges, gives_up, minio, target
from tests.servers import ServerFactory, TcpProxy
from tools.stack.process import Command, poll_until
from tools.stack.servers import Minio

Starter = Callable[..., Minio]

_numbers = count(1)


class PrivateMinio(Minio):
    """A MinIO that shows its metrics only with a token, which is its default."""

    def command(self) -> Command:
        command = super().command()
        environment = {**command.environment, "MINIO_PROMETHEUS_AUTH_TYPE": "jwt"}
        return Command(command.argv, environment, folder=command.folder)


@pytest.fixture
def bucket(minio_server: Minio) -> Iterator[str]:
    """Return a bucket of the session's server."""
    name = f"probe-{next(_numbers)}"
    minio_server.client().make_bucket(bucket_name=name)
    yield name
    minio_server.client().remove_bucket(bucket_name=name)


def user_of(server: Minio, policy: str) -> dict[str, Secret]:
    """Return the keys of a new user with a built-in policy."""
    admin = MinioAdmin(
        endpoint=server.address, credentials=StaticProvider(server.access_key, server.secret_key), secure=False
    )
    name = f"user-{next(_numbers)}"
    admin.user_add(name, "ordinary-secret")
    admin.attach_policy([policy], user=name)
    return {"access_key": Secret(name), "secret_key": Secret("ordinary-secret")}


@pytest.fixture
def proxy(minio_server: Minio, tcp_proxy: Callable[[str, int], TcpProxy]) -> TcpProxy:
    """Return a cable to the session's server."""
    return tcp_proxy(minio_server.host, minio_server.port)


@pytest.fixture
def cabled(minio_server: Minio, proxy: TcpProxy) -> Iterator[Subject]:
    """Return the session's server behind that cable, asked once."""
    with target(minio(minio_server, endpoint=proxy.address)) as subject:
        assert subject.ask().status is Status.HEALTHY
        yield subject


def test_healthy(minio_server: Minio, bucket: str) -> None:
    """A healthy store shows its drives and shows the named bucket."""
    with target(minio(minio_server, buckets=(bucket,))) as subject:
        result = subject.ask()

        assert result.status is Status.HEALTHY
        assert gauges(result) == {
            f"minio_bucket_up:{bucket}": 1,
            "minio_drives_online": 4,
            "minio_drives_offline": 0,
        }


def test_bucket_missing(minio_server: Minio, bucket: str) -> None:
    """A named bucket that is not there is degraded, and the others are still shown."""
    with target(minio(minio_server, buckets=(bucket, "nowhere"))) as subject:
        result = subject.ask()

        assert (result.status, result.cause) == (Status.DEGRADED, "bucket 'nowhere' does not exist")
        assert result.problems == ("bucket",)
        assert gauges(result)["minio_bucket_up:nowhere"] == 0
        assert gauges(result)[f"minio_bucket_up:{bucket}"] == 1


def test_bucket_appears(minio_server: Minio) -> None:
    """A bucket made after the first check is seen, and its removal too."""
    client = minio_server.client()
    with target(minio(minio_server, buckets=("late",))) as subject:
        found = [subject.ask().status]
        client.make_bucket(bucket_name="late")
        found.append(subject.ask().status)
        client.remove_bucket(bucket_name="late")
        found.append(subject.ask().status)

    assert found == [Status.DEGRADED, Status.HEALTHY, Status.DEGRADED]


@pytest.mark.parametrize("buckets", [(), ("artifacts",)])
@pytest.mark.parametrize("keys", [{"secret_key": Secret("hunter22")}, {"access_key": Secret("nobody")}])
def test_wrong_keys(minio_server: Minio, buckets: tuple[str, ...], keys: dict[str, Secret]) -> None:
    """A wrong secret or unknown key is auth, with buckets named or without."""
    with target(minio(minio_server, buckets=buckets, **keys)) as subject:
        result = subject.ask()

        assert (result.status, result.reason) == (Status.UNHEALTHY, Reason.AUTH)


def test_wrong_secret_and_region(minio_server: Minio, bucket: str) -> None:
    """A wrong secret is auth also where the only answer to it has no body."""
    settings = minio(minio_server, buckets=(bucket,), region="us-east-1", secret_key=Secret("hunter22"))
    with target(settings) as subject:
        assert subject.ask().reason is Reason.AUTH


@pytest.mark.parametrize("region", [None, "us-east-1"])
def test_denied_bucket(minio_server: Minio, bucket: str, region: str | None) -> None:
    """Right keys without a right to the bucket are degraded, and the cause names the right."""
    settings = minio(minio_server, buckets=(bucket,), region=region, **user_of(minio_server, "writeonly"))
    with target(settings) as subject:
        result = subject.ask()

        assert result.status is Status.DEGRADED
        assert result.cause == (
            f"bucket '{bucket}' is denied to these keys; expected s3:ListBucket and s3:GetBucketLocation"
        )


def test_ordinary_key(minio_server: Minio, bucket: str) -> None:
    """Keys without admin rights learn the drives from public metrics."""
    with target(minio(minio_server, buckets=(bucket,), **user_of(minio_server, "readwrite"))) as subject:
        result = subject.ask()

        assert result.status is Status.HEALTHY
        assert {"minio_drives_online", "minio_drives_offline"} < set(gauges(result))


def test_ordinary_key_without_metrics(servers: ServerFactory) -> None:
    """Where neither the keys nor the metrics show the drives, their gauges are left out and the store is healthy."""
    server = servers.start(PrivateMinio, flavour="minio")
    with target(minio(server, **user_of(server, "readwrite"))) as subject:
        result = subject.ask()

        assert (result.status, result.gauges) == (Status.HEALTHY, ())


def test_drives_taken_away(start_minio: Starter) -> None:
    """With one of four drives gone the store is degraded; with two it cannot write and is down, and says why."""
    server = start_minio()
    with target(minio(server)) as subject:
        server.take_drive_away(4)
        degraded = poll_until(lambda: (found := subject.ask()).cause and found)
        server.take_drive_away(3)
        down = poll_until(lambda: (found := subject.ask()).reason and found)

        assert (degraded.status, degraded.cause) == (Status.DEGRADED, "1 of 4 drives are offline")
        assert degraded.problems == ("drives",)
        assert gauges(degraded) == {"minio_drives_online": 3, "minio_drives_offline": 1}
        assert (down.status, down.reason) == (Status.UNHEALTHY, Reason.REFUSED)
        assert down.cause == "no write quorum; reads are still served; 2 of 4 drives are offline"
        assert gauges(down) == {"minio_drives_online": 2, "minio_drives_offline": 2}


def test_stopped_frozen_started(start_minio: Starter) -> None:
    """A frozen store is a timeout, a stopped one is refused, and once it runs it is healthy."""
    server = start_minio()
    with direct(minio(server)) as probe, target(minio(server)) as subject:
        probe.check(TIMEOUT_SECONDS)
        server.freeze()
        frozen = [gives_up(probe) for _ in range(3)]
        server.thaw()
        server.stop()
        assert poll_until(lambda: subject.ask().reason is Reason.REFUSED)  # on a busy machine later than its timeout
        server.start()

        assert frozen == [True] * 3
        assert poll_until(lambda: subject.ask().status is Status.HEALTHY)


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


def test_one_connection(cabled: Subject, proxy: TcpProxy) -> None:
    """Any number of checks use one connection."""
    for _ in range(5):
        cabled.ask()

    assert (proxy.accepted, proxy.connections) == (1, 1)


def test_no_tls(minio_server: Minio) -> None:
    """A store that does not speak TLS is tls."""
    with target(minio(minio_server, secure=True)) as subject:
        assert subject.ask().reason is Reason.TLS


def test_no_such_host(minio_server: Minio) -> None:
    """A name that does not exist is dns."""
    with target(minio(minio_server, endpoint="nowhere.invalid:9000")) as subject:
        assert subject.ask().reason is Reason.DNS


def test_other_store(moto_server: Minio) -> None:
    """A store without MinIO's health paths is probed only by signed requests."""
    with target(minio(moto_server)) as subject:
        found = [subject.ask() for _ in range(2)]

        assert [(result.status, result.gauges) for result in found] == [(Status.HEALTHY, ())] * 2


def test_other_store_buckets(moto_server: Minio) -> None:
    """The named buckets are looked for in any store."""
    moto_server.client().make_bucket(bucket_name="artifacts")
    with target(minio(moto_server, buckets=("artifacts", "nowhere"))) as subject:
        result = subject.ask()

        assert result.status is Status.DEGRADED
        assert gauges(result) == {"minio_bucket_up:artifacts": 1, "minio_bucket_up:nowhere": 0}
