"""Check every part of the pipeline and say what to do."""

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import psycopg
import requests
from psycopg import sql

from exporter.aggregation import snapshot
from exporter.aggregation.claims import identity
from exporter.alerts import alertmanager
from exporter.commands.common import config_option, load, reports_errors
from exporter.commands.health import asked, gave, probed
from exporter.config.settings import Config, Source, parse_address
from exporter.database import expiry, schema
from exporter.database.connection import connect
from exporter.errors import PlatformError, SchemaError
from exporter.inspection import readiness
from exporter.mixin.promql import JOB
from exporter.printing import plural
from exporter.probes.base import ProbeResult, Status
from exporter.redaction import Redactor, hide_addresses, parts_of_url
from exporter.sources import mapping

TIMEOUT_SECONDS = 5


class Verdict(StrEnum):
    """The outcome of a check."""

    OK = "ok"
    FAIL = "FAIL"
    TO_DO = "to do"


OK, FAIL, TO_DO = Verdict


class Finding(NamedTuple):
    """One check: its subject, its outcome, and what was found or is to do."""

    subject: str
    verdict: Verdict
    text: str


@click.command()
@config_option
@reports_errors
def doctor(path: Path) -> None:
    """Check that every part is reachable and data flows, from the tables to the notifications.

    Also runs each of `queries` once, and checks Prometheus, Alertmanager and Grafana if `stack` in the configuration
    has their addresses. Each check prints `ok`, `FAIL` (something is broken) or `to do` (a step of the setup is
    missing). Exit status 0 if everything is ok, otherwise 1.
    """
    config = load(path)
    stack = (config.stack.prometheus_url, config.stack.alertmanager_url, config.stack.grafana_url)
    addresses = (*config.alertmanager.urls, *(url for url in stack if url))
    parts = (part for url in addresses for part in parts_of_url(url))
    ok, hide = True, Redactor(config, parts, names=False)
    for finding in examine(config):
        ok = ok and finding.verdict is OK
        text = " ".join(hide(hide_addresses(finding.text)).split())
        click.echo(f"{finding.verdict:<5}  {finding.subject:<26} {text}")
    sys.exit(0 if ok else 1)


def examine(config: Config) -> Iterator[Finding]:
    """Yield the findings, upstream first."""
    stores: dict[str, str] = {}
    for source in config.sources:
        yield from _source(config, source, stores)
    for key, result in probed(config).items():
        yield _probe(key, result)
    for view in asked(config):
        yield Finding(f"query {view.query.name}", FAIL if view.problem else OK, gave(view))
    yield from _exporter(config)
    if config.stack.prometheus_url:
        yield from _prometheus(config.stack.prometheus_url.rstrip("/"))
    if config.alertmanager.urls or config.stack.alertmanager_url:
        yield from _alertmanagers(config)
    if config.stack.grafana_url:
        yield _answers("grafana", config.stack.grafana_url.rstrip("/") + "/api/health")


def _source(config: Config, source: Source, stores: dict[str, str]) -> Iterator[Finding]:
    subject = f"source {source.label}"
    try:
        plan, store = mapping.plan(source), mapping.store_of(config, source)
        with connect(store, "doctor", native=plan.native) as connection:
            yield Finding(subject, OK, f"{store.place} answers")
            problems = readiness.problems(connection, source, config)
            yield from (Finding(subject, FAIL, problem) for problem in problems)
            if not problems:
                tables = plural(len(plan.streams), "table")
                how = f"by time, approximately, in {config.database_of(source).place}" if plan.read_only else "exactly"
                yield Finding(subject, OK, f"{tables} can be counted {how}, schema version {schema.VERSION}")
            yield _counted(connection, source, config)
            to_do = (*readiness.unknown_values(connection, plan), *readiness.folded(connection, plan))
            yield from (Finding(subject, TO_DO, text) for text in to_do)
            yield _clocks(connection, subject)
            yield from _abandoned(connection, source, config)
            yield from _doubled(connection, source, stores)
    except SchemaError as error:
        yield Finding(subject, TO_DO, str(error))
    except PlatformError as error:
        yield Finding(subject, FAIL, str(error))
    except psycopg.Error as error:
        yield Finding(subject, FAIL, f"{error.diag.message_primary or error}")


def _counted(connection: psycopg.Connection, source: Source, config: Config) -> Finding:
    subject, age = f"source {source.label}", snapshot.age_seconds(connection, mapping.plan(source))
    if age is None:
        return Finding(subject, TO_DO, "never counted: start `platform-exporter serve`, and read its log")
    limit = max(15.0, 3 * config.database_of(source).poll_interval_seconds)
    if age > limit:
        return Finding(
            subject, FAIL, f"last counted {age:.0f} s ago, expected at most {limit:.0f} s: read the exporter's log"
        )
    return Finding(subject, OK, f"counted {age:.1f} s ago")


def _clocks(connection: psycopg.Connection, subject: str) -> Finding:
    problem = expiry.clock_problem(expiry.clock_ahead_seconds(connection))
    return Finding(subject, FAIL if problem else OK, problem or "the database's clock agrees with this host's")


def _abandoned(connection: psycopg.Connection, source: Source, config: Config) -> Iterator[Finding]:
    """Yield sources that counted here once and are no longer configured: retention waits for them for ever."""
    configured = [other.label for other in config.sources]
    rows = connection.execute(
        """SELECT source, EXISTS (SELECT FROM monitoring.capture a WHERE a.source = c.source)
        FROM (SELECT source FROM monitoring.cursor UNION SELECT source FROM monitoring.capture) c
        WHERE source <> ALL(%s) ORDER BY 1""",
        [configured],
    ).fetchall()
    for name, adopted in rows:
        if adopted:
            text = (
                f"source {name} is no longer configured, but its tables still have our triggers: put it back into "
                f"`sources`, run `platform-exporter adopt {name} --undo`, and take it out again"
            )
            yield Finding(f"source {source.label}", TO_DO, text)
            continue
        command = f"DELETE FROM monitoring.cursor WHERE source = {sql.Literal(name).as_string(None)};"
        text = f"source {name} is no longer configured, but its cursor keeps old partitions: run {command}"
        yield Finding(f"source {source.label}", TO_DO, text)


def _doubled(connection: psycopg.Connection, source: Source, stores: dict[str, str]) -> Iterator[Finding]:
    """Yield that a source is another's event store, by another spelling of its DSN; `stores` are those before it."""
    store = identity(connection) if source.preset == "native" else None
    other = source.label if store is None else stores.setdefault(store, source.label)
    if other != source.label:
        text = (
            f"source {other} counts this event store, and it is not counted twice: take one of the two out of `sources`"
        )
        yield Finding(f"source {source.label}", FAIL, text)


def _probe(key: tuple[str, str], result: ProbeResult) -> Finding:
    well = result.status is Status.HEALTHY
    text = result.cause or f"answered in {result.duration_seconds * 1000:.1f} ms"
    return Finding(" ".join(key), OK if well else FAIL, text if well else f"{result.status}: {text}")


def _exporter(config: Config) -> Iterator[Finding]:
    host, port = parse_address(config.listen)
    address = "127.0.0.1" if host in ("", "0.0.0.0", "::") else host  # noqa: S104 - a comparison
    base = f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
    ready = _answers("exporter", f"{base}/-/ready")
    yield ready
    if ready.verdict is OK:
        yield _metrics(f"{base}/metrics")


def _metrics(url: str) -> Finding:
    """Return whether the exporter exposes metrics, and counts every source."""
    found = _answers("exporter", url)
    if found.verdict is OK:
        text = requests.get(url, timeout=TIMEOUT_SECONDS).text
        if down := re.findall(r'^platform_exporter_source_up\{[^}]*source="([^"]+)"[^}]*\} 0', text, re.M):
            return Finding("exporter", FAIL, f"source_up is 0 for {', '.join(down)}: read the exporter's log")
    return found


def _prometheus(base: str) -> Iterator[Finding]:
    ready = _answers("prometheus", f"{base}/-/ready")
    yield ready
    if ready.verdict is OK:
        yield _check("prometheus", f"{base}/api/v1/targets?state=active", partial(_targets, _job(base)))
        yield _check("prometheus", f"{base}/api/v1/rules", _rules)
        yield _check("prometheus", f"{base}/api/v1/alertmanagers", _known_alertmanagers)


def _job(base: str) -> str:
    """Return the scrape job that the rules loaded there are about; without rules, that of the bundle."""
    with contextlib.suppress(requests.RequestException, KeyError, TypeError, ValueError):
        data = requests.get(f"{base}/api/v1/rules", timeout=TIMEOUT_SECONDS).json()["data"]
        for rule in _rules_of(data):
            named = re.search(r'up\{job="([^"]+)"\}', rule["query"])
            if rule["name"] == "PlatformExporterAbsent" and named:
                return named[1]
    return JOB


def _targets(job: str, data: dict[str, Any]) -> tuple[Verdict, str]:
    ours = [target for target in data["activeTargets"] if target["labels"].get("job") == job]
    if not ours:
        return TO_DO, f"no scrape job `{job}`: add it to prometheus.yml"
    down = [f"{target['scrapeUrl']}: {target['lastError']}" for target in ours if target["health"] != "up"]
    return (FAIL, f"cannot scrape {'; '.join(down)}") if down else (OK, f"scrapes {plural(len(ours), 'exporter')}")


def _rules_of(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Return our rules; those of others who share the Prometheus are theirs."""
    return [rule for group in data["groups"] if group["name"].startswith("platform_") for rule in group["rules"]]


def _rules(data: dict[str, Any]) -> tuple[Verdict, str]:
    rules = _rules_of(data)
    failing = [f"{rule['name']}: {rule.get('lastError', '')}" for rule in rules if rule["health"] == "err"]
    if not rules:
        return TO_DO, "no rules: add those that `platform-exporter rules` makes to `rule_files`"
    return (FAIL, f"rules fail: {'; '.join(failing)}") if failing else (OK, f"evaluates {plural(len(rules), 'rule')}")


def _known_alertmanagers(data: dict[str, Any]) -> tuple[Verdict, str]:
    active = data["activeAlertmanagers"]
    if not active:
        return TO_DO, "no Alertmanager: add it to `alerting` in prometheus.yml"
    return OK, f"sends to {plural(len(active), 'Alertmanager')}"


def _alertmanagers(config: Config) -> Iterator[Finding]:
    """Yield whether each Alertmanager answers with the credentials of this configuration."""
    alertmanagers = alertmanager.from_config(config)
    known, problems = alertmanagers.alerts()
    for url in alertmanagers.urls:
        yield Finding("alertmanager", OK if url in known else FAIL, problems.get(url) or f"{url} answers")


def _check(subject: str, url: str, judge: Callable[[dict[str, Any]], tuple[Verdict, str]]) -> Finding:
    try:
        response = requests.get(url, timeout=TIMEOUT_SECONDS)
        response.raise_for_status()
        return Finding(subject, *judge(response.json()["data"]))
    except requests.HTTPError as error:
        return Finding(subject, FAIL, f"{url} answers {error.response.status_code}")
    except (requests.RequestException, KeyError, TypeError, ValueError) as error:
        return Finding(subject, FAIL, f"{url} does not answer as expected ({type(error).__name__})")


def _answers(subject: str, url: str) -> Finding:
    try:
        response = requests.get(url, timeout=TIMEOUT_SECONDS)
    except requests.RequestException as error:
        return Finding(subject, FAIL, f"{url} does not answer ({type(error).__name__}): is it running?")
    if response.status_code != requests.codes.ok:
        return Finding(subject, FAIL, f"{url} answers {response.status_code}: {response.text.strip()[:300]}")
    return Finding(subject, OK, f"{url} answers")
