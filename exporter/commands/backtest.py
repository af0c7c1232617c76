"""`alerts backtest`: how often alerts would have fired and notified."""

import difflib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from exporter import printing
from exporter.commands import backfill
from exporter.commands.common import config_option, ended_in_order, json_option, load, logged_progress, reports_errors
from exporter.config.settings import Config
from exporter.errors import ConfigError
from exporter.history import backtest as past
from exporter.history import blocks, openmetrics
from exporter.history.increments import TimeGrid
from exporter.history.replay import Rule
from exporter.mixin.installation import ours
from exporter.times import parse_duration
from platform_sdk.events import EVENTS

HEADINGS = ("SEVERITY", "ALERT", "FIRED", "NOTIFIED", "FOR", "LONGEST", "MOST OFTEN")

IN_ROWS = {
    name
    for kind in EVENTS
    for rollup in kind.rollups
    for name in (rollup.metric, f"{rollup.metric}_bucket", f"{rollup.metric}_count", f"{rollup.metric}_sum")
}
"""The series that are made of rows."""


@click.command("backtest")
@config_option
@click.option("--since", default="7d", show_default=True, help="From when: 24h, 30d (ago), or a date or time.")
@click.option("--until", help="Until when; as --since (default: now).")
@click.option("--against", type=click.Path(path_type=Path, exists=True, dir_okay=False),
              help="Another configuration, to compare its thresholds and objectives with those in force.")  # fmt: skip
@click.option("--alert", "names", multiple=True, help="Only this alert; may be repeated.")
@click.option("--rules", type=click.Path(path_type=Path, exists=True), default=lambda: ours("prometheus/rules"),
              show_default="those of the bundle", help="The rules: folder or file.")  # fmt: skip
@click.option("--step", "step_seconds", default=60, show_default=True, help="Seconds between two evaluations.",
              type=click.IntRange(backfill.LEAST_STEP_SECONDS, backfill.MOST_STEP_SECONDS))  # fmt: skip
@click.option("--warm-up", default="1d", show_default=True,
              help="How long before --since rows are read; 4w for alerts that compare with weeks.")  # fmt: skip
@click.option("--promtool", type=click.Path(path_type=Path), help="Its path (default: in PATH).")
@click.option("--prometheus", type=click.Path(path_type=Path), help="Its path (default: in PATH).")
@json_option
@reports_errors
def command(
    path: Path, since: str, until: str | None, against: Path | None, names: tuple[str, ...], rules: Path,
    step_seconds: int, warm_up: str, promtool: Path | None, prometheus: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Show how often each alert would have fired and notified, by the rows that are stored.

    The rules are evaluated over the past by a Prometheus of its own, in a temporary folder; nothing is sent or changed.
    Alerts that need what the exporter measures beside the rows (components, queues, running jobs, schedules, the
    monitoring itself) are named at the end.

    FIRED counts single alerts, NOTIFIED the notifications of their beginnings: alerts of the same severity about the
    same app are one, and what a graver threshold of the same indicator covers is muted. Silences, working hours,
    repetitions and other inhibition are not considered.

    \b
    Example:
      platform-exporter alerts backtest --config FILE --since 30d --against trial.yml
    """
    config = load(path)
    tried = {str(path): config} | ({str(against): load(against)} if against else {})
    # What was asked for is checked before what it takes: a wrong value is quicker to mend than a missing program.
    grid = backfill.grid_of(since, until, step_seconds, 0)
    whole = _longer(grid, parse_duration(warm_up))
    known = list(blocks.rules_of(rules))
    alerts, silent = _judgeable(known, names)
    programs = (blocks.program("prometheus", prometheus), blocks.program("promtool", promtool))
    with ended_in_order(), tempfile.TemporaryDirectory(prefix="platform-backtest-") as name:
        folder = Path(name)
        backfill.write_events(config, (), whole, _labels(config), programs[1], folder, [])
        judged = {
            title: _judged(programs, known, alerts, chosen, grid, whole, folder) for title, chosen in tried.items()
        }
    click.echo(json.dumps(_as_json(judged, silent), indent=2) if as_json else "\n".join(_report(judged, silent, grid)))


def _judgeable(rules: list[dict[str, Any]], names: tuple[str, ...]) -> tuple[list[Rule], list[str]]:
    """Return the alerts that rows can judge, and the names of the others. Raises ConfigError for an unknown name."""
    alerts: list[Rule] = [rule for rule in rules if "alert" in rule and rule["labels"]["severity"] != "none"]
    if unknown := sorted({*names} - {rule["alert"] for rule in alerts}):
        near = difflib.get_close_matches(unknown[0], {rule["alert"] for rule in alerts}, 1)
        meant = f", such as {near[0]}" if near else ""
        raise ConfigError(
            f"invalid value {unknown[0]!r} for --alert: expected an alert of --rules that notifies{meant}"
        )
    alerts = [rule for rule in alerts if not names or rule["alert"] in names]
    told = [rule for rule in alerts if past.read_by(rules, [rule["expr"]]) & IN_ROWS]
    return told, sorted({rule["alert"] for rule in alerts} - {rule["alert"] for rule in told})


def _judged(
    programs: tuple[Path, Path], rules: list[dict[str, Any]], alerts: list[Rule], config: Config, grid: TimeGrid,
    whole: TimeGrid, events: Path,
) -> list[past.Judged]:  # fmt: skip
    """Return what became of the alerts with the thresholds of a configuration."""
    needed = past.read_by(rules, [rule["expr"] for rule in alerts])
    layers = blocks.layers(rule for rule in rules if rule.get("record") in needed)
    with tempfile.TemporaryDirectory(prefix="platform-backtest-", dir=events.parent) as name:
        folder = Path(name)
        for block in filter(Path.is_dir, events.iterdir()):
            shutil.copytree(block, folder / block.name, copy_function=os.link)
        gauges = [*backfill.promised(config), *_healthy(config)]
        backfill.write(openmetrics.Timeline([], gauges, whole, _labels(config)), whole, programs[1], folder)
        backfill.evaluate(programs, layers, whole, folder)
        with logged_progress("alerts", len(alerts)) as bar:
            return past.judge(list(past.firings(programs[0], folder, alerts, grid, bar.update)))


def _healthy(config: Config) -> Iterator[backfill.Constant]:
    """Yield what an exporter shows that runs and can read its sources: alerts ask for it."""
    yield "up", {}, 1.0
    yield from (("platform_exporter_source_up", {"source": source.label}, 1.0) for source in config.sources)


def _labels(config: Config) -> dict[str, str]:
    return {"instance": config.listen, "job": "platform-exporter"}


def _longer(grid: TimeGrid, by: timedelta) -> TimeGrid:
    steps = int(by.total_seconds()) // grid.step_seconds
    return TimeGrid(grid.start - steps * grid.step_seconds, grid.step_seconds, grid.steps + steps)


def _report(judged: Mapping[str, list[past.Judged]], silent: Iterable[str], grid: TimeGrid) -> Iterator[str]:
    for title, found in judged.items():
        yield f"{title}: {_summary(found, grid.end - grid.start)}"
        yield from printing.table(HEADINGS, [_cells(one) for one in found])
        yield ""
    if named := ", ".join(silent):
        yield f"Not judged, because they need what the exporter measures beside the rows: {named}"


def _summary(found: list[past.Judged], seconds: int) -> str:
    counts = {severity: sum(one.notified for one in found if one.severity == severity) for severity in past.NOTIFYING}
    told = ", ".join(f"{count:,} {severity}" for severity, count in counts.items() if count) or "none"
    return f"{printing.plural(sum(counts.values()), 'notification')} in {_span(seconds)} ({told})"


def _cells(one: past.Judged) -> tuple[str, ...]:
    lengths = [firing.end - firing.start for firing in one.firings]
    return (
        *(one.severity, one.alert, f"{len(one.firings):,}", f"{one.notified:,}"),
        *(_span(sum(lengths)), _span(max(lengths)), _most(one)),
    )


def _most(one: past.Judged) -> str:
    """Return the subject that fired most often."""
    counts: dict[past.Labels, int] = {}
    for firing in one.firings:
        counts[firing.subject] = counts.get(firing.subject, 0) + 1
    subject, count = max(counts.items(), key=lambda item: item[1])
    told = " ".join(value for name, value in subject if name != "indicator")
    return f"{told} ({count:,})" if len(counts) > 1 else told


def _span(seconds: int) -> str:
    """Return a length of time in its two largest units, such as `2h 5m`."""
    parts = [(seconds // 86_400, "d"), (seconds // 3_600 % 24, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s")]
    told = [f"{number}{unit}" for number, unit in parts if number]
    return " ".join(told[:2]) or "0s"


def _as_json(judged: Mapping[str, list[past.Judged]], silent: list[str]) -> dict[str, Any]:
    return {
        "configurations": {
            title: [
                {
                    "alert": one.alert,
                    "severity": one.severity,
                    "fired": len(one.firings),
                    "notified": one.notified,
                    "firings": [
                        {"labels": dict(firing.labels), "start": firing.start, "end": firing.end}
                        for firing in one.firings
                    ],
                }
                for one in found
            ]
            for title, found in judged.items()
        },
        "not_judged": silent,
    }
