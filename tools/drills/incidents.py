"""The incidents that drills simulate, and what is expected of each."""

from functools import partial

from tools.drills.applications import Application
from tools.drills.evaluation import Expected, Subject
from tools.drills.runner import Drill
from tools.drills.testbed import Testbed

# What is promised of a component that is down.
NOTIFIED_WITHIN_SECONDS = 30
DOWN = Expected("PlatformComponentDown", "critical", pages=1, notified_within_seconds=NOTIFIED_WITHIN_SECONDS)

# Long enough for an hour's worth of rules that ask what was 5 minutes ago, or what is usual (errors.yml, slo.yml).
KNOWN_SECONDS, USUAL_SECONDS = 345, 660
SHOPS = tuple(f"drill-shop{number}" for number in range(1, 6))


def application(name: str) -> Subject:
    """Return the subject of a drill about one application."""
    return Subject(({"app": name},), rf"\b{name}\b")


def component(kind: str, *more: dict[str, str], text: str = "") -> Subject:
    """Return the subject of a drill about one component, and what else it brings about."""
    patterns = [rf"\b{kind} main\b", rf"component: {kind}\b", *([text] if text else [])]
    return Subject(({"component": kind}, *more), "|".join(patterns))


def change(name: str, **attributes: float) -> partial[None]:
    """Return an act that changes what an application does."""
    return partial(_change, names=(name,), attributes=attributes)


def _change(testbed: Testbed, names: tuple[str, ...], attributes: dict[str, float]) -> None:
    for name in names:
        for attribute, value in attributes.items():
            setattr(testbed.applications[name], attribute, value)


def _freeze_redis(testbed: Testbed) -> None:
    testbed.faults.freeze("redis")


def _thaw_redis(testbed: Testbed) -> None:
    testbed.faults.thaw("redis")


def _restart_prometheus(testbed: Testbed) -> None:
    testbed.faults.kill("prometheus")
    testbed.faults.restart("prometheus")


def _kill_first_alertmanager(testbed: Testbed) -> None:
    testbed.faults.kill("alertmanager")


def _thaw_redis_and_wait_for_the_other(testbed: Testbed) -> None:
    """Let the one that is left report the end, and only then bring the other back."""
    testbed.faults.thaw("redis")
    testbed.wait_for_resolved("pager")
    testbed.faults.restart("alertmanager")


def _freeze_redis_and_fail_shops(testbed: Testbed) -> None:
    testbed.faults.freeze("redis")
    _change(testbed, SHOPS, {"failing_requests": 1.0, "request_seconds": 3.0})


def _thaw_redis_and_recover_shops(testbed: Testbed) -> None:
    testbed.faults.thaw("redis")
    _change(testbed, SHOPS, {"failing_requests": 0.0, "request_seconds": 0.08})


APPLICATIONS = (
    Drill(
        "api-success",
        "an API answers only 80 % of an application's calls",
        "applications",
        application("drill-api"),
        Expected("PlatformApiSuccessLow", "critical", pages=1),
        change("drill-api", failing_calls=0.2),
        change("drill-api", failing_calls=0),
        warm_seconds=30,
        lasts_seconds=30,
        applications=(Application("drill-api", requests=1, apis=("crossref",), calls=5),),
    ),
    Drill(
        "latency",
        "an application's requests take 3 s",
        "applications",
        application("drill-slow"),
        Expected("PlatformHttpLatencyHigh", "critical", pages=1),
        change("drill-slow", request_seconds=3),
        change("drill-slow", request_seconds=0.08),
        lasts_seconds=30,
        applications=(Application("drill-slow", requests=5),),
    ),
    Drill(
        "jobs-stuck",
        "a scraping job sends heartbeats and processes nothing",
        "applications",
        application("drill-jobs"),
        Expected("PlatformScrapingJobStuck", "high", pages=0),
        change("drill-jobs", stuck=True),
        change("drill-jobs", stuck=False),
        applications=(Application("drill-jobs", requests=1, jobs=True),),
        thresholds={"scraping_progress_age_seconds": {"apps": {"drill-jobs": {"medium": 45, "high": 60}}}},
    ),
    Drill(
        "error-burst",
        "an application records 10 errors a second instead of one in 20 s",
        "applications",
        application("drill-errors"),
        Expected("PlatformErrorBurst", "high", pages=0),
        change("drill-errors", errors=10),
        change("drill-errors", errors=0.05),
        warm_seconds=USUAL_SECONDS,
        applications=(Application("drill-errors", requests=1, errors=0.05),),
    ),
    Drill(
        "application-down",
        "an application fails and is slow, its scrapers and APIs fail, too: its error budgets burn",
        "applications",
        application("drill-app"),
        Expected("PlatformHttpErrorsHigh", "critical", pages=1, alerts=10, muted=1),
        change("drill-app", failing_requests=1, request_seconds=3, failing_calls=1, failing_runs=1),
        change("drill-app", failing_requests=0, request_seconds=0.08, failing_calls=0, failing_runs=0),
        warm_seconds=KNOWN_SECONDS,
        lasts_seconds=120,
        settle_seconds=30,
        applications=(
            Application(
                "drill-app",
                requests=5,
                apis=("arxiv", "doaj", "pubmed"),
                calls=1,
                scrapers=("news", "papers", "jobs"),
                runs=1,
            ),
        ),
    ),
    Drill(
        "minio-drive",
        "one of MinIO's four drives is lost",
        "applications",
        component("minio", text="drives? of minio"),
        Expected("PlatformMinioDrivesOffline", "high", pages=0),
        lambda testbed: testbed.store().take_drive_away(1),
        lambda testbed: testbed.store().give_drive_back(1),
    ),
)

SERVERS = (
    Drill(
        "redis-frozen",
        "Redis hangs (SIGSTOP)",
        "servers",
        component("redis"),
        DOWN,
        _freeze_redis,
        _thaw_redis,
    ),
    Drill(
        "postgresql-stopped",
        "PostgreSQL is stopped: the event store and all sources are away",
        "servers",
        component("postgresql", {"source": ".+"}, text="[Ss]ource"),
        DOWN,
        lambda testbed: testbed.faults.stop("postgres"),
        lambda testbed: testbed.faults.restart("postgres"),
        # Past PlatformSourceDown's own 30 s: it must be muted, not merely late.
        lasts_seconds=45,
    ),
    Drill(
        "prometheus-restarted",
        "Redis hangs, and Prometheus is killed and started again in the middle",
        "servers",
        component("redis"),
        DOWN,
        _freeze_redis,
        _thaw_redis,
        between=_restart_prometheus,
        lasts_seconds=45,
    ),
    Drill(
        "alertmanager-killed",
        "Redis hangs, and the first of two Alertmanagers is killed; the other reports the end",
        "servers",
        component("redis", {"job": "alertmanager"}, {"alertname": "Platform.*Alertmanager.*"}, text="[Aa]lertmanager"),
        DOWN,
        _freeze_redis,
        _thaw_redis_and_wait_for_the_other,
        between=_kill_first_alertmanager,
        lasts_seconds=20,
    ),
)

OUTAGE = (
    Drill(
        "ten-alerts",
        "Redis hangs, and five applications that need it fail and are slow",
        "outage",
        component("redis", {"app": "drill-shop."}, text="drill-shop"),
        Expected(
            "PlatformComponentDown",
            "critical",
            pages=1,
            notified_within_seconds=NOTIFIED_WITHIN_SECONDS,
            alerts=11,
            muted=10,
        ),
        _freeze_redis_and_fail_shops,
        _thaw_redis_and_recover_shops,
        warm_seconds=60,
        lasts_seconds=120,
        # PlatformComponentRecovering mutes for 8 minutes, and the budgets' alerts outlive it: they would notify then.
        settle_seconds=30,
        applications=tuple(Application(name, requests=2) for name in SHOPS),
    ),
)

DRILLS = {drill.name: drill for drill in (*APPLICATIONS, *SERVERS, *OUTAGE)}
