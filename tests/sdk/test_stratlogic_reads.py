"""StratLogic's service answers its routes from the event store, in the shapes that they have."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from minio import Minio as MinioClient
from sqlalchemy import NullPool, create_engine
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from urllib3 import PoolManager

import platform_sdk
from platform_sdk import diagnostics
from platform_sdk.migrate.stratlogic import MonitoringService
from platform_sdk.migrate.stratlogic_health import HealthStatus
from tests.aggregation import counting
from tests.sdk.events import Store
from tests.servers import TcpProxy
from tools.stack.servers import Minio
from tools.testing.exporter import Exporter, exporting

Start = Callable[..., None]

TOKEN = "0123456789abcdef"
USER = UUID("85814a3e-e288-423c-8805-5156102bca6b")
OTHER = UUID("470c3aa8-a8c1-4ef0-8a07-afd7cbc132e2")

# Of a week of StratLogic's own tables.
RUNS = (
    ("paper", True, 562279.913, 191, 7), ("government", True, 132249.321, 57, 1), ("web", True, 347422.275, 205, 0),
    ("paper", True, 581823.46, 295, 1), ("government", False, 82839.79, 424, 15),
)  # fmt: skip
ACTIVITIES = (
    (USER, "api_call", "/api/v1/artifacts"), (OTHER, "api_call", "/api/v1/web-scraper/scrape"),
    (USER, "api_call", "/api/v1/artifacts"), (USER, "search", "/api/v1/monitoring/dashboard"), (USER, "login", None),
)  # fmt: skip
METRICS = (
    ("db_query_time", "HISTOGRAM", 14.981553022607729, "ms", {"table": "artifacts"}),
    ("queue_size", "GAUGE", 58.0, "count", None), ("artifact_bytes", "COUNTER", 3672359.0, "bytes", None),
    ("api_response_time", "HISTOGRAM", 313.1003726618311, "ms", {"endpoint": "/api/v1/jobs", "method": "GET"}),
)  # fmt: skip
ALERT = ("error", "critical", "Job failure rate above threshold", "Sample alert 3", "api", {"rate": 0.4})

NOTHING: dict[str, Any] = {
    "get_scraping_analytics": {
        "period_days": 7, "total_jobs": 0, "successful_jobs": 0, "failed_jobs": 0, "success_rate": 0,
        "average_duration_ms": 0, "total_items_processed": 0, "total_items_failed": 0, "scraper_type": "all",
    },
    "get_user_activity_analytics": {
        "period_days": 7, "total_activities": 0, "activity_types": {}, "top_endpoints": {}, "user_id": "all"
    },
    "get_system_performance_metrics": [],
    "get_active_alerts": [],
}  # fmt: skip


def answer(work: Awaitable[Any]) -> Any:
    """Return what a coroutine returns."""

    async def run() -> Any:
        return await work

    return asyncio.run(run())


def record(*work: Awaitable[Any]) -> None:
    """Record, and wait until it is stored."""
    for each in work:
        answer(each)
    assert platform_sdk.flush(60)


@pytest.fixture
def service(start: Start) -> MonitoringService:
    """Return the service of an application whose reader may read all."""
    start(app="stratlogic")
    return MonitoringService()


@pytest.fixture
def reader(store: Store) -> Callable[[str], str]:
    """Return a function that returns the DSN of a login which has just one role."""

    def of(role: str) -> str:
        login = f"{role}_login"
        store.database.execute(
            f"DO $$ BEGIN CREATE ROLE {login} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$; "
            f"GRANT {role} TO {login}"
        )
        return store.dsn.replace("postgres@", f"{login}@")

    return of


def test_scraping_analytics(store: Store, service: MonitoringService) -> None:
    """Numbers of all jobs, and of one scraper's."""
    record(*(service.record_scraping_metrics(uuid4(), *run) for run in RUNS))
    all_jobs = answer(service.get_scraping_analytics())
    paper = answer(service.get_scraping_analytics(30, "paper"))

    assert all_jobs == {
        "period_days": 7, "total_jobs": 5, "successful_jobs": 4, "failed_jobs": 1, "success_rate": 80.0,
        "average_duration_ms": round(sum(run[2] for run in RUNS) / 5, 2), "total_items_processed": 1172,
        "total_items_failed": 24, "scraper_type": "all",
    }  # fmt: skip
    assert (paper["period_days"], paper["total_jobs"], paper["scraper_type"]) == (30, 2, "paper")
    assert [type(value) for value in all_jobs.values()] == [int, int, int, int, float, float, int, int, str]


def test_only_recent_rows_of_the_own_app(store: Store, service: MonitoringService) -> None:
    """Neither another application's rows count, nor those from before the period."""
    for app, days in (("stratlogic", 1), ("stratlogic", 8), ("shop", 1)):
        store.database.execute(
            "INSERT INTO monitoring.scraping_run (at, app, scraper, outcome, duration_seconds) VALUES "
            f"(now() - interval '{days} day', '{app}', 'web', 'success', 1)"
        )

    assert answer(service.get_scraping_analytics(days=7))["total_jobs"] == 1
    assert answer(service.get_scraping_analytics(days=30))["total_jobs"] == 2


def test_user_activity_analytics(store: Store, service: MonitoringService) -> None:
    """Types and endpoints are counted, of all users and of one."""
    record(*(service.record_user_activity(*activity) for activity in ACTIVITIES))
    everybody = answer(service.get_user_activity_analytics(days=7))
    one = answer(service.get_user_activity_analytics(7, USER))

    assert everybody == {
        "period_days": 7, "total_activities": 5, "activity_types": {"api_call": 3, "login": 1, "search": 1},
        "top_endpoints": dict(Counter(endpoint for _, _, endpoint in ACTIVITIES if endpoint).most_common()),
        "user_id": "all",
    }  # fmt: skip
    assert list(everybody["top_endpoints"]) == [
        "/api/v1/artifacts", "/api/v1/monitoring/dashboard", "/api/v1/web-scraper/scrape"
    ]  # fmt: skip
    assert (one["total_activities"], one["user_id"]) == (4, str(USER))


def test_ten_endpoints(store: Store, service: MonitoringService) -> None:
    """Only the ten with the most activities are named."""
    record(*(service.record_user_activity(USER, "x", f"/{n:02}") for n in range(12) for _ in range(n + 1)))
    endpoints = answer(service.get_user_activity_analytics())["top_endpoints"]

    assert list(endpoints) == [f"/{n:02}" for n in range(11, 1, -1)]


def test_performance_metrics(store: Store, service: MonitoringService) -> None:
    """The newest first, with an id, labels as a dictionary or None, and a time without a zone."""
    record(*(service.record_performance_metric(*metric) for metric in METRICS))
    metrics = answer(service.get_system_performance_metrics())
    one = answer(service.get_system_performance_metrics("queue_size", 24))

    assert [
        (each["metric_name"], each["metric_type"].upper(), each["value"], each["unit"], each["labels"])
        for each in metrics
    ] == list(reversed(METRICS))
    assert list(metrics[0]) == ["id", "metric_name", "metric_type", "value", "unit", "labels", "timestamp"]
    assert len({UUID(each["id"]) for each in metrics}) == len(METRICS)
    assert abs(datetime.fromisoformat(one[0]["timestamp"]) - datetime.now(UTC).replace(tzinfo=None)).seconds < 600
    assert [each["metric_name"] for each in one] == ["queue_size"]


def test_an_alert_is_active_at_once(store: Store, service: MonitoringService) -> None:
    """Before the exporter has counted it; with the id that its maker got, and all attributes of the old model."""
    made = answer(service.create_alert(*ALERT))
    (active,) = answer(service.get_active_alerts())

    assert active.id == made.id
    assert (
        active.alert_type, active.severity, active.title, active.message, active.source, json.loads(active.details)
    ) == ALERT  # fmt: skip
    assert (active.resolved, active.resolved_at, active.resolved_by) == (False, None, None)
    assert active.created_at.tzinfo is not None
    assert json.loads(made.details) == ALERT[-1]


def test_an_alert_that_comes_again_is_one(store: Store, service: MonitoringService) -> None:
    """Source and title make an alert; the newest occurrence says the message. Other errors are none."""
    answer(service.create_alert(*ALERT))
    answer(service.create_alert(*ALERT[:3], "still", *ALERT[4:]))
    answer(service.create_alert("warning", "low", "x" * 300, "text", "long"))
    platform_sdk.log_error("no alert")
    record(service.record_scraping_metrics(uuid4(), "web", success=False, duration_ms=1, error_message="odd"))
    before = answer(service.get_active_alerts())
    counting.Store(store.dsn).poll("error")
    after = answer(service.get_active_alerts())

    assert {(each.title[:1], each.message) for each in before} == {("J", "still"), ("x", "text")}
    assert {(each.id, each.message) for each in after} == {(each.id, each.message) for each in before}


@pytest.fixture
def exporter(store: Store, tmp_path: Path) -> Iterator[Exporter]:
    """Return a running exporter that counts the store, and has a probe of its PostgreSQL."""
    (tmp_path / "token").write_text(TOKEN)
    configuration = {
        "database": {"dsn": store.dsn, "poll_interval_seconds": 0.2}, "errors": {"token_file": "token"},
        "probes": {"postgresql": [{"name": "main", "dsn": store.dsn}],
                   "redis": [{"name": "cache", "url": "redis://127.0.0.1:1/0"}]},
    }  # fmt: skip
    with exporting(tmp_path, json.dumps(configuration)) as running:
        yield running


def test_resolving_an_alert_resolves_its_issue(store: Store, start: Start, exporter: Exporter) -> None:
    """By the exporter, in the user's name, with a row of the audit; then it is no longer active."""
    start(app="stratlogic", exporter_url=exporter.base, errors_token=TOKEN)
    service = MonitoringService()
    made = answer(service.create_alert(*ALERT))
    counted = "SELECT count(*) FROM monitoring.error_issue"
    end = time.monotonic() + 60
    while not store.database.execute(counted)[0][0]:
        assert time.monotonic() < end
        answer(service.get_active_alerts())
    resolved = answer(service.resolve_alert(made.id, USER))
    again = answer(service.resolve_alert(alert_id=str(made.id), resolved_by=OTHER))

    assert (resolved.id, resolved.resolved, resolved.resolved_by) == (made.id, True, USER)
    assert resolved.resolved_at.tzinfo is None
    assert (again.resolved, again.resolved_by) == (True, str(USER))
    assert answer(service.get_active_alerts()) == []
    assert store.database.execute("SELECT actor, action FROM monitoring.audit") == [(str(USER), "error.resolve")]


@pytest.mark.parametrize("unknown", [uuid4(), "nonsense", None])
def test_unknown_alert(service: MonitoringService, unknown: object) -> None:
    """The answer is None, of which the route makes a 404."""
    assert answer(service.resolve_alert(unknown, USER)) is None


@pytest.mark.parametrize("options", [{}, {"exporter_url": "http://127.0.0.1:1", "errors_token": "x"}])
def test_an_alert_that_cannot_be_resolved(
    store: Store, start: Start, caplog: pytest.LogCaptureFixture, options: dict[str, Any]
) -> None:
    """It is returned as it is, and one line says why."""
    start(app="stratlogic", **options)
    service = MonitoringService()
    made = answer(service.create_alert(*ALERT))
    answer(service.get_active_alerts())
    diagnostics._last.clear()
    returned = answer(service.resolve_alert(made.id, USER))

    assert (returned.id, returned.resolved) == (made.id, False)
    assert [record.message.split(":")[0] for record in caplog.records] == ["resolve_alert"]


def test_health_by_the_exporter(start: Start, exporter: Exporter) -> None:
    """What the service was not given is as the exporter's probes say, unknown where it has none."""
    start(exporter_url=f"{exporter.base}/")
    found = answer(MonitoringService().check_system_health())

    assert {name: each["status"] for name, each in found.items()} == {
        "database": "healthy", "minio": "unknown", "redis": "unhealthy"
    }  # fmt: skip
    assert found["redis"]["error_message"]
    assert all(isinstance(each["response_time_ms"], float) for each in found.values())
    assert json.loads(json.dumps(found))["database"]["status"] == "healthy"


def with_session(dsn: str, kind: str, check: Callable[[Any], Awaitable[Any]]) -> Any:
    """Return what a check of a session says, asynchronous or not, of SQLAlchemy."""
    address = dsn.replace("postgresql://", "postgresql+psycopg://") + "?options=-clock_timeout%3D2000"

    async def run() -> Any:
        if kind == "plain":
            with Session(create_engine(address, poolclass=NullPool)) as session:
                return await check(session)
        async with AsyncSession(create_async_engine(address, poolclass=NullPool)) as session:
            return await check(session)

    return asyncio.run(run())


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_health_of_what_the_service_was_given(store: Store, start: Start, minio_server: Minio, kind: str) -> None:
    """Session and client are tried; without an exporter Redis is unknown, as it always was."""
    start()
    store.database.execute("CREATE TABLE users AS SELECT generate_series(1, 10) AS id")
    client = minio_server.client()
    found = with_session(store.dsn, kind, lambda db: MonitoringService(db, client).check_system_health())

    assert (found["database"]["status"], found["database"]["details"]) == (HealthStatus.HEALTHY, {"user_count": 10})
    assert found["minio"]["status"] == "healthy"
    assert found["minio"]["details"] == {"bucket_count": len(client.list_buckets())}
    assert found["redis"]["status"] == HealthStatus.UNKNOWN
    assert "message" in found["redis"]["details"]


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_component_that_fails(store: Store, kind: str) -> None:
    """Is unhealthy, and the error says why."""
    client = MinioClient("127.0.0.1:1", "x", "x", secure=False, http_client=PoolManager(retries=False))
    found = with_session(store.dsn, kind, lambda db: MonitoringService(db, client).check_system_health())

    assert (found["database"]["status"], found["minio"]["status"]) == ("unhealthy", "unhealthy")
    assert 'relation "users" does not exist' in found["database"]["error_message"]
    assert "details" not in found["minio"]


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_component_that_does_not_answer(
    store: Store, connect: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Is unhealthy after a time."""
    monkeypatch.setattr("platform_sdk.migrate.stratlogic_health.HEALTH_SECONDS", 0.3)
    store.database.execute("CREATE TABLE users (id int)")
    connect.execute("BEGIN; LOCK TABLE users")
    found = with_session(store.dsn, kind, lambda db: MonitoringService(db).check_system_health())

    assert found["database"]["error_message"] == "no answer within 0.3 s"


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_while_it_is_off(name: str) -> None:
    """Without `init` the shape is the same."""
    assert answer(getattr(MonitoringService(), name)()) == NOTHING[name]


@pytest.mark.parametrize("name", NOTHING)
def test_missing_right(start: Start, reader: Callable[[str], str], name: str, caplog: pytest.LogCaptureFixture) -> None:
    """The writer's own role reads nothing: the answer is empty, and one line says what to do."""
    start(app="stratlogic", dsn=reader("platform_writer"))
    diagnostics._last.clear()
    service = MonitoringService()
    answers = [answer(getattr(service, name)()) for _ in range(2)]

    assert answers == [NOTHING[name]] * 2
    assert [record.message.split(":")[0] for record in caplog.records] == [name]
    assert "set read_dsn to a role in platform_grafana" in caplog.text


@pytest.mark.parametrize(
    ("role", "empty"),
    [
        ("platform_grafana", {"get_user_activity_analytics", "get_active_alerts"}),
        ("platform_grafana_restricted", set()),
    ],
)
def test_roles_that_read(store: Store, start: Start, reader: Callable[[str], str], role: str, empty: set[str]) -> None:
    """Runs and metrics need platform_grafana; activities and alerts, which are of persons, the restricted one."""
    start(app="stratlogic", dsn=reader("platform_writer"), read_dsn=reader(role))
    service = MonitoringService()
    record(
        service.record_scraping_metrics(uuid4(), *RUNS[0]), service.record_user_activity(*ACTIVITIES[0]),
        service.record_performance_metric(*METRICS[0]), service.create_alert(*ALERT),
    )  # fmt: skip

    assert {name for name in NOTHING if answer(getattr(service, name)()) == NOTHING[name]} == empty


@pytest.mark.parametrize("name", [*NOTHING, "resolve_alert", "check_system_health", "create_alert"])
def test_arguments_that_do_not_fit(start: Start, name: str) -> None:
    """They are logged, not raised, and the answer keeps its shape."""
    start()
    service = MonitoringService(None, None, 3, colour=4)  # type: ignore[call-arg, unused-ignore]
    wrong = answer(getattr(service, name)(1, 2, 3, colour=5))

    assert wrong == NOTHING[name] if name in NOTHING else name != "check_system_health" or set(wrong) == {
        "database", "minio", "redis"
    }  # fmt: skip


@pytest.mark.parametrize("days", [float("nan"), 1e30, "seven", None])
def test_days_that_are_none(start: Start, days: Any) -> None:
    """No period makes it raise."""
    start()

    assert answer(MonitoringService().get_scraping_analytics(days))["total_jobs"] == 0


def test_texts_are_only_texts(store: Store, service: MonitoringService) -> None:
    """Quotation marks, braces and backslashes in an argument stay part of it."""
    odd = "it's {a}\\' -- "
    record(service.record_scraping_metrics(uuid4(), odd, *RUNS[0][1:]))

    assert answer(service.get_scraping_analytics(7, odd))["total_jobs"] == 1


def test_the_loop_goes_on(store: Store, start: Start, tcp_proxy: Callable[[str, int], TcpProxy]) -> None:
    """While a database does not answer, the loop runs other tasks, and the answer is empty."""
    host, _, port = store.dsn.split("@")[1].split("/")[0].rpartition(":")
    proxy = tcp_proxy(host, int(port))
    start(app="stratlogic", read_dsn=store.dsn.replace(f"{host}:{port}", "{}:{}".format(*proxy.address.rsplit(":", 1))))
    proxy.blackhole()

    async def run() -> tuple[Any, int]:
        asked = asyncio.create_task(MonitoringService().get_scraping_analytics())
        ticks = 0
        while not asked.done():
            await asyncio.sleep(0.01)
            ticks += 1
        return asked.result(), ticks

    found, ticks = asyncio.run(run())

    assert found == NOTHING["get_scraping_analytics"]
    assert ticks > 10
