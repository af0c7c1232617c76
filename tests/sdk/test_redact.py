"""Secrets are hidden wherever they stand; what is none is left alone."""

import time

import pytest

from platform_sdk.delivery.redaction import Redactor

SECRET = "s3cr3t-V4lue-0123456789"


@pytest.mark.parametrize(
    "text",
    [
        "password={}", "PASSWORD = '{}'", '{{"password": "{}"}}', "{{'db_password': '{}'}}", "api_key={}&page=2",
        "https://x.example/?key={}&q=1", "https://x.example/?a=1&access_token={}#top", "https://x.example/?sig={}",
        "postgresql://app:{}@db.example/shop", "redis://:{}@cache/0", "https://{}@github.example/x.git", "https://user:p@ss{}@github.example/",
        "host=db user=app password={} dbname=shop", "Authorization: Bearer {}", "authorization: Basic {}",
        "curl -H 'Authorization: Token {}'", "Cookie: session={}; theme=dark", "Set-Cookie: id={}; Path=/",
        "X-Api-Key: {}", "failed with Bearer {} (401)", "client_secret: {}",
        "csrf_token={}", "AWS_SECRET_ACCESS_KEY={}",
        'connect(password="{}", port=5)', "token => {}", "sessionid={}",
        "job --password {} failed", "run --db-password '{}'", "tool --api-key \"{}\" -v", "x -token {}",
        "<password>{}</password>", "<ns:secret type='a'> {} <", "<db><Password>{}</Password></db>",
        '{{"body": "{{\\"password\\": \\"{}\\", \\"a\\": 1}}"}}', '"{{\\\\\"token\\\\\": \\\\\"{}\\\\\"}}"',
        "curl -u me:{} https://x", "curl -ume:{} x", "curl --user 'me:{}' x", "curl --proxy-user=me:{} x",
        "login with pass={} failed", "pin={}", "(pass={})",
    ],
)  # fmt: skip
def test_secret_is_hidden(text: str) -> None:
    """The value goes, whatever the spelling."""
    shown = Redactor().text(text.format(SECRET))

    assert SECRET not in shown
    assert "********" in shown


@pytest.mark.parametrize(
    "secret",
    [
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "AKIAIOSFODNN7EXAMPLE",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345", "sk_live_0123456789abcdefABCDEF", "xoxb-1234567890-abcdef",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
    ],
)  # fmt: skip
def test_well_known_shapes_are_hidden(secret: str) -> None:
    """Tokens that look like what they are need no name beside them."""
    assert secret not in Redactor().text(f"it was {secret} all along")


@pytest.mark.parametrize(
    "text",
    [
        "author=Knuth&year=1968", "max_tokens=100", "KeyError: 'title'", "sort_key=name", "the password is wrong",
        "tokenizer failed at 5", "https://x.example/papers?query=cookies", "user@mail.example wrote", "no secret here",
        "<author>Knuth</author>", "the pass: 5", "--max-tokens 100", "ls --author me", "a < b and token",
    ],
)  # fmt: skip
def test_harmless_text_is_left_alone(text: str) -> None:
    """What merely resembles a secret's name stays."""
    assert Redactor().text(text) == text


def test_mappings_are_hidden_by_key() -> None:
    """Nested values under a telling key go whole; others are searched as texts."""
    value = {
        "user": "ann",
        "auth": {"login": "ann", "password": SECRET},
        "urls": [f"http://a:{SECRET}@b/"],
        "key": SECRET,
    }
    shown = Redactor().value(value)

    assert SECRET not in str(shown)
    assert shown["user"] == "ann"


def test_own_names_are_hidden() -> None:
    """Configured names count, too."""
    redactor = Redactor(["matricule"])

    assert SECRET not in redactor.text(f"matricule={SECRET}") + str(redactor.value({"Matricule": SECRET}))


@pytest.mark.parametrize("text", ["token ", "http://", "key", "a.key-"])
def test_time_grows_with_the_length(text: str) -> None:
    """A long text does not hold the interpreter: four times the length takes about four times as long, not sixteen."""
    redactor = Redactor()

    def seconds(length: int) -> float:
        long = text * (length // 20) + "x" * length
        took = []
        for _ in range(5):
            began = time.thread_time()
            redactor.text(long)
            took.append(time.thread_time() - began)
        return min(took)

    assert seconds(40_000) < 10 * seconds(10_000) + 0.005


def test_items_of_headers_are_hidden() -> None:
    """Lists of pairs, as `headers.items()` gives them, hide what a mapping would."""
    found = Redactor().value({"sent": [["Authorization", "x"], ["Accept", "y"]]})

    assert found == {"sent": [["Authorization", "********"], ["Accept", "y"]]}


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("https://me:s3cret@api.example/x", "https://********@api.example/x"),
        ("https://api.example/x@y", None),
        ("arxiv", None),
    ],
)
def test_a_label_has_no_user(text: str, label: str | None) -> None:
    """Names of APIs, sites and the like become labels, which everybody may read."""
    assert Redactor.label(text) == (label or text)
