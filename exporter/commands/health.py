"""`health`: the state of every component and source, once."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import psycopg

from exporter import queries
from exporter.aggregation import snapshot
from exporter.commands.common import config_option, json_option, load, reports_errors
from exporter.config.settings import Config, Source
from exporter.database import expiry
from exporter.database.connection import connect
from exporter.errors import PlatformError
from exporter.exposition.queries import check
from exporter.inspection import readiness
from exporter.printing import plural
from exporter.probes import build
from exporter.probes.base import ProbeResult, Status
from exporter.probes.run import ProbeRunner
from exporter.queries import QueryView
from exporter.sources import mapping

EXIT = {Status.HEALTHY: 0, Status.DEGRADED: 1, Status.UNKNOWN: 1, Status.UNHEALTHY: 2}


@click.command()
@config_option
@json_option
@reports_errors
def health(path: Path, as_json: bool) -> None:
    """Probe every component, run every query, and check that every source can be counted and when it last was.

    It needs no running exporter. Exit status 0: all is healthy; 1: something is degraded or unknown; 2: something is
    unhealthy.
    """
    config = load(path)
    rows = [_component(key, result) for key, result in probed(config).items()]
    rows += [_source(config, source) for source in config.sources]
    rows += [_query(view) for view in asked(config)]
    worst = max((row["status"] for row in rows), key=lambda status: EXIT[Status(status)], default="unknown")
    if as_json:
        click.echo(json.dumps({"status": worst, "checks": rows}, indent=2))
    else:
        for row in rows:
            click.echo(f"{row['status']:<10} {row['check']:<28} {row['cause']}".rstrip())
        click.echo(f"{worst:<10} overall")
    sys.exit(EXIT[Status(worst)])


def probed(config: Config) -> dict[tuple[str, str], ProbeResult]:
    """Probe every component once."""
    runner = ProbeRunner(build(config.probes))
    try:
        with _unlogged("exporter.probes"):
            return runner.run(config.probe_timeout_seconds)
    finally:
        runner.close()


def asked(config: Config) -> Iterator[QueryView]:
    """Run every query once, one after the other: each takes at most its timeout. Raises ConfigError."""
    check(config)
    for worker in queries.workers(config):
        with _unlogged("exporter.queries"):
            views = list(worker.run_once())
        yield from views


@contextmanager
def _unlogged(name: str) -> Iterator[None]:
    """Log nothing below this name for a while: the results say all of it."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def gave(view: QueryView) -> str:
    """Return what is wrong with a query, otherwise what it gave."""
    series = sum(map(len, view.values.values()))
    return view.problem or f"gave {plural(series, 'value')} in {view.duration_seconds * 1000:.1f} ms"


def _query(view: QueryView) -> dict[str, str]:
    status = Status.DEGRADED if view.problem else Status.HEALTHY
    return {"check": f"query {view.query.name}", "status": status.value, "cause": gave(view)}


def _component(key: tuple[str, str], result: ProbeResult) -> dict[str, str]:
    cause = result.cause or f"answered in {result.duration_seconds * 1000:.1f} ms"
    return {"check": f"{key[0]} {key[1]}", "status": result.status.value, "cause": cause}


def _source(config: Config, source: Source) -> dict[str, str]:
    """Return whether a source can be counted, and how old its newest count is by `source_lag_seconds`."""
    status, cause = Status.UNKNOWN, "never counted: is `platform-exporter serve` running?"
    try:
        plan = mapping.plan(source)
        with connect(mapping.store_of(config, source), "health", native=plan.native) as connection:
            problems = readiness.problems(connection, source, config)
            age = snapshot.age_seconds(connection, plan)
            clock = expiry.clock_problem(expiry.clock_ahead_seconds(connection))
    except (PlatformError, psycopg.Error) as error:
        status, cause = Status.UNHEALTHY, str(error).strip()
    else:
        if age is not None:
            status, cause = _by_lag(config, age), f"counted {age:.0f} s ago{', approximately' * plan.read_only}"
            if clock:
                status, cause = max(status, Status.DEGRADED, key=lambda one: EXIT[one]), f"{cause}; {clock}"
        if problems:
            status, cause = Status.UNHEALTHY, "; ".join(problems)
    return {"check": f"source {source.label}", "status": status.value, "cause": cause}


def _by_lag(config: Config, seconds: float) -> Status:
    band = config.thresholds.source_lag_seconds
    if band.critical is not None and seconds > band.critical:
        return Status.UNHEALTHY
    return Status.DEGRADED if band.high is not None and seconds > band.high else Status.HEALTHY
