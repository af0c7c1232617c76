"""List alerts, create and resolve manual ones, and silence them."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec
import psycopg

from exporter.alerts import alertmanager, manual, watchdog
from exporter.alerts.listing import WORST_FIRST, list_alerts, table
from exporter.alerts.workers import place
from exporter.commands import backtest
from exporter.commands.common import (
    FAILED,
    by_option,
    config_option,
    json_option,
    load,
    parse_labels,
    reports_errors,
)
from exporter.config.settings import Config
from exporter.database import schema
from exporter.database.connection import connect
from exporter.errors import AlertmanagerError, ConfigError, PlatformError, SchemaError
from exporter.redaction import without_user
from exporter.times import parse_duration

Connection = psycopg.Connection[Any]


@click.group()
def alerts() -> None:
    """List alerts, create and resolve manual ones, silence them; try alerts on the past.

    Works with every Alertmanager of `alertmanager.urls`. monitoring.audit stores who created, resolved or silenced
    what. The database user of the configuration needs the role platform_exporter.

    \b
    Examples:
      platform-exporter alerts list --config FILE
      platform-exporter alerts create "Payments are off" --severity high --app shop --config FILE
      platform-exporter alerts resolve 3f2a90c1 --config FILE
      platform-exporter alerts silence app=shop --for 2h --comment "release 42" --config FILE
    """


alerts.add_command(backtest.command)


@alerts.command("list")
@config_option
@click.option("--severity", "severities", multiple=True, help="Only this severity; may be repeated.")
@click.option("--app", "apps", multiple=True, help="Only this app; may be repeated.")
@click.option("--firing", is_flag=True, help="Only alerts that are neither silenced nor inhibited.")
@json_option
@reports_errors
def list_(path: Path, severities: tuple[str, ...], apps: tuple[str, ...], firing: bool, as_json: bool) -> None:
    """List the current alerts, the most severe first.

    Exit status 0 if at least one Alertmanager answered, 1 if none did.
    """
    config = load(path)
    known, problems = alertmanager.from_config(config).alerts()
    _warn(problems.values())
    rows = [
        row
        for row in list_alerts(known, _opened(config))
        if (not severities or row.severity in severities)
        and (not apps or row.labels.get("app") in apps)
        and (not firing or row.state == "firing")
    ]
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(rows), indent=2))
    elif known or rows:  # where no Alertmanager answers, it is unknown whether there are alerts
        click.echo("\n".join(table(rows)))
    sys.exit(0 if known else FAILED)


@alerts.command()
@click.argument("summary")
@config_option
@click.option("--severity", type=click.Choice(WORST_FIRST), required=True)
@click.option("--app", help="The app it is about.")
@click.option("--name", default=manual.ALERTNAME, show_default=True, help="The label alertname.")
@click.option("--description", default="", help="Details.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", callback=parse_labels,
              help="Another label; may be repeated.")  # fmt: skip
@click.option("--runbook", help="The annotation runbook_url (default: the entry of that name in Grafana's runbook).")
@click.option("--dashboard", help="The annotation dashboard_url (default: Grafana's dashboard of alerts).")
@by_option
@json_option
@reports_errors
def create(
    summary: str, path: Path, severity: str, app: str | None, name: str, description: str, labels: dict[str, str],
    runbook: str | None, dashboard: str | None, by: str, as_json: bool,
) -> None:  # fmt: skip
    """Create an alert that fires until it is resolved.

    It is stored, sent at once, and routed like any other alert; the exporter repeats it. Exit status 1 if it could not
    be stored, or if no Alertmanager accepted it yet.
    """
    config = load(path)
    alertmanagers = alertmanager.from_config(config)
    annotations = {"description": description or f"Created manually by {by}."} | _links(
        config, name, runbook, dashboard
    )
    alert = manual.new(
        summary=summary, severity=severity, by=by, alertname=name, app=app, labels=labels,
        annotations=annotations,
    )  # fmt: skip
    with _store(config) as connection:
        manual.create(connection, alert)
    _say(as_json, {"id": alert.id, "labels": alert.all_labels}, f"{alert.id} fires: {summary}")
    _send(alertmanagers, alert)


@alerts.command("test-watchdog")
@config_option
@reports_errors
def test_watchdog(path: Path) -> None:
    """Send a trial message by every channel of `watchdog`.

    Exit status 0 if all were sent, 1 if one was not.
    """
    config = load(path)
    if config.watchdog.token is None:
        raise ConfigError("`watchdog.token_file` is missing: expected it, and `mail` or `webhook`")
    outcome = watchdog.trial(config.watchdog, place(config))
    for name, problem in outcome.items():
        click.echo(f"{name}: {problem or 'sent'}", err=bool(problem))
    sys.exit(FAILED if any(outcome.values()) else 0)


@alerts.command()
@click.argument("identifier", metavar="ID")
@config_option
@click.option("--comment", help="The reason, for the audit.")
@by_option
@json_option
@reports_errors
def resolve(identifier: str, path: Path, comment: str | None, by: str, as_json: bool) -> None:
    """Resolve a manual alert; the beginning of its id is enough.

    An alert of a rule ends by itself when its cause ends; until then it can be silenced.
    """
    config = load(path)
    alertmanagers = alertmanager.from_config(config)
    with _store(config) as connection:
        alert = manual.resolve(connection, identifier, by, comment)
    found = {"id": alert.id, "resolved_by": alert.resolved_by, "resolved_at": f"{alert.resolved_at:%FT%TZ}"}
    _say(as_json, found, f"{alert.id} resolved by {alert.resolved_by} at {alert.resolved_at:%F %T} UTC")
    _send(alertmanagers, alert)


@alerts.command()
@click.argument("matchers", nargs=-1, metavar="MATCHER...")
@config_option
@click.option("--for", "lasts", metavar="DURATION", help="How long, e.g. 90m, 2h, 1d12h.")
@click.option("--comment", help="The reason.")
@click.option("--expire", "expired", metavar="ID", help="End this silence instead of creating one.")
@by_option
@json_option
@reports_errors
def silence(
    matchers: tuple[str, ...], path: Path, lasts: str | None, comment: str | None, expired: str | None, by: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Mute the alerts that all MATCHERs match, for a while; or end such a silence.

    A MATCHER is NAME=VALUE, NAME!=VALUE, NAME=~REGEX or NAME!~REGEX. A cluster gets one silence, Alertmanagers that do
    not know each other one each. Also works while the event store is unreachable; exit status 1 then means that it is
    missing in the audit.
    """
    if expired:
        if matchers or lasts:
            raise click.UsageError("--expire ID cannot be combined with MATCHERs or --for")
        _expire(load(path), expired, comment, by, as_json)
        return
    if not matchers or not lasts or not comment:
        raise click.UsageError("expected at least one MATCHER, --for DURATION and --comment TEXT, or --expire ID")
    config = load(path)
    silence_ = alertmanager.new_silence(matchers, parse_duration(lasts), by, comment, datetime.now(UTC))
    made, problems = alertmanager.from_config(config).silence(silence_)
    _warn(problems.values())
    if not made:
        raise AlertmanagerError("no Alertmanager accepted the silence")
    shown = alertmanager.describe_silence(silence_)
    until = silence_["endsAt"]
    _say(as_json, {"ids": list(made), **silence_}, f"{' '.join(made)} silences {shown} until {until[:19]} UTC")
    for identifier in made:
        _audit(config, by, "silence.create", identifier, {"matchers": shown, "until": until, "comment": comment})


def _expire(config: Config, identifier: str, comment: str | None, by: str, as_json: bool) -> None:
    alertmanagers = alertmanager.from_config(config)
    found, problems = alertmanagers.find_silence(identifier)
    _warn(problems.values())
    if found is None:
        raise AlertmanagerError(f"no Alertmanager that answers knows the silence {identifier}")
    problems = alertmanagers.expire(identifier)
    shown = alertmanager.describe_silence(found)
    _say(as_json, {"id": identifier, "expired": not problems}, f"{identifier} no longer silences {shown}")
    _audit(config, by, "silence.expire", identifier, {"matchers": shown, "comment": comment or ""})
    if problems:
        raise AlertmanagerError("; ".join(problems.values()))


def _links(config: Config, name: str, runbook: str | None, dashboard: str | None) -> dict[str, str]:
    grafana = without_user(config.stack.grafana_url or "").rstrip("/")
    if grafana:
        runbook = runbook or f"{grafana}/d/platform-runbook/runbook?var-alert={manual.ALERTNAME}"
        dashboard = dashboard or f"{grafana}/d/platform-alerts/alerts?var-alertname={name}"
    return {"runbook_url": runbook or "", "dashboard_url": dashboard or ""}


@contextmanager
def _store(config: Config) -> Iterator[Connection]:
    with connect(config.database, "alerts") as connection:
        schema.check_version(connection, "store")
        yield connection


def _opened(config: Config) -> list[manual.ManualAlert]:
    try:
        with _store(config) as connection:
            return manual.opened(connection)
    except (PlatformError, psycopg.Error) as error:
        _warn([f"manual alerts are incomplete: {error}"])
        return []


def _send(alertmanagers: alertmanager.Alertmanagers, alert: manual.ManualAlert) -> None:
    problems = alertmanagers.post([manual.to_api(alert, datetime.now(UTC))])
    _warn(problems.values())
    if len(problems) == len(alertmanagers.urls):
        raise AlertmanagerError(
            "stored, but no Alertmanager accepted it yet; a running exporter with `alertmanager.urls` repeats it"
        )


def _audit(config: Config, by: str, action: str, identifier: str, details: dict[str, object]) -> None:
    try:
        with _store(config) as connection:
            manual.audit(connection, by, action, f"silence/{identifier}", details)
    except (PlatformError, psycopg.Error) as error:
        raise SchemaError(f"done, but missing in the audit: {error}") from error


def _say(as_json: bool, found: Mapping[str, object], text: str) -> None:
    click.echo(json.dumps(found, indent=2) if as_json else text)


def _warn(problems: Iterable[str]) -> None:
    for problem in problems:
        click.echo(f"platform-exporter: {problem}", err=True)
