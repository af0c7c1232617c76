"""A MinIO of the stack, its drives, and its stand-in."""

from collections.abc import Callable

import pytest
import requests
import urllib3
from minio.error import S3Error

from tests.servers import PATIENCE_SECONDS, poll_until
from tools.stack.errors import StackError
from tools.stack.servers import Minio
from tools.stack.servers.minio import find_store

StartMinio = Callable[..., Minio]


def _health(server: Minio) -> int:
    return requests.get(f"{server.url}/minio/health/cluster", timeout=PATIENCE_SECONDS).status_code


def test_its_keys_sign_in(minio_server: Minio) -> None:
    """And no others do; the secret is in a file that no other user can read."""
    client = minio_server.client()
    client.make_bucket("signed-in")

    assert [bucket.name for bucket in client.list_buckets()] == ["signed-in"]
    assert (minio_server.state_dir / "minio.secret").stat().st_mode & 0o777 == 0o600
    client.remove_bucket("signed-in")
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        minio_server.client(secret_key="not-the-secret").list_buckets()


def test_losing_half_of_its_drives_shows_in_its_health(start_minio: StartMinio) -> None:
    """Three drives of four still write, two do not; both come back with what they held."""
    server = start_minio()
    server.client().make_bucket("kept")
    server.take_drive_away(1)
    assert _health(server) == 200

    server.take_drive_away(2)
    poll_until(lambda: _health(server) == 503)

    server.give_drive_back(1)
    server.give_drive_back(2)
    poll_until(lambda: _health(server) == 200)
    assert server.client().bucket_exists("kept")


def test_it_keeps_its_data_over_a_restart(start_minio: StartMinio) -> None:
    """The keys as well."""
    server = start_minio(drives=1)
    server.client().make_bucket("kept")
    server.restart()

    assert server.client().bucket_exists("kept")


def test_a_frozen_one_hangs_and_goes_on(start_minio: StartMinio) -> None:
    """The kernel accepts the connection, and no one answers."""
    server = start_minio(drives=1)
    server.freeze()
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.get(f"{server.url}/minio/health/live", timeout=0.3)

    server.thaw()
    assert server.ok("/minio/health/live")


def test_a_client_of_a_dead_one_gives_up_at_once(start_minio: StartMinio) -> None:
    """The library's own default would try for minutes."""
    server = start_minio(drives=1)
    server.kill()

    with pytest.raises(urllib3.exceptions.HTTPError):
        server.client().list_buckets()


def test_the_stand_in_stores_but_has_no_drives(moto_server: Minio) -> None:
    """It says so instead of pretending."""
    moto_server.client().make_bucket("stored")

    assert moto_server.flavour == "moto"
    assert moto_server.client().bucket_exists("stored")
    assert not moto_server.ok("/minio/health/live")
    with pytest.raises(StackError, match="needs a real MinIO"):
        moto_server.take_drive_away(1)


def test_the_stand_in_is_taken_aloud(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no MinIO is to be had, a person reads that this is another."""
    monkeypatch.setenv("PLATFORM_MINIO", "/nowhere/minio")

    assert find_store()[0] == "moto"
    assert "Taking moto instead" in capsys.readouterr().err
    with pytest.raises(StackError, match="/nowhere/minio"):
        find_store("minio")
