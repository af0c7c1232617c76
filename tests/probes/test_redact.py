"""Secrets stay out of causes."""

import pytest

from exporter.probes.minio import MinioTarget
from exporter.probes.postgresql import PostgresqlTarget
from exporter.probes.redact import Redactor
from exporter.probes.redis import RedisTarget
from exporter.sections import Secret


@pytest.mark.parametrize(
    ("dsn", "cause"),
    [
        ("postgresql://app:hunter2@db/x", "hunter2"),
        ("postgresql://app:p%40ss@db/x", "p@ss"),
        ("postgresql://app:p%40ss@db/x", "p%40ss"),
        ("postgresql://db/x?user=app&password=hunter2", "hunter2"),
        ("host=db user=app password=hunter2", "hunter2"),
        ("host=db password='two words' user=app", "two words"),
    ],
)
def test_password_in_dsn(dsn: str, cause: str) -> None:
    """A password inside a DSN is hidden, as it is written and as it is meant."""
    redact = Redactor(PostgresqlTarget(name="main", dsn=Secret(dsn)))

    assert redact(f"no login with {cause}, sorry") == "no login with ********, sorry"


def test_password_of_its_own() -> None:
    """A password beside the URL is hidden."""
    redact = Redactor(RedisTarget(name="main", url=Secret("redis://cache/0"), password=Secret("hunter2")))

    assert redact("hunter2 is wrong at cache") == "******** is wrong at cache"


def test_keys() -> None:
    """Both keys of a store are hidden."""
    settings = MinioTarget(name="main", endpoint="s3:9000", access_key=Secret("AKIA1"), secret_key=Secret("shhh"))

    assert Redactor(settings)("key AKIA1 with shhh") == "key ******** with ********"


def test_user_info_of_any_url() -> None:
    """The user-info of a URL is hidden whoever's it is."""
    redact = Redactor(RedisTarget(name="main", url=Secret("redis://cache/0")))

    assert redact("moved to redis://u:p@other/0") == "moved to redis://********@other/0"


def test_other_text() -> None:
    """A text without secrets stays as it is."""
    redact = Redactor(PostgresqlTarget(name="main", dsn=Secret("postgresql://app:hunter2@db/x")))

    assert redact('database "x" does not exist') == 'database "x" does not exist'
