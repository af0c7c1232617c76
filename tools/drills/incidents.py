"""The incidents that drills simulate, and what is expected of each."""

import time
from collections.abc import Callable

from tools.drills.applications import Application
from tools.drills.evaluation import Expected, Subject
from tools.drills.faults import Faults
from tools.drills.runner import Act, Drill
from tools.drills.testbed import Testbed
from tools.stack.config_files import BUCKET

# What is promised of a component that is down.
NOTIFIED_WITHIN_SECONDS = 30
DOWN = Expected("PlatformComponentDown", "critical", pages=1, notified_within_seconds=NOTIFIED_WITHIN_SECONDS)

# Long enough for an hour's worth of rules that ask what was 5 minutes ago, or what is usual (errors.yml, slo.yml).
KNOWN_SECONDS, USUAL_SECONDS = 345, 660
NEEDING = ("drill-need1", "drill-need2")
MANY = tuple(f"drill-many{number:02}" for number in range(1, 61))
SHOPS = tuple(f"drill-shop{number}" for number in range(1, 6))


def application(name: str) -> Subject:
    """Return the subject of a drill about one application."""
    return Subject(({"app": name},), rf"\b{name}\b")


def component(kind: str, *more: dict[str, str], text: str = "") -> Subject:
    """Return the subject of a drill about one component, and what else it brings about."""
    patterns = [rf"\b{kind} main\b", rf"component: {kind}\b", *([text] if text else [])]
    return Subject(({"component": kind}, *more), "|".join(patterns))


def change(*names: str, **attributes: float) -> Act:
    """Return an act that changes what applications do."""

    def act(testbed: Testbed) -> None:
        for name in names:
            for attribute, value in attributes.items():
                setattr(testbed.applications[name], attribute, value)

    return act


def server(fault: Callable[[Faults, str], None], name: str) -> Act:
    """Return an act on one server."""
    return lambda testbed: fault(testbed.faults, name)


def steps(*acts: Act) -> Act:
    """Return an act that does others in turn."""

    def act(testbed: Testbed) -> None:
        for one in acts:
            one(testbed)

    return act


FREEZE_REDIS, THAW_REDIS = server(Faults.freeze, "redis"), server(Faults.thaw, "redis")
KILL_EXPORTER, RESTART_EXPORTER = server(Faults.kill, "exporter"), server(Faults.restart, "exporter")
CRASH_EXPORTER = steps(KILL_EXPORTER, RESTART_EXPORTER, lambda testbed: time.sleep(20))
FREEZE_MINIO, THAW_MINIO = server(Faults.freeze, "minio"), server(Faults.thaw, "minio")


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
        "api-slow",
        "an API that answered in 0.2 s takes 20 s",
        "applications",
        application("drill-wait"),
        Expected("PlatformApiLatencyHigh", "high", pages=0),
        change("drill-wait", call_seconds=20),
        change("drill-wait", call_seconds=0.2),
        lasts_seconds=30,
        applications=(Application("drill-wait", requests=1, apis=("arxiv",), calls=2),),
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
        "few-requests",
        "an application with three requests a minute fails all of them",
        "applications",
        application("drill-few"),
        Expected("PlatformErrorBudgetBurn", "critical", pages=1),
        change("drill-few", failing_requests=1),
        change("drill-few", failing_requests=0),
        warm_seconds=KNOWN_SECONDS,
        applications=(Application("drill-few", requests=0.05),),
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
    Drill(
        "connections-run-out",
        "nine in ten of PostgreSQL's connections are used within 150 s",
        "applications",
        component("postgresql", text="postgresql main"),
        Expected("PlatformSaturationHigh", "high", pages=0, says="connections of postgresql main"),
        lambda testbed: testbed.use_connections(share=0.9, seconds=150),
        lambda testbed: testbed.give_connections_back(),
    ),
)

SERVERS = (
    Drill(
        "redis-frozen",
        "Redis hangs (SIGSTOP)",
        "servers",
        component("redis"),
        DOWN,
        FREEZE_REDIS,
        THAW_REDIS,
    ),
    Drill(
        "postgresql-stopped",
        "PostgreSQL is stopped: the event store and all sources are away",
        "servers",
        component("postgresql", {"source": ".+"}, text="[Ss]ource"),
        DOWN,
        server(Faults.stop, "postgres"),
        server(Faults.restart, "postgres"),
        # Past PlatformSourceDown's own 30 s: it must be muted, not merely late.
        lasts_seconds=45,
    ),
    Drill(
        "prometheus-restarted",
        "Redis hangs, and Prometheus is killed and started again in the middle",
        "servers",
        component("redis"),
        DOWN,
        FREEZE_REDIS,
        THAW_REDIS,
        between=steps(server(Faults.kill, "prometheus"), server(Faults.restart, "prometheus")),
        lasts_seconds=45,
    ),
    Drill(
        "alertmanager-killed",
        "Redis hangs, and the first of two Alertmanagers is killed; the other reports the end",
        "servers",
        component("redis", {"job": "alertmanager"}, {"alertname": "Platform.*Alertmanager.*"}, text="[Aa]lertmanager"),
        DOWN,
        FREEZE_REDIS,
        # The one that is left reports the end; only then is the other brought back.
        steps(THAW_REDIS, lambda testbed: testbed.wait_for_resolved("pager"), server(Faults.restart, "alertmanager")),
        between=server(Faults.kill, "alertmanager"),
        lasts_seconds=20,
    ),
    Drill(
        "exporter-away",
        "the exporter is killed, and started again after a while",
        "servers",
        Subject(({"job": "platform-exporter"}, {"alertname": "PlatformNotificationsFailing"}), r"[Ee]xporter|webhook"),
        Expected("PlatformExporterDown", "critical", pages=1, quiet=("PlatformNotificationsFailing",)),
        KILL_EXPORTER,
        RESTART_EXPORTER,
        lasts_seconds=70,
        settle_seconds=60,
    ),
    Drill(
        "exporter-crashes",
        "the exporter is killed and started again every 20 s",
        "servers",
        Subject(({"job": "platform-exporter"},), "platform-exporter|[Ee]xporter"),
        Expected("PlatformCrashLoop", "high", pages=0, says="restarts again and again"),
        steps(*[CRASH_EXPORTER] * 4),
        steps(),
    ),
    Drill(
        "password-wrong",
        "the exporter's password of Redis is wrong, while two applications that need Redis fail",
        "servers",
        component("redis", {"app": "drill-need."}, text="drill-need"),
        Expected(
            "PlatformHttpErrorsHigh",
            "critical",
            pages=2,
            alerts=3,
            says="cannot sign in to redis main",
            quiet=("PlatformComponentDown",),
        ),
        steps(lambda testbed: testbed.redis_password("wrong"), change(*NEEDING, failing_requests=1)),
        steps(lambda testbed: testbed.redis_password(None), change(*NEEDING, failing_requests=0)),
        warm_seconds=60,
        lasts_seconds=30,
        applications=tuple(Application(name, requests=2, needs=("redis/main",)) for name in NEEDING),
    ),
    Drill(
        "redis-unused",
        "Redis hangs, which an application does not need that fails for reasons of its own",
        "servers",
        component("redis", {"app": "drill-apart"}, text="drill-apart"),
        Expected("PlatformHttpErrorsHigh", "critical", pages=2, alerts=2),
        steps(FREEZE_REDIS, change("drill-apart", failing_requests=1)),
        steps(THAW_REDIS, change("drill-apart", failing_requests=0)),
        warm_seconds=60,
        applications=(Application("drill-apart", requests=2, needs=("postgresql/main",)),),
    ),
    Drill(
        "bucket-deleted",
        "someone deletes the bucket that applications write to",
        "servers",
        component("minio"),
        Expected("PlatformComponentDegraded", "high", pages=0, says=f"{BUCKET}"),
        lambda testbed: testbed.delete_bucket(),
        lambda testbed: testbed.make_bucket(),
    ),
    Drill(
        "minio-blip",
        "MinIO hangs for 27 s; five minutes later an application that needs it fails",
        "servers",
        component("minio", {"app": "drill-blip"}, text="drill-blip"),
        Expected("PlatformHttpErrorsHigh", "critical", pages=2, alerts=2),
        steps(
            FREEZE_MINIO,
            lambda testbed: time.sleep(27),
            THAW_MINIO,
            lambda testbed: time.sleep(300),
            change("drill-blip", failing_requests=1),
        ),
        change("drill-blip", failing_requests=0),
        warm_seconds=60,
        applications=(Application("drill-blip", requests=2, needs=("minio/main",)),),
    ),
    Drill(
        "reload-refused",
        "Prometheus refuses its new configuration, and continues with the old one",
        "servers",
        Subject(({"job": "prometheus"},), "[Pp]rometheus"),
        Expected("PlatformPrometheusReloadFailed", "high", pages=0, says="refused its new configuration"),
        lambda testbed: testbed.append_to_prometheus("scrape_configs_of_a_newer_release: []\n"),
        lambda testbed: testbed.append_to_prometheus(""),
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
        steps(FREEZE_REDIS, change(*SHOPS, failing_requests=1, request_seconds=3)),
        steps(THAW_REDIS, change(*SHOPS, failing_requests=0, request_seconds=0.08)),
        warm_seconds=60,
        lasts_seconds=120,
        # Past the 2 minutes after which PlatformDependencyDown mutes only what fails no more.
        settle_seconds=150,
        applications=tuple(Application(name, requests=2, needs=("redis/main",)) for name in SHOPS),
    ),
    Drill(
        "storm",
        "60 applications fail at the same time",
        "outage",
        Subject(({"app": "drill-many.."}, {"storm": "apps"}), "drill-many|apps fail"),
        Expected("PlatformAlertStorm", "critical", pages=1, alerts=61, muted=60, says="60 apps fail"),
        change(*MANY, failing_requests=1),
        change(*MANY, failing_requests=0),
        warm_seconds=60,
        lasts_seconds=60,
        settle_seconds=150,
        applications=tuple(Application(name, requests=0.5) for name in MANY),
    ),
)

DRILLS = {drill.name: drill for drill in (*APPLICATIONS, *SERVERS, *OUTAGE)}
