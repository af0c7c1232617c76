"""The SDK writes into a store of any encoding: what its letters lack becomes a question mark, and no event is lost."""

import pytest

import platform_sdk
from platform_sdk import client, emit
from tests.sdk.events import Store, difference
from tests.servers import Database

TEXT = "Grün € 日本 🙂"
STORED = {
    "UTF8": TEXT,
    "SQL_ASCII": TEXT,
    "LATIN1": "Grün ? ?? ?",
    "LATIN9": "Grün € ?? ?",
    "WIN1252": "Grün € ?? ?",
    "EUC_JP": "Grün ? 日本 ?",
}


@pytest.fixture
def sdk_store(encoded: Database) -> Store:
    """Return the store as tests of the SDK read it."""
    return Store(encoded)


def stored(store: Store, columns: str, kind: str) -> list[tuple[object, ...]]:
    with store.database.connect(client_encoding="UTF8") as connection:
        return connection.execute(f"SELECT {columns} FROM monitoring.{kind}".encode()).fetchall()


def test_every_event_is_stored(sdk_store: Store, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts, JSON, live jobs and the ledger; and no batch waits behind one."""
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    assert platform_sdk.init(dsn=sdk_store.dsn, app="Größe €🙂")
    try:
        emit.request_finished(f"/{TEXT}", "GET", 200, 0.05, 1, TEXT, "r", "s", "203.0.113.9", TEXT)
        emit.error_message(TEXT, endpoint=TEXT, context={TEXT: TEXT})
        with platform_sdk.scraping_job(TEXT, site=TEXT):
            emit.request_finished("/", "GET", 200, 0.05)
        assert platform_sdk.flush(60)
        stats = platform_sdk.stats()
    finally:
        client.close(5.0)

    word = STORED[encoding]
    assert (difference(stats), stats["dropped"]) == (0, {})
    assert ("/" + word, word, word) in stored(sdk_store, "route, user_id, user_agent", "http_request")
    assert stored(sdk_store, "message, context->>'" + word + "'", "error") == [(word, word)]
    assert stored(sdk_store, "scraper, site, status", "scraping_job") == [(word, word, "completed")]


@pytest.mark.parametrize("encoding", ["EUC_JP"], indirect=True)
def test_a_letter_that_only_python_knows_in_an_encoding(sdk_store: Store) -> None:
    """PostgreSQL's tables of Japanese lack a few signs that Python's have: that row is stored in ASCII."""
    assert platform_sdk.init(dsn=sdk_store.dsn, app="shop")
    try:
        for route in ("/日本", "/〜 日本", "/¥N", "/本"):
            emit.request_finished(route, "GET", 200, 0.05)
        assert platform_sdk.flush(60)
        stats = platform_sdk.stats()
    finally:
        client.close(5.0)

    assert (difference(stats), stats["dropped"]) == (0, {})
    assert {row[0] for row in stored(sdk_store, "route", "http_request")} == {"/日本", "/? ??", "/?N", "/本"}
