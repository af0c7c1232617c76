"""Alertmanager, the exporter and PostgreSQL, all real; PostgreSQL is away when alerts come."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from exporter.database import schema
from tests.servers import Database, PrometheusBinaries
from tools.stack.process import poll_until
from tools.stack.servers import Alertmanager, Postgres
from tools.testing.exporter import Exporter, exporting, value

ROUTES = """
route:
  receiver: history
  group_by: [alertname]
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 1h
receivers:
  - name: history
    webhook_configs:
      - url: {url}/api/v1/alerts/notifications
        send_resolved: true
        http_config: {{authorization: {{credentials_file: {token}}}}}
"""


@pytest.fixture
def own_postgres(start_postgres: Callable[..., Postgres]) -> Postgres:
    """Return a PostgreSQL of this test's own, with the schema."""
    server = start_postgres()
    with server.connect() as connection:
        schema.apply(connection)
    return server


@pytest.fixture
def enter() -> Iterator[ExitStack]:
    """Return a stack of what ends with the test."""
    with ExitStack() as stack:
        yield stack


def configure(folder: Path, server: Postgres | Database, *, spool: bool) -> str:
    (folder / "token").write_text("hunter2-of-alerts\n")
    return f"""
database: {{dsn: "{server.dsn}", poll_interval_seconds: 0.5}}
alerts: {{token_file: token{", spool_folder: spool" if spool else ""}}}
"""


def alertmanager_to(
    start: Callable[..., Alertmanager], folder: Path, *exporters: Exporter, binaries: PrometheusBinaries | None = None
) -> Alertmanager:
    config = ROUTES.format(url=exporters[0].base, token=folder / "token")
    return start(config, **({"binary": binaries.alertmanager} if binaries else {}))


def fire(server: Alertmanager, *names: str, resolved: bool = False) -> None:
    now = datetime.now(UTC)
    ends = now if resolved else now + timedelta(minutes=10)
    alerts = [
        {"labels": {"alertname": name, "severity": "critical"}, "startsAt": now.isoformat(),
         "endsAt": ends.isoformat()} for name in names
    ]  # fmt: skip
    requests.post(f"{server.url}/api/v2/alerts", json=alerts, timeout=60).raise_for_status()


def stored(server: Postgres | Database) -> set[tuple[Any, ...]]:
    query = "SELECT labels->>'alertname', status FROM monitoring.alert_notification"
    try:
        with server.connect() as connection:
            return set(connection.execute(query).fetchall())
    except psycopg.OperationalError:
        return set()


def counted(exporter: Exporter, status: str) -> float | None:
    return value(exporter.metrics(), "platform_alert_notifications_total", status=status)


@pytest.mark.parametrize("spool", [True, False])
def test_notifications_become_history(
    store: Database,
    start_alertmanager: Callable[..., Alertmanager],
    prometheus_binaries: PrometheusBinaries,
    enter: ExitStack,
    tmp_path: Path,
    spool: bool,
) -> None:
    """Of Alertmanagers of both generations, by way of the disk or at once."""
    exporter = enter.enter_context(exporting(tmp_path, configure(tmp_path, store, spool=spool)))
    server = alertmanager_to(start_alertmanager, tmp_path, exporter, binaries=prometheus_binaries)
    fire(server, "A", "B")
    poll_until(lambda: stored(store) == {("A", "firing"), ("B", "firing")})
    fire(server, "A", resolved=True)
    poll_until(lambda: ("A", "resolved") in stored(store))
    poll_until(lambda: counted(exporter, "resolved") == 1)

    poll_until(lambda: counted(exporter, "firing") == 2)
    assert value(exporter.metrics(), "platform_alert_time_to_resolve_seconds_count", alertname="A") == 1
    assert "hunter2-of-alerts" not in exporter.log


def test_nothing_is_lost_while_postgresql_is_away(
    own_postgres: Postgres, start_alertmanager: Callable[..., Alertmanager], enter: ExitStack, tmp_path: Path
) -> None:
    """Firings, ends and firings again come in an outage in which the exporter is killed too; each is stored once."""
    configuration = configure(tmp_path, own_postgres, spool=True)
    with exporting(tmp_path, configuration) as first:
        server = alertmanager_to(start_alertmanager, tmp_path, first)
        fire(server, "Before")
        poll_until(lambda: stored(own_postgres) == {("Before", "firing")})
        own_postgres.stop()
        fire(server, "During", "Flapping")
        poll_until(lambda: waiting(tmp_path) == 2)
        fire(server, "Flapping", resolved=True)
        poll_until(lambda: waiting(tmp_path) == 3)
        fire(server, "Flapping")
        poll_until(lambda: waiting(tmp_path) == 4)
        poll_until(lambda: value(first.metrics(), "platform_alert_spooled_posts") == 4)
        # Killed by the end of this block: what waits is for the next one.
    second = enter.enter_context(exporting(tmp_path, configuration, ready=False))
    own_postgres.start()
    poll_until(lambda: waiting(tmp_path) == 0)
    poll_until(lambda: counted(second, "firing") == 4)

    with own_postgres.connect() as connection:
        rows = connection.execute(
            "SELECT labels->>'alertname', status, count(*) FROM monitoring.alert_notification "
            "GROUP BY 1, 2 ORDER BY 1, 2"
        ).fetchall()
    assert rows == [
        ("Before", "firing", 1), ("During", "firing", 1), ("Flapping", "firing", 2), ("Flapping", "resolved", 1)
    ]  # fmt: skip
    assert counted(second, "resolved") == 1
    assert value(second.metrics(), "platform_alert_flaps_total", alertname="Flapping") == 1
    assert value(second.metrics(), "platform_alert_spooled_posts") == 0


def test_without_a_spool_alertmanager_sends_again(
    own_postgres: Postgres, start_alertmanager: Callable[..., Alertmanager], enter: ExitStack, tmp_path: Path
) -> None:
    """What fires and what ended while the event store was away arrives when it is back."""
    exporter = enter.enter_context(exporting(tmp_path, configure(tmp_path, own_postgres, spool=False)))
    server = alertmanager_to(start_alertmanager, tmp_path, exporter)
    fire(server, "Ended")
    poll_until(lambda: stored(own_postgres) == {("Ended", "firing")})
    own_postgres.stop()
    fire(server, "Ended", resolved=True)
    fire(server, "During")
    poll_until(lambda: exporter.log.count("Alertmanager will send it again") >= 2)
    own_postgres.start()
    expected = {("Ended", "firing"), ("Ended", "resolved"), ("During", "firing")}
    poll_until(lambda: stored(own_postgres) == expected)

    poll_until(lambda: counted(exporter, "firing") == 2)
    assert counted(exporter, "resolved") == 1


def test_replicas_and_a_cluster_write_one_row(
    store: Database, start_alertmanager: Callable[..., Alertmanager], enter: ExitStack, tmp_path: Path
) -> None:
    """Two Alertmanagers that do not know each other post to two exporters, which show the same counts."""
    replicas = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        configuration = configure(folder, store, spool=True)
        replicas.append(enter.enter_context(exporting(folder, configuration)))
    servers = [alertmanager_to(start_alertmanager, tmp_path / "one", replica) for replica in replicas]
    began = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    alerts = [{"labels": {"alertname": "A", "severity": "low"}, "startsAt": began}]
    for server in servers:
        requests.post(f"{server.url}/api/v2/alerts", json=alerts, timeout=60).raise_for_status()
    poll_until(lambda: {value(one.metrics(), "platform_alert_repeats_total") for one in replicas} == {1.0})

    assert [counted(one, "firing") for one in replicas] == [1, 1]
    with store.connect() as connection:
        assert connection.execute("SELECT repeats FROM monitoring.alert_notification").fetchall() == [(1,)]


def waiting(folder: Path) -> int:
    return len(list((folder / "spool").glob("*.post")))


def test_a_reload_takes_a_new_token(store: Database, enter: ExitStack, tmp_path: Path) -> None:
    """The secret's file is read again, and the counts stay in sight."""
    exporter = enter.enter_context(exporting(tmp_path, configure(tmp_path, store, spool=True)))
    (tmp_path / "token").write_text("another")
    url = f"{exporter.base}/api/v1/alerts/notifications"

    def status(token: str) -> int:
        return requests.post(url, json={}, headers={"Authorization": f"Bearer {token}"}, timeout=60).status_code

    assert (status("hunter2-of-alerts"), status("another")) == (400, 401)
    exporter.reload()
    assert (status("hunter2-of-alerts"), status("another")) == (401, 400)
