"""Until when the certificates of components are valid, seen through TLS in front of real servers."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exporter.probes import certificate
from exporter.probes.base import Status
from exporter.probes.certificate import CertificateWatch, Peer
from exporter.probes.minio import MinioTarget
from exporter.probes.postgresql import PostgresqlTarget
from exporter.probes.redis import RedisTarget
from tests.probes.probing import Subject, gauges, minio, postgresql, redis, target
from tests.probes.tls_front import TlsFront, tls_front
from tools.stack.process import poll_until
from tools.stack.servers import Minio, Postgres, Redis

GAUGE = "component_certificate_expiry_timestamp_seconds"
SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
LATER = SOON + timedelta(days=90)


def settings_for(
    kind: str, front: TlsFront, servers: dict[str, Postgres | Redis | Minio], ca_file: str
) -> PostgresqlTarget | RedisTarget | MinioTarget:
    """Return the settings of a probe that goes through the front."""
    if kind == "postgresql":
        return postgresql(f"postgresql://postgres@127.0.0.1:{front.port}/postgres?sslmode=require")
    if kind == "redis":
        return redis(f"rediss://127.0.0.1:{front.port}/0?ssl_ca_certs={ca_file}")
    store = servers["minio"]
    assert isinstance(store, Minio)
    return minio(store, endpoint=f"127.0.0.1:{front.port}", secure=True, ca_file=ca_file)


@pytest.fixture(params=["postgresql", "redis", "minio"])
def front_and_target(
    request: pytest.FixtureRequest, postgres: Postgres, redis_server: Redis, moto_server: Minio, tmp_path: Path
) -> Iterator[tuple[TlsFront, Subject]]:
    """Return a front that shows a certificate that expires soon, and the probe that goes through it."""
    servers: dict[str, Postgres | Redis | Minio] = {
        "postgresql": postgres, "redis": redis_server, "minio": moto_server,
    }  # fmt: skip
    server = servers[request.param]
    with ExitStack() as stack:
        front = stack.enter_context(tls_front(server.host, server.port))
        front.show(SOON)
        ca_file = tmp_path / "ca.pem"
        front.authority.cert_pem.write_to_path(str(ca_file))
        yield front, stack.enter_context(target(settings_for(request.param, front, servers, str(ca_file))))


def seen(subject: Subject) -> float | None:
    """Ask once, and return what the probe says of the certificate."""
    result = subject.ask()
    assert result.status is Status.HEALTHY, result.cause
    return gauges(result).get(GAUGE)


def test_expiry_is_seen(front_and_target: tuple[TlsFront, Subject]) -> None:
    """A component that is reached by TLS shows when its certificate expires, from the second scrape on."""
    _, subject = front_and_target

    assert poll_until(lambda: seen(subject)) == SOON.timestamp()


def test_renewal_is_seen_behind_a_kept_connection(
    front_and_target: tuple[TlsFront, Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate renewed while the probe keeps its connection is seen at the next look."""
    monkeypatch.setattr(certificate, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(certificate, "AGAIN_SECONDS", 0.0)  # a look may come while the front changes its certificate
    front, subject = front_and_target
    poll_until(lambda: seen(subject))
    front.show(LATER)

    assert poll_until(lambda: seen(subject) == LATER.timestamp())


def test_one_look_an_hour() -> None:
    """However often a component is scraped, its certificate is looked at once."""
    looks: list[Peer] = []

    def look(peer: Peer) -> float:
        looks.append(peer)
        return 7.0

    watch, peer = CertificateWatch(look), Peer("a", 1, "a")
    poll_until(lambda: watch.gauges(peer))

    assert [gauge.value for _ in range(50) for gauge in watch.gauges(peer)] == [7.0] * 50
    assert looks == [peer]


def test_no_certificate_without_tls(postgres: Postgres, redis_server: Redis, moto_server: Minio) -> None:
    """A component that is reached in the clear has none to tell."""
    for settings in (postgresql(postgres.dsn), redis(redis_server.url), minio(moto_server)):
        with target(settings) as subject:
            assert [seen(subject) for _ in range(2)] == [None, None]


def test_a_look_that_hangs_holds_up_nothing() -> None:
    """A server that accepts and says nothing costs no time, and gets no second connection meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        watch = CertificateWatch()
        peer = Peer("127.0.0.1", silent.getsockname()[1], "localhost")

        assert [watch.gauges(peer) for _ in range(50)] == [()] * 50
        silent.accept()[0].close()
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_a_failed_look_keeps_what_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a later look fails the last expiry stays; another peer has none yet."""
    monkeypatch.setattr(certificate, "EVERY_SECONDS", 0.0)
    looks: list[Peer] = []

    def look(peer: Peer) -> float:
        looks.append(peer)
        if len(looks) > 1:
            raise OSError
        return 7.0

    watch, peer = CertificateWatch(look), Peer("a", 1, "a")
    poll_until(lambda: watch.gauges(peer) and len(looks) > 1)

    assert [gauge.value for gauge in watch.gauges(peer)] == [7.0]
    assert watch.gauges(Peer("b", 1, "b")) == ()
