"""`rules`: what an existing Prometheus, Alertmanager and Grafana need of ours."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from exporter.commands.common import FILE, options, parse_labels, reports_errors
from exporter.config.settings import parse_address
from exporter.errors import ConfigError
from exporter.mixin import files, hours
from exporter.mixin.installation import LONGEST_INTERVAL_SECONDS, SENT_TO, Installation
from exporter.mixin.promql import JOB
from exporter.printing import plural
from exporter.times import parse_duration

FOLDER = click.Path(path_type=Path, file_okay=False)


def _interval(context: click.Context, option: click.Parameter, text: str) -> int:
    seconds = int(parse_duration(text).total_seconds())
    if not 1 <= seconds <= LONGEST_INTERVAL_SECONDS:
        raise click.BadParameter(f"invalid {text}: expected 1s to {LONGEST_INTERVAL_SECONDS}s")
    return seconds


def _job(context: click.Context, option: click.Parameter, given: Any) -> Any:
    for name in [given] if isinstance(given, str) else given:
        if not name or any(sign in name for sign in '\\"{}') or not name.isprintable():
            raise click.BadParameter(f"invalid job {name!r}: expected a name without quotes, backslashes and braces")
    return given


def _replica_labels(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    for name in given:
        if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            raise click.BadParameter(f"invalid label {name!r}: expected letters, digits and _, e.g. prometheus_replica")
    return given


def _url(context: click.Context, option: click.Parameter, url: str | None) -> str | None:
    if url is not None and (not url.startswith(("http://", "https://")) or any(sign in url for sign in "{}'\" \n")):
        raise click.BadParameter(f"invalid {url!r}: expected an address with http:// or https://")
    return url and url.rstrip("/")


def _targets(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    for target in given:
        try:
            parse_address(target)
        except ValueError as error:
            raise click.BadParameter(f"invalid {target!r}: {error}") from error
    return given


def _receivers(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Return the receivers by what is sent to them; a name alone is for all that people get."""
    found: dict[str, str] = {}
    for one in given:
        what, equals, name = one.partition("=")
        if not equals:
            found |= dict.fromkeys(SENT_TO[:5], what)
        elif what not in SENT_TO or not name:
            raise click.BadParameter(f"invalid {one!r}: expected NAME or WHAT=NAME, with one of {', '.join(SENT_TO)}")
        else:
            found[what] = name
    return found


def _hours(interval: Callable[..., hours.Interval], example: str) -> Callable[..., hours.Interval]:
    def read(context: click.Context, option: click.Parameter, text: str) -> hours.Interval:
        parts = text.replace("-", " ", 1).split() if interval is hours.working_hours else text.split()
        try:
            return interval(*parts)
        except TypeError:
            raise click.BadParameter(f"invalid {text!r}: expected e.g. {example!r}") from None
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return read


_installation = options(
    click.option("--job", default=JOB, show_default=True, callback=_job, help="The name of the exporter's scrape job."),
    click.option(
        "--interval",
        "interval_seconds",
        default="15s",
        show_default=True,
        callback=_interval,
        help=f"How often it is scraped, at most {LONGEST_INTERVAL_SECONDS}s.",
    ),
    click.option(
        "--target",
        "targets",
        multiple=True,
        default=["127.0.0.1:9847"],
        show_default=True,
        callback=_targets,
        metavar="HOST:PORT",
        help="Where it is scraped. May be repeated: its replicas.",
    ),
    click.option(
        "--dashboard-url",
        callback=_url,
        show_default="that of --grafana, or http://127.0.0.1:3000",
        help="Where people open Grafana: the links in notifications.",
    ),
    click.option(
        "--runbook-url",
        callback=_url,
        show_default="the dashboard",
        help="Where people read the runbook; ?var-alert=NAME#name is added.",
    ),
    click.option(
        "--watch",
        "watched",
        multiple=True,
        callback=_job,
        metavar="JOB",
        help="Also watch this scrape job: of Prometheus, Alertmanager, MinIO ... May be repeated.",
    ),
    click.option(
        "--replica-label",
        "replica_labels",
        multiple=True,
        callback=_replica_labels,
        metavar="LABEL",
        help="A label that differs between a pair of Prometheus, where rules see both. May be repeated.",
    ),
    click.option(
        "--receiver",
        "receivers",
        multiple=True,
        callback=_receivers,
        metavar="[WHAT=]NAME",
        help=f"A receiver of your Alertmanager, for all or one of {', '.join(SENT_TO)}. May be repeated.",
    ),
    click.option(
        "--working-hours",
        default="monday:friday 09:00-18:00 UTC",
        show_default=True,
        callback=_hours(hours.working_hours, "monday:friday 09:00-18:00 Europe/Berlin"),
        help="When medium alerts are sent.",
    ),
    click.option(
        "--digest",
        default="09:00 UTC",
        show_default=True,
        callback=_hours(hours.digest, "09:00 Europe/Berlin"),
        help="When low alerts are sent, within an hour.",
    ),
)


@click.command()
@_installation
@click.option("--print", "part", type=click.Choice(list(files.PARTS)), help="Print one part instead of the rules.")
@click.option("--output", "-o", "folder", type=FOLDER, help="Write all parts into this folder.")
@click.option(
    "--prometheus-config", "prometheus", type=FILE, help="Add to this prometheus.yml what loads them from --output."
)
@click.option("--alertmanager-config", "alertmanager", type=FILE, help="Add routes and inhibition to this file.")
@click.option(
    "--grafana", callback=_url, metavar="URL", help="Import the dashboards there; GRAFANA_TOKEN is its token."
)
@click.option("--kubernetes", is_flag=True, help="As objects of the operator and of Grafana's sidecar.")
@click.option("--namespace", default="", help="Of these objects.")
@click.option(
    "--label", "labels", multiple=True, callback=parse_labels, metavar="NAME=VALUE", help="Of these objects; repeated."
)
@reports_errors
def rules(
    part: str | None,
    folder: Path | None,
    prometheus: Path | None,
    alertmanager: Path | None,
    grafana: str | None,
    kubernetes: bool,
    namespace: str,
    labels: dict[str, str],
    **given: Any,
) -> None:
    """Print the rules for a Prometheus that you already have, or write them with dashboards, routes and scrape job.

    Links are written into the alerts: no external label is needed. Nothing is connected to but what --grafana names.

    \b
    Examples:
      platform-exporter rules --job web --interval 30s > platform.yml
      platform-exporter rules -o platform --prometheus-config /etc/prometheus/prometheus.yml
      platform-exporter rules --grafana https://grafana.example.org
      platform-exporter rules --print routes --receiver critical=pager --receiver high=chat
      platform-exporter rules --kubernetes --namespace monitoring --label release=prometheus
    """
    given["dashboard_url"] = given["dashboard_url"] or grafana or "http://127.0.0.1:3000"
    given["runbook_url"] = given["runbook_url"] or f"{given['dashboard_url']}/d/platform-runbook/runbook"
    installation = Installation(**given)
    if kubernetes and (part or prometheus or alertmanager or grafana):
        raise ConfigError("--kubernetes goes with none of --print, --grafana and the configurations of servers")
    if prometheus and not folder:
        raise ConfigError("--prometheus-config needs --output, the folder that Prometheus loads")
    if part and (folder or grafana):
        raise ConfigError("--print goes without --output and --grafana")
    if kubernetes:
        written = files.write_objects(installation, folder, namespace, labels) if folder else []
    else:
        written = files.write(installation, folder) if folder else []
    if prometheus and folder:
        written += files.add_to_prometheus(prometheus, folder)
    if alertmanager:
        written += files.add_to_alertmanager(alertmanager, installation)
    if grafana:
        _import(grafana, installation)
    for path in written:
        click.echo(f"wrote {path}", err=True)
    if kubernetes and not folder:
        click.echo(files.objects_text(installation, namespace, labels), nl=False)
    elif not (folder or alertmanager or grafana):
        click.echo(files.PARTS[part or "rules"](installation), nl=False)


def _import(url: str, installation: Installation) -> None:
    # Imported here: printing needs no HTTP client.
    from exporter.mixin.dashboards import dashboards
    from exporter.mixin.grafana import import_dashboards

    found = dashboards(installation)
    import_dashboards(url, os.environ.get("GRAFANA_TOKEN", ""), found)
    click.echo(f"imported {plural(len(found), 'dashboard')}: {url}/d/platform-overview/overview", err=True)
