"""Check every piece of the pipeline and say what to mend."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import psycopg
import requests
from psycopg import sql

from exporter.aggregation import snapshot
from exporter.alerts import alertmanager
from exporter.commands.common import config_option, load, reports_errors
from exporter.config.settings import Config, Source, parse_address
from exporter.database import schema
from exporter.database.connection import connect, describe
from exporter.errors import PlatformError
from exporter.probes.redact import Redactor
from exporter.sources import adopt, mapping

TIMEOUT_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """Hold one check: what was looked at, whether it is well, and what was seen or is to be done."""

    what: str
    well: bool
    text: str


@click.command()
@config_option
@reports_errors
def doctor(path: Path) -> None:
    """Look whether every piece is reachable and flowing, from the tables to the notifications.

    Asks Prometheus, Alertmanager and Grafana too, where `stack` in the configuration says where they are. Exit status
    0 if all is well, 1 if something is to be mended.
    """
    config = load(path)
    well, hide = True, Redactor(None)  # the addresses in `stack` may hold a user and a password
    for finding in examine(config):
        well = well and finding.well
        text = " ".join(hide(finding.text).split())
        click.echo(f"{'ok  ' if finding.well else 'MEND'}  {finding.what:<26} {text}")
    sys.exit(0 if well else 1)


def examine(config: Config) -> Iterator[Finding]:
    """Yield the findings, upstream first."""
    for source in config.sources:
        yield from _source(config, source)
    yield from _exporter(config)
    if config.stack.prometheus_url:
        yield from _prometheus(config.stack.prometheus_url.rstrip("/"))
    if config.alertmanager.urls or config.stack.alertmanager_url:
        yield from _told_by_hand(config)
    if config.stack.grafana_url:
        yield _answers("grafana", config.stack.grafana_url.rstrip("/") + "/api/health")


def _source(config: Config, source: Source) -> Iterator[Finding]:
    what = f"source {source.label}"
    try:
        with connect(config.database_of(source), "doctor") as connection:
            schema.check_server(connection)
            yield Finding(what, True, f"{describe(config.database_of(source))} answers")
            plan = mapping.plan(source)
            schema.check_version(connection, "store" if plan.native else "counting")
            adopt.verify(connection, source)
            yield Finding(what, True, f"{len(plan.streams)} tables readable, schema version {schema.VERSION}")
            yield _counted(connection, source, config)
            yield from _abandoned(connection, source, config)
    except PlatformError as error:
        yield Finding(what, False, str(error))
    except psycopg.Error as error:
        yield Finding(what, False, f"{error.diag.message_primary or error}")


def _counted(connection: psycopg.Connection, source: Source, config: Config) -> Finding:
    what, age = f"source {source.label}", snapshot.age_seconds(connection, mapping.plan(source))
    if age is None:
        return Finding(what, False, "was never counted; start `platform-exporter serve`, and read its log")
    limit = max(15.0, 3 * config.database_of(source).poll_interval_seconds)
    if age > limit:
        return Finding(what, False, f"last counted {age:.0f} s ago, wanted under {limit:.0f}; read the exporter's log")
    return Finding(what, True, f"counted {age:.1f} s ago")


def _abandoned(connection: psycopg.Connection, source: Source, config: Config) -> Iterator[Finding]:
    """Yield sources that once counted here and are configured no more: retention waits for them for ever."""
    configured = [other.label for other in config.sources]
    rows = connection.execute(
        "SELECT DISTINCT source FROM monitoring.cursor WHERE source <> ALL(%s) ORDER BY 1", [configured]
    ).fetchall()
    for (name,) in rows:
        command = f"DELETE FROM monitoring.cursor WHERE source = {sql.Literal(name).as_string(None)};"
        text = f"source {name} counted here and is configured no more, so that no partition is dropped; {command}"
        yield Finding(f"source {source.label}", False, text)


def _exporter(config: Config) -> Iterator[Finding]:
    host, port = parse_address(config.listen)
    address = "127.0.0.1" if host in ("", "0.0.0.0", "::") else host  # noqa: S104 - a comparison
    base = f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
    ready = _answers("exporter", f"{base}/-/ready")
    yield ready
    if ready.well:
        yield _answers("exporter", f"{base}/metrics")


def _prometheus(base: str) -> Iterator[Finding]:
    ready = _answers("prometheus", f"{base}/-/ready")
    yield ready
    if not ready.well:
        return
    yield _judge("prometheus", f"{base}/api/v1/targets?state=active", _targets)
    yield _judge("prometheus", f"{base}/api/v1/rules", _rules)
    yield _judge("prometheus", f"{base}/api/v1/alertmanagers", _alertmanagers)


def _targets(data: dict[str, object]) -> tuple[bool, str]:
    targets = data["activeTargets"]
    assert isinstance(targets, list)  # noqa: S101 - the API's documented shape
    ours = [target for target in targets if target["labels"].get("job") == "platform-exporter"]
    if not ours:
        return False, "scrapes no job `platform-exporter`; add it to prometheus.yml"
    down = [f"{target['scrapeUrl']}: {target['lastError']}" for target in ours if target["health"] != "up"]
    return (False, f"cannot scrape {'; '.join(down)}") if down else (True, f"scrapes {len(ours)} exporter(s)")


def _rules(data: dict[str, object]) -> tuple[bool, str]:
    groups = data["groups"]
    assert isinstance(groups, list)  # noqa: S101 - the API's documented shape
    rules = [rule for group in groups for rule in group["rules"]]
    ailing = [f"{rule['name']}: {rule.get('lastError', '')}" for rule in rules if rule["health"] == "err"]
    if not rules:
        return False, "has no rules; add prometheus/rules/*.yml to `rule_files`"
    return (False, f"rules fail: {'; '.join(ailing)}") if ailing else (True, f"evaluates {len(rules)} rules")


def _alertmanagers(data: dict[str, object]) -> tuple[bool, str]:
    active = data["activeAlertmanagers"]
    assert isinstance(active, list)  # noqa: S101 - the API's documented shape
    return (True, f"sends to {len(active)} Alertmanager(s)") if active else (False, "knows no Alertmanager")


def _told_by_hand(config: Config) -> Iterator[Finding]:
    """Yield whether each Alertmanager that alerts made by hand go to lets this configuration in."""
    alertmanagers = alertmanager.of(config)
    known, problems = alertmanagers.alerts()
    for url in alertmanagers.urls:
        yield Finding("alertmanager", url in known, problems.get(url) or f"{url} answers")


def _judge(what: str, url: str, judge: Callable[[dict[str, object]], tuple[bool, str]]) -> Finding:
    try:
        response = requests.get(url, timeout=TIMEOUT_SECONDS)
        response.raise_for_status()
        return Finding(what, *judge(response.json()["data"]))
    except (requests.RequestException, KeyError, ValueError) as error:
        return Finding(what, False, f"{url}: {error}")


def _answers(what: str, url: str) -> Finding:
    try:
        response = requests.get(url, timeout=TIMEOUT_SECONDS)
    except requests.RequestException as error:
        return Finding(what, False, f"{url} does not answer ({type(error).__name__}); is it running?")
    if response.status_code != requests.codes.ok:
        return Finding(what, False, f"{url} answers {response.status_code}: {response.text.strip()[:300]}")
    return Finding(what, True, f"{url} answers")
