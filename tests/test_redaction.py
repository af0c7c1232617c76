"""Secrets stay out of causes."""

import pytest

from exporter.config.settings import convert
from exporter.probes.minio import MinioTarget
from exporter.probes.postgresql import PostgresqlTarget
from exporter.probes.redis import RedisTarget
from exporter.redaction import Redactor, hide_addresses, may_be_secret
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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://h:9090/-/ready answers", "http://h:9090/-/ready answers"),
        ("http://u:p@h:9090/-/ready", "http://********@h:9090/-/ready"),
        ("(http://h/s3cret/api/v1/rules)", "(http://h/********/api/v1/rules)"),
        ("https://h/s3cret", "https://h/********"),
        ("https://h/a/b?token=s3cret#x", "https://h/********?********"),
        ("https://h?token=s3cret", "https://h?********"),
        ("http://h:9847/metrics: refused", "http://h:9847/metrics: refused"),
        ("http://[::1]:9090/x and http://i", "http://[::1]:9090/******** and http://i"),
        ("http://u:p/w@h/x", "http://********@h/********"),
        ("http://[bad/s3cret", "(not shown)"),
        ("no address", "no address"),
    ],
)
def test_an_address_shows_where_and_no_more(text: str, shown: str) -> None:
    """Host, port and what this program asks for; no user, path or query, where a secret may be."""
    assert hide_addresses(text) == shown


def test_secrets_in_sections_are_known() -> None:
    """Of whole settings those in lists, mappings and sections of sections."""
    probes = {"http": [{"name": "a", "url": "http://h/", "headers": {"X-Key": "in-a-mapping"}}]}
    config = convert({"database": {"dsn": "host=h", "password": "in-a-section"}, "probes": probes})

    assert Redactor(config)("in-a-mapping, in-a-section") == "********, ********"


@pytest.mark.parametrize("text", ["S3CRETpassw0rd", "hunter2-tOp", "http://u:p@h", "https://h/path", "password=x",
                                  "u:p@h", "0123456789abcdef", "host=h user=u"])  # fmt: skip
def test_what_may_be_a_secret(text: str) -> None:
    """A password, an address with more than its place, credentials."""
    assert may_be_secret(text)


@pytest.mark.parametrize("text", ["soon", "5m", "127.0.0.1:9847", "http://h:9090", "postgresql/main", "Europe/Berlin",
                                  "0 3 * * 0", "2026-01-31", "native", "http_error_ratio", "a b"])  # fmt: skip
def test_what_is_no_secret(text: str) -> None:
    """Words of a configuration, which errors show."""
    assert not may_be_secret(text)


def test_the_name_of_a_store_s_key_stays_where_names_are_shown() -> None:
    """It may be the user of everything else, and then a text would show none of them."""
    settings = MinioTarget(name="main", endpoint="s3:9000", access_key=Secret("platform"), secret_key=Secret("shhh"))

    assert Redactor(settings, names=False)("database platform: shhh") == "database platform: ********"


def test_a_secret_of_some_letters_garbles_no_message() -> None:
    """It would be found in every word."""
    redact = Redactor(RedisTarget(name="main", url=Secret("redis://cache/0"), password=Secret("a")))

    assert redact("a failed answer") == "a failed answer"
