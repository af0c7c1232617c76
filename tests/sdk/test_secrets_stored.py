"""No secret gets into any column, however it came: what is stored is searched as a whole."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import platform_sdk
from platform_sdk import diagnostics, emit
from platform_sdk.events import EVENTS
from tests.sdk.events import Store, difference
from tests.servers import poll_until

Start = Callable[..., None]

SECRET = "hunter2hunter2"
HEADERS = {"Authorization": f"Bearer {SECRET}", "Cookie": f"sessionid={SECRET}", "X-Api-Key": SECRET, "Accept": "*/*"}


def connect() -> None:
    password = f"{SECRET}-local"
    try:
        raise ConnectionError("postgresql://shop:hunter2hunter2@db/shop refused") from ValueError(password and "x")
    except ConnectionError as error:
        raise RuntimeError("login failed: password=hunter2hunter2, user=ann") from error


def emit_everything() -> None:
    try:
        connect()
    except RuntimeError as error:
        platform_sdk.log_error(
            error, context={"headers": HEADERS, "list": [{"token": SECRET}], "url": f"http://a:{SECRET}@b/"}
        )
    group = ExceptionGroup("both", [ValueError(f"api_key={SECRET}"), OSError(f"https://x.org/?access_token={SECRET}")])
    platform_sdk.log_error(group)
    platform_sdk.log_error("Refused", f"Authorization: Basic {SECRET}", stack_trace=f"at login.js:1 secret={SECRET}")
    emit.api_call("a", f"https://me:{SECRET}@a.org/v1?api_key={SECRET}&q=1", "failure", 0.1, query=None)
    emit.api_call("a", "/v1", "success", 0.1, query={"q": "1", "client_secret": SECRET, "deep": {"password": SECRET}})
    emit.request_finished("/x", "GET", 200, 0.1, user_agent=f"bot/1.0 (token={SECRET})")
    platform_sdk.log_activity("login", user_id=1, session_id=SECRET, details={"form": {"pwd": SECRET}})
    platform_sdk.sample("logins", 1, "counter", password=SECRET)


def stored(store: Store) -> str:
    """Return all rows of all kinds as one text."""
    return json.dumps([store.rows("to_jsonb(t.*)", f"{kind.name} AS t") for kind in EVENTS])


def test_in_the_database(store: Store, start: Start) -> None:
    """Headers, query values, user-info of URLs, messages, stack traces with their source lines, contexts, labels."""
    start()
    emit_everything()
    assert platform_sdk.flush(60)

    text = stored(store)
    assert SECRET not in text
    assert platform_sdk.stats()["dropped"] == {}
    assert all(kept in text for kept in ("login failed", "user=ann", "/v1", "*/*", "test_secrets_stored.py"))


def test_on_disk(store: Store, start: Start, tmp_path: Path) -> None:
    """What is spooled is redacted before; only its owner may read it."""
    start(dsn="postgresql://nobody:other@127.0.0.1:1/x", connect_timeout_seconds=0.2)
    emit_everything()
    assert not platform_sdk.flush_now(1.0)

    files = [path for path in (tmp_path / "spool").rglob("*") if path.is_file()]
    assert platform_sdk.stats()["spooled"] == platform_sdk.stats()["produced"]
    assert difference() == 0
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    assert {path.stat().st_mode & 0o077 for path in files} == {0}


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://shop:{}@127.0.0.1:1/x",
        "host=127.0.0.1 password=a {}",
    ],
)
def test_in_the_log(start: Start, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, dsn: str) -> None:
    """Messages about the SDK's own problems do not contain the password of the database, however the DSN is wrong."""
    monkeypatch.setattr(diagnostics, "_last", {})  # each problem is logged once a minute
    start(dsn=dsn.format(SECRET), connect_timeout_seconds=0.2)
    emit.request_finished("/x", "GET", 200, 0.1)
    poll_until(lambda: not platform_sdk.flush(0.5) and "database: events wait" in caplog.text)

    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "dsn",
    [
        "{}",
        "postgresql://shop:{}%zz@127.0.0.1:1/x",
        "postgresql://shop:p@{}@127.0.0.1:1/x",
        "postgresql://shop:x:{}/@127.0.0.1:1/x",
        "postgresql://shop:{0}@127.0.0.1:1/x;postgresql://shop:{0}@127.0.0.1:2/x",
    ],
)
def test_in_the_log_of_a_refusal(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, dsn: str) -> None:
    """Of a DSN that can never work nothing is shown."""
    monkeypatch.setattr(diagnostics, "_last", {})

    assert not platform_sdk.init(dsn.format(SECRET), "shop")
    assert len(caplog.messages) == 1
    assert "expected postgresql://<user>@<host>:<port>/<database>" in caplog.text
    assert SECRET not in caplog.text
