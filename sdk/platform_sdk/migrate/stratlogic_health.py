"""How StratLogic's components are: its database and MinIO tried themselves, all else as the exporter says."""

import asyncio
import inspect
import sys
from collections.abc import Callable
from enum import Enum
from time import perf_counter
from typing import Any

from platform_sdk import exporter_api
from platform_sdk.diagnostics import note

Health = dict[str, Any]
"""status, response_time_ms, and details or, if it is unhealthy, error_message."""

HEALTH_SECONDS = 2.0
"""How long a check of one component may take."""

_USERS = "SELECT count(*) FROM users"


class HealthStatus(str, Enum):  # noqa: UP042 - as the application's own is: a text, which JSON takes
    """How a component is."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


_WORST_FIRST = (HealthStatus.UNHEALTHY, HealthStatus.DEGRADED, HealthStatus.UNKNOWN, HealthStatus.HEALTHY)


async def of_system(db: Any, minio_client: Any) -> dict[str, Health]:
    """Return the health of database, minio and redis. Session and client are tried where they are given."""
    known = await _exporters_report()
    return {
        "database": _as_exporter_says(known, "postgresql") if db is None else await of_database(db),
        "minio": _as_exporter_says(known, "minio") if minio_client is None else await of_minio(minio_client),
        "redis": _as_exporter_says(known, "redis"),
    }


async def of_database(db: Any) -> Health:
    """Count users in the application's own session, of SQLAlchemy, which is loaded where there is one."""
    text = getattr(sys.modules.get("sqlalchemy"), "text", str)
    return await _checked(lambda: db.execute(text(_USERS)), lambda result: {"user_count": result.scalar()})


async def of_minio(minio_client: Any) -> Health:
    """List buckets with the application's own client."""
    return await _checked(lambda: minio_client.list_buckets(), lambda buckets: {"bucket_count": len(buckets)})


async def _checked(ask: Callable[[], Any], details: Callable[[Any], dict[str, Any]]) -> Health:
    """Return the outcome of a check; a session or client that is not asynchronous is asked in a thread."""
    began = perf_counter()
    try:
        async with asyncio.timeout(HEALTH_SECONDS):
            answer = await asyncio.to_thread(ask)
            if inspect.isawaitable(answer):
                answer = await answer
        outcome: Health = {"status": HealthStatus.HEALTHY, "details": details(answer)}
    except TimeoutError:
        outcome = {"status": HealthStatus.UNHEALTHY, "error_message": f"no answer within {HEALTH_SECONDS:g} s"}
    except Exception as error:  # noqa: BLE001 - a check fails, whatever the reason
        outcome = {"status": HealthStatus.UNHEALTHY, "error_message": str(error)}
    return {**outcome, "response_time_ms": (perf_counter() - began) * 1000}


def unknown(why: str = "it could not be checked") -> dict[str, Health]:
    """Return what is answered where nothing could be checked."""
    return {name: _unknown(why) for name in ("database", "minio", "redis")}


async def _exporters_report() -> list[dict[str, Any]] | str:
    """Return the components that the exporter knows, or why they are unknown."""
    try:
        return await asyncio.to_thread(exporter_api.health) or "set exporter_url, whose probes know"
    except Exception as error:  # noqa: BLE001 - never into the application
        note("check_system_health", error)
        return "the exporter did not answer"


def _as_exporter_says(known: list[dict[str, Any]] | str, component: str) -> Health:
    """Return the worst of several components of a kind."""
    if isinstance(known, str):
        return _unknown(known)
    found = [(HealthStatus(each["status"]), each) for each in known if each["component"] == component]
    if not found:
        return _unknown(f"the exporter has no probe of {component}")
    status, worst = min(found, key=lambda each: _WORST_FIRST.index(each[0]))
    failed = status is HealthStatus.UNHEALTHY
    more = {"error_message": worst["cause"]} if failed else {"details": {"message": worst["cause"]}}
    return {"status": status, "response_time_ms": worst["response_time_seconds"] * 1000, **more}


def _unknown(message: str) -> Health:
    return {"status": HealthStatus.UNKNOWN, "response_time_ms": 0.0, "details": {"message": message}}
