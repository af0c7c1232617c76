"""The dashboard that people open first.

From top to bottom, on a phone too: is anything wrong, what, since when and what to do; which app, and in which respect;
then the course of rate, errors and duration. Everything leads to the dashboard of its subject.
"""

from typing import Any

from grafana_foundation_sdk.builders import common, stat, table
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models

from grafana.boards import alerts
from grafana.design import colors, columns, links, panels, tables, targets, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import alerts as manual_alerts
from grafana.queries import health, http, matrix, shared

FIRING = "Firing alerts"
WRAPPED = {"type": "auto", "wrapText": True}


def _overall() -> stat.Panel:
    return panels.health_tile(
        "Platform",
        "The worst of all components, indicators and firing alerts. Unknown where nothing has enough traffic to judge.",
        health.OVERALL,
        ("Alerts", links.to("alerts")),
    )


def _firing() -> table.Panel:
    """Return the table of what is wrong now: the gravest first, of these the newest."""
    dashboard = links.to("${__data.fields.board}", app="${__data.fields.chosen:percentencode}")
    panel = tables.of_series(
        FIRING,
        "Alerts of the chosen apps, and of what belongs to no app. Where opens a dashboard, What to do the runbook.",
        health.firing_alerts(),
        [
            "rank",
            _refined(tables.link("subject", "Dashboard", dashboard), displayName="Where", custom__width=200),
            _refined(
                ("meaning", {"mappings": _meanings(), "custom.cellOptions": WRAPPED}),
                displayName="What",
                custom__minWidth=300,
            ),
            tables.column("Value", "Since", 145, columns.AGO),
            _refined(tables.link("entry", *links.RUNBOOK), displayName="What to do", custom__width=240),
            *(tables.hidden(name) for name in ("alertname", "board", "chosen")),
        ],
    )
    panel.cell_height(options.TableCellHeight.MD)
    order = [common.TableSortByFieldState().display_name(name).desc(True) for name in ("Severity", "Since")]
    return panel.sort_by(order).no_value("No firing alert found")


def _refined(column: tables.Column, **properties: Any) -> tables.Column:
    """Return the column with more properties; a double underscore stands for the dot of custom.NAME."""
    name, found = column
    return name, found | {key.replace("__", "."): value for key, value in properties.items()}


def _meanings() -> list[models.ValueMapping]:
    texts = health.meanings().items()
    options = {name: models.ValueMappingResult(text=text, index=number) for number, (name, text) in enumerate(texts)}
    return [models.ValueMap(options=options)]


def _matrix() -> table.Panel:
    """Return the table of a row per app and a column per subject, the worst app first."""
    queries = [*(column.query() for column in matrix.COLUMNS), matrix.worst()]
    here = "${__data.fields.app:percentencode}"
    looks = [
        _refined(
            tables.states(column.label, colors.CELLS),
            displayName=column.heading,
            custom__minWidth=110,
            custom__wrapText=True,
            links=tables.link("", f"{column.heading} in detail", links.to(column.board, app=here))[1]["links"],
        )
        for column in matrix.COLUMNS
    ]
    panel = tables.table(
        "Apps",
        "What is worst of each subject; where nothing is wrong, the usual figure. Grey is unknown, a dash is none. "
        "A cell opens the dashboard of its subject.",
        [targets.rows(query) for query in queries],
        [_refined(tables.link("app", "Only this app", links.to("overview", app=here)), custom__width=118), *looks],
    )
    names = ["app", *(column.label for column in matrix.COLUMNS)]
    worst = f"Value #{chr(ord('A') + len(matrix.COLUMNS))}"
    for step in tables.merged(names, [worst]):
        panel.with_transformation(step)
    # Both sorts keep the order of equals: the worst first, and the equally bad by name.
    for name in ("app", tables.last(worst)):
        order = {"sort": [{"field": name, "desc": name != "app"}]}
        panel.with_transformation(models.DataTransformerConfig(id_val="sortBy", options=order))
    return panel.with_transformation(tables.arranged(*names, hidden=[tables.last(worst)])).no_value("No app found")


def _components() -> stat.Panel:
    return panels.health_tile(
        "Components",
        "Down is critical, degraded is a warning, grey was not probed.",
        health.COMPONENTS,
        ("Components", links.to("components")),
        legend="{{component}} {{name}}",
    )


def _manual() -> stat.Panel:
    """Return the number of what Prometheus does not know: people gave it to Alertmanager."""
    return panels.number_tile(
        "Manual alerts",
        "Alerts that people created and no one resolved.",
        manual_alerts.OPEN_MANUAL,
        bounds=((None, colors.GREEN), (1, colors.RED)),
        link=("Alerts", links.to("alerts")),
    )


def _charts() -> list[Section]:
    app = "{{app}}"
    rate = panels.lines("Request rate", "Requests served per second.", {app: http.RATE}, "reqps")
    ratio = panels.judged("Error ratio", "5xx over 5 minutes.", {app: http.ERROR_RATIO}, "http_error_ratio")
    mean = panels.judged("Mean response time", "Over 5 minutes.", {app: http.MEAN}, "http_latency_seconds", "s")
    pauses = panels.judged(
        "Silence by app",
        "Time since an app's last event, as a multiple of its longest usual pause; of the five most silent.",
        {app: shared.busiest(health.PAUSES, 5)},
        "app_silence_ratio",
        "short",
    )
    kinds = panels.lines(
        "Silence by kind of event",
        "As beside, by kind of event; of apps that write others.",
        {"{{app}} {{kind}}": shared.busiest(health.KIND_PAUSES, 5)},
        thresholds=shared.threshold("events_missing_ratio", app=False),
    )
    return [
        Section("Rate, errors, duration", [Line(8, [rate, ratio, mean])]),
        Section("Silence", [Line(11, [pauses, kinds])], collapsed=True),
    ]


def _apps() -> variables.Variable:
    """Return the choice of apps: all are also those that no counter names, for example because no exporter responds."""
    found = variables.labels("app", "App", shared.APPS)
    found.build().all_value = ".*"
    return found


BOARD = Board(
    "overview",
    "Is the platform healthy, and if not, where?",
    [
        Line(3, [_overall(), alerts.by_severity(of_chosen=True)], (6, 18)),
        Line(7, [_firing()]),
        Line(9, [_matrix()]),
        Line(3, [_components(), _manual()], (19, 5)),
        *_charts(),
    ],
    (_apps(),),
)
