"""`reconcile`: counters against the rows that they count."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from exporter.commands.common import config_option, json_option, load, reports_errors, require_source
from exporter.config.settings import Config
from exporter.database import schema
from exporter.database.connection import connect
from exporter.exposition.families import FAMILIES, series_names
from exporter.inspection import chart, printing
from exporter.inspection import reconcile as reconciling
from exporter.inspection.reconcile import Reconciliation
from exporter.sources import mapping


@click.command()
@click.argument("source", required=False)
@config_option
@json_option
@reports_errors
def reconcile(source: str | None, path: Path, as_json: bool) -> None:
    """Compare every counter with plain SQL over the rows that it counts, in one snapshot.

    Shows each metric of SOURCE (default: all sources) as exact, or by how much it differs and why: rows that were
    removed, changed or ahead of the clock. Reads every row once, and changes nothing. Where the configuration's `stack`
    names Prometheus, also what that has of each counter. Exit status 1 if a difference remains without a known cause.

    \b
    Examples:
      platform-exporter reconcile --config platform-exporter.yml
      platform-exporter reconcile stratlogic --config platform-exporter.yml --json
    """
    config = load(path)
    chosen = config.sources if source is None else (require_source(config, source, path, "source"),)
    found = []
    for each in chosen:
        plan = mapping.plan(each)
        with connect(mapping.store_of(config, each), "reconcile", native=plan.native) as connection:
            schema.check_version(connection, "store" if plan.native or plan.read_only else "counting")
            found.append(reconciling.reconcile_source(connection, config, each))
            if not as_json:
                click.echo("\n".join(printing.reconciliation(found[-1])))
    charts = list(_charts(config, found)) if source is None else []
    if as_json:
        click.echo(json.dumps(_json(found, charts), indent=2))
    elif charts:
        click.echo("\n".join(printing.charts(charts)))
    sys.exit(0 if all(one.explained for one in found) else 1)


def _charts(config: Config, found: list[Reconciliation]) -> Any:
    """Return what Prometheus has of each counter; of all sources together, which one series may add up."""
    url = config.stack.prometheus_url
    if not url:
        return []
    names = {name for family in FAMILIES.values() for name in series_names(family) if not name.endswith("_bucket")}
    counters: dict[str, float] = {}
    for one in (comparison for each in found for comparison in each.comparisons):
        if one.metric in names:
            counters[one.metric] = counters.get(one.metric, 0.0) + one.counter
    return chart.read(url, counters)


def _json(found: list[Reconciliation], charts: list[chart.Chart]) -> dict[str, Any]:
    return {
        "sources": [
            {
                "source": each.source, "at": each.at.isoformat(), "explained": each.explained,
                "rows_waiting": each.waiting, "notes": each.notes, "problems": each.problems,
                "metrics": [
                    asdict(one) | {"difference": one.difference, "explained": one.explained}
                    for one in each.comparisons
                ],
            }
            for each in found
        ],
        "prometheus": [asdict(one) for one in charts],
    }  # fmt: skip
