"""`service=` names a server in libpq's service file: it is found and named, whatever PGHOST says."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import platform_sdk
from exporter.__main__ import main
from exporter.config.settings import Database as Settings
from exporter.sections import Secret
from platform_sdk import client, emit
from tests.servers import Database


@pytest.fixture
def service(store_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the DSN of an event store that only the service file knows; the environment names another server."""
    server = store_database.server
    file = tmp_path / "pg_service.conf"
    file.write_text(
        "# services\n[other]\nhost=nowhere.invalid\n\n[shop]\nhost=127.0.0.1\n"
        f"port={server.port}\ndbname={store_database.name}\nuser=postgres\n"
    )
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    monkeypatch.setenv("PGHOST", "nowhere.invalid")
    monkeypatch.setenv("PGPORT", "1")
    return "service=shop"


def test_exporter_and_probe_find_it(service: str, tmp_path: Path, store_database: Database) -> None:
    """And say which server it is."""
    config = tmp_path / "platform-exporter.yml"
    probes = {"postgresql": [{"name": "main", "dsn": service}]}
    config.write_text(json.dumps({"database": {"dsn": service}, "probes": probes, "listen": "127.0.0.1:1"}))
    printed = CliRunner().invoke(main, ["doctor", "--config", str(config)]).stdout

    place = f"database {store_database.name} at 127.0.0.1:{store_database.server.port} as postgres"
    assert f"{place} answers" in printed
    assert [line.split()[0] for line in printed.splitlines() if "postgresql main" in line] == ["ok"]


def test_the_sdk_finds_it(service: str, store_database: Database) -> None:
    """It looks up the addresses of hosts itself, and must not look up that of PGHOST."""
    assert platform_sdk.init(dsn=service, app="shop")
    try:
        emit.request_finished("/", "GET", 200, 0.05)
        assert platform_sdk.flush(60)
    finally:
        client.close(5.0)

    assert store_database.execute("SELECT count(*) FROM monitoring.http_request") == [(1,)]


def test_the_place_is_what_libpq_makes_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The DSN first, then the environment; a service whose file is not found by its name."""
    monkeypatch.setenv("PGSERVICEFILE", "/nowhere")
    monkeypatch.setenv("PGHOST", "db.example")
    monkeypatch.setenv("PGDATABASE", "events")
    place = {dsn: Settings(dsn=Secret(dsn)).place for dsn in ("service=x", "user=u", "host=h dbname=d port=7 user=u")}

    assert place == {
        "service=x": "service x",
        "user=u": "database events at db.example:5432 as u",
        "host=h dbname=d port=7 user=u": "database d at h:7 as u",
    }
