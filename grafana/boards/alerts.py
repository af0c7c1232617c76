"""The dashboard of alerts: what fires, what fired, what fires too often, and whether anyone is notified."""

from grafana_foundation_sdk.builders import stat
from grafana_foundation_sdk.models import common as options

from grafana.design import colors, columns, links, panels, tables, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import alerts, health

VARIABLES = (
    variables.words("severity", "Severity", list(colors.SEVERITIES)),
    variables.text("alertname", "Alert contains"),
)
STATES = {"firing": colors.RED, "resolved": colors.GREEN}
ONLY = (
    "Only this alert",
    links.keeping("alerts", "severity") + "&var-alertname=${__data.fields.alertname:percentencode}",
)
SERIES_ONLY = ("Only this alert", links.keeping("alerts", "severity") + "&var-alertname=${__field.labels.alertname}")


def by_severity(*, of_chosen: bool = False) -> stat.Panel:
    """Return the tile with the number of firing alerts of each severity, of all or of the chosen apps and of no app."""
    return panels.severity_tile(
        "Firing alerts by severity",
        "How many alerts fire now, including those that inhibition or a silence mutes.",
        {severity: health.firing(severity, of_chosen=of_chosen) for severity in colors.SEVERITIES},
        ("Alerts", links.to("alerts", severity="${__field.displayName}")),
    )


def _first_line() -> Line:
    waiting = _figure("Pending", "Alerts that will fire if their condition lasts as long as their rule requires.")
    muted = _figure("Muted", "Alerts for which Alertmanager notifies no one: silenced or inhibited.")
    manual = panels.number_tile("Manual", "Alerts that people created and no one resolved.", alerts.OPEN_MANUAL)
    failed = panels.number_tile(
        "Not delivered",
        "Notifications that failed in the chosen range. Most are tried again.",
        {"Not delivered": alerts.UNDELIVERED_IN_RANGE},
        bounds=((None, colors.GREEN), (1, colors.RED)),
    ).decimals(0)
    return Line(4, [by_severity(), waiting, muted, manual, failed], (7, 4, 4, 4, 5))


def _figure(title: str, description: str) -> stat.Panel:
    asked = {"Pending": alerts.PENDING, "Muted": alerts.MUTED}[title]
    return panels.number_tile(title, description, {title: asked}).decimals(0)


def _firing() -> list[Line]:
    firing = tables.of_series(
        "Firing now",
        "Since when, including muted alerts. A name opens the runbook, filters, or opens a silence (Editors only).",
        alerts.SINCE,
        [
            *("rank", tables.hidden("severity"), tables.column("alertname", width=300)),
            tables.links("alertname", links.RUNBOOK, ONLY, ("Silence it", links.silence("alertname", "severity"))),
            *(tables.wrapped("subject"), tables.column("Value", "Since", 140, columns.AGO)),
        ],
    ).no_value("No firing alert found")
    course = panels.health_timeline(
        "Firing alerts over time",
        f"The worst severity at which each alert fired, of the {alerts.MOST} that fired longest. A gap means that it "
        "did not fire.",
        {"{{alertname}}": alerts.COURSE},
        colors.RANKS,
        SERIES_ONLY,
    )
    count = panels.lines(
        "Number of firing alerts",
        "By severity.",
        {"{{severity}}": alerts.BY_SEVERITY},
        stacked=True,
        named=colors.SEVERITIES,
    ).decimals(0)
    return [Line(9, [tables.sorted_by(firing, "Severity")]), Line(10, [course, count], (14, 10))]


def _noise() -> Section:
    rules = tables.table(
        "Noisiest alerts",
        "Alerts with notifications in the chosen range, the most frequent first, and how long they lasted.",
        alerts.RULES,
        [
            *("alertname", tables.links("alertname", ONLY, links.RUNBOOK), "severity"),
            *(tables.column("firings", width=70), tables.column("subjects", width=80)),
            *(tables.column("still_firing", "Firing", 75), tables.column("mean_to_resolve", "Mean time", 110)),
            *(tables.column("longest", width=100), tables.column("firing_seconds", width=110)),
            tables.column("last_fired", width=135),
        ],
    )
    rankings = [
        panels.ranking(title, text, {"{{alertname}}": query}, unit, link=SERIES_ONLY).decimals(0)
        for title, text, unit, query in (
            ("Flapping", "Fired again within `alerts.flap_seconds` of their end.", panels.COUNT, alerts.FLAPPING),
            ("Short alerts", "Ended within `alerts.noise_seconds`.", panels.COUNT, alerts.SHORT),
            ("Time firing", "How long alerts fired that ended in the range.", "dtdurations", alerts.FIRING_TIME),
        )
    ]
    course = panels.lines(
        "Flapping over time",
        "How often alerts fired again soon, within an hour; those that did.",
        {"{{alertname}}": alerts.FLAPS},
    )
    return Section("Noisy alerts", [Line(9, [rules]), Line(8, [rankings[0], course, *rankings[1:]])])


def _history() -> Section:
    history = tables.table(
        "History",
        "Alerts that Alertmanager reported in the chosen range: those that fire still, then the newest.",
        alerts.HISTORY,
        [
            *(tables.words("state", STATES, 75), "severity", tables.wrapped("alertname", 250)),
            *(tables.links("alertname", ONLY, links.RUNBOOK), tables.wrapped("subject", 130)),
            *(tables.wrapped("summary"), "starts_at", tables.column("lasted", width=105)),
        ],
    )
    points = panels.lines(
        "Time to resolve", "How long alerts lasted, at their end.", alerts.RESOLVED, "s", named=colors.SEVERITIES
    )
    points.draw_style(options.GraphDrawStyle.POINTS).show_points(options.VisibilityMode.ALWAYS).point_size(7)
    quantiles = panels.lines(
        "Time to resolve, 50 % and 90 %",
        "The time within which 50 % and 90 % of the alerts ended that ended in the hour before.",
        {f"{100 * share:.0f} % {{{{severity}}}}": alerts.time_to_resolve(share) for share in (0.5, 0.9)},
        "s",
        named=colors.SEVERITIES,
    )
    by_severity = tables.table(
        "Time to resolve by severity",
        "Of the alerts that Alertmanager reported in the chosen range.",
        alerts.RESOLVED_BY_SEVERITY,
        [
            "severity",
            tables.column("firings", width=60),
            *(tables.column(one, width=105) for one in ("median", "ninety")),
        ],
    )
    return Section(
        "History and time to resolve", [Line(12, [history]), Line(8, [points, quantiles, by_severity], (7, 8, 9))]
    )


def _other_sources() -> Section:
    at_alertmanager = panels.lines(
        "Alerts in Alertmanager by state",
        "Active alerts are sent, suppressed ones are silenced or inhibited, unprocessed ones have just arrived.",
        {"{{state}}": alerts.AT_ALERTMANAGER},
    )
    silences = panels.lines(
        "Silences by state", "Active, future and expired silences.", {"{{state}}": alerts.SILENCES_BY_STATE}
    )
    in_apps = tables.of_series(
        "Open alerts of applications",
        "Unresolved alerts in the applications' own tables.",
        alerts.OPEN_IN_APPS,
        ["app", "severity", tables.column("alert_source", width=110), tables.column("Value", "Open", 75)],
    )
    manual = tables.table(
        "Manual alerts",
        "Open ones, and those created in the chosen range. `platform-exporter alerts` creates and resolves them.",
        alerts.MANUAL,
        [
            *(tables.words("state", STATES, 75), "severity", tables.wrapped("app", 100), tables.wrapped("summary")),
            *(tables.wrapped(name, 100) for name in ("created_by", "resolved_by")),
            *(tables.column(name, unit=columns.AGO, width=112) for name in ("created_at", "resolved_at")),
            tables.column("id", "ID", 120),
        ],
    ).no_value("No manual alert found")
    lines = [Line(8, [at_alertmanager, silences, in_apps], (8, 6, 10)), Line(8, [manual])]
    return Section("Silences, manual alerts and alerts of applications", lines)


def _notifications() -> Section:
    received = panels.lines(
        "Notifications to the exporter",
        "Firing and resolved alerts that Alertmanager sent to the exporter per minute, and its reminders.",
        {"{{status}}": alerts.RECEIVED, "reminders": alerts.REPEATS},
        columns.PER_MINUTE,
        named=STATES,
    )
    sent = panels.lines(
        "Notifications by integration",
        "Notifications that Alertmanager sent per minute, and those that failed.",
        {"{{integration}} sent": alerts.SENT, "{{integration}} failed": alerts.UNDELIVERED},
        columns.PER_MINUTE,
        named={"failed": colors.RED},
    )
    not_sent = panels.lines(
        "Alerts in transit",
        "Alerts that Prometheus could not send per minute, and notifications that wait for the event store.",
        {"not accepted by {{alertmanager}}": alerts.NOT_SENT, "waiting notifications": alerts.SPOOLED},
    )
    return Section("Notifications", [Line(8, [received, sent, not_sent])])


BOARD = Board(
    "alerts",
    "Which alerts fire, since when, and which are noisy?",
    [_first_line(), *_firing(), _noise(), _history(), _other_sources(), _notifications()],
    VARIABLES,
    may_be_empty={"Short alerts": "Where all is well, or all lasts, no alert is short."},
)
