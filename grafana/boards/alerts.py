"""Draw alerts: what fires, what fired, what fires too often, and whether anybody is told."""

from grafana_foundation_sdk.models import common as options

from grafana.boards import alert_panels
from grafana.design import colors, links, panels, tables, targets, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import alerts

VARIABLES = (
    variables.words("severity", "Severity", list(colors.SEVERITIES)),
    variables.text("alertname", "Alert contains"),
)
STATES = {"firing": colors.RED, "resolved": colors.GREEN}
ONLY = links.keeping("alerts", "severity") + "&var-alertname=${__data.fields.alertname:percentencode}"
SERIES_ONLY = links.keeping("alerts", "severity") + "&var-alertname=${__field.labels.alertname}"


def _first_line() -> Line:
    return Line(
        4,
        [
            (alert_panels.by_severity(), 9),
            (
                _figure(
                    "Waiting", "Alerts that fire unless they end within the time their rule waits.", alerts.WAITING
                ),
                3,
            ),
            (_figure("Muted", "Alerts that Alertmanager tells nobody: silenced or inhibited.", alerts.MUTED), 3),
            (_figure("Silences", "Silences in force.", alerts.SILENCES), 3),
            (
                panels.number_tile(
                    "By hand", "Alerts that people made and nobody resolved.", "short", targets.sql(alerts.OPEN_BY_HAND)
                ),
                3,
            ),
            (
                panels.number_tile(
                    "Not delivered",
                    "Notifications that failed in the chosen range; most are tried again.",
                    "short",
                    targets.now(alerts.UNDELIVERED_IN_RANGE, "Not delivered"),
                    (None, colors.GREEN),
                    (1, colors.RED),
                ).decimals(0),
                3,
            ),
        ],
    )


def _figure(title: str, description: str, promql: str) -> panels.stat.Panel:
    return panels.number_tile(title, description, "short", targets.series(promql, title)).decimals(0)


def _firing() -> Line:
    firing = tables.table(
        "Firing now",
        "Every alert that fires, since when; those muted too. A name leads to the runbook, leaves only this alert, or "
        "opens the form of a silence for it, which Editors may make.",
        [targets.rows(alerts.SINCE)],
        [
            tables.column("Value", unit="dateTimeFromNow", title="Since", width=130),
            tables.words("severity", colors.SEVERITIES),
            tables.links(
                "alertname",
                ("Runbook", links.to("runbook")),
                ("Only this alert", ONLY),
                ("Silence it", links.silence("alertname", "severity")),
            ),
        ],
        nothing="No alert fires",
    )
    shown = ("severity", "alertname", "Value", "app", "component", "name", "indicator")
    return Line(9, [(firing.with_transformation(tables.arranged(*shown, hidden=("Time", "__name__"))), 24)])


def _course() -> Line:
    course = panels.health_timeline(
        "What fired when",
        "The worst severity at which each alert fired; a gap means that it did not.",
        [targets.series(alerts.COURSE, "{{alertname}}")],
    )
    course.mappings(colors.RANKS).no_value("Nothing fired").data_links(
        [links.data_link("Only this alert", SERIES_ONLY)]
    )
    by_severity = panels.lines(
        "Firing over time",
        "How many alerts fired, by severity.",
        "short",
        [targets.series(alerts.BY_SEVERITY, "{{severity}}")],
        stacked=True,
        named=colors.SEVERITIES,
    ).decimals(0)
    return Line(10, [(course, 14), (by_severity, 10)])


def _noise() -> Section:
    rules = tables.table(
        "Noisiest rules",
        "Alerts told of in the chosen range, those that fired most often first, and how long they lasted.",
        [targets.sql(alerts.RULES)],
        [
            tables.links("alertname", ("Only this alert", ONLY), ("Runbook", links.to("runbook"))),
            tables.words("severity", colors.SEVERITIES),
            tables.column("firings", title="Fired", width=75),
            tables.column("subjects", title="Subjects", width=85),
            tables.column("still_firing", title="Still firing", width=95),
            tables.column("repeats", title="Told again", width=95),
            tables.column("mean_to_resolve", unit="dtdurations", title="Mean time to resolve"),
            tables.column("longest", unit="dtdurations", title="Longest"),
            tables.column("firing_seconds", unit="dtdurations", title="Fired for"),
            tables.column("last_fired", unit="dateTimeFromNow", title="Last fired", width=125),
        ],
        nothing="No alert was told of",
    )
    flapping = _ranking(
        "Flapping",
        "How often alerts fired again shortly after their end (`alerts.flap_seconds`), in the chosen range.",
        "short",
        alerts.FLAPPING,
    )
    short = _ranking(
        "Gone before anybody came",
        "How often alerts ended shortly after they had fired (`alerts.noise_seconds`), in the chosen range.",
        "short",
        alerts.SHORT,
    )
    longest = _ranking(
        "Time firing", "How long alerts fired that ended in the chosen range.", "dtdurations", alerts.FIRING_TIME
    )
    course = panels.lines(
        "Flaps over time",
        "How often alerts fired again shortly after their end, within an hour.",
        "short",
        [targets.series(alerts.FLAPS, "{{alertname}}")],
    )
    lines = [Line(9, [(rules, 24)]), Line(8, [(flapping, 6), (course, 6), (short, 6), (longest, 6)])]
    return Section("Which rules cry wolf", lines)


def _ranking(title: str, description: str, unit: str, promql: str) -> panels.bargauge.Panel:
    found = panels.ranking(title, description, unit, targets.now(promql, "{{alertname}}")).decimals(0)
    return found.data_links([links.data_link("Only this alert", SERIES_ONLY)])


def _history() -> Section:
    history = tables.table(
        "History",
        "What Alertmanager told of in the chosen range, newest first.",
        [targets.sql(alerts.HISTORY)],
        [
            tables.column("starts_at", unit="dateTimeAsIso", title="Fired", width=170),
            tables.column("ends_at", unit="dateTimeAsIso", title="Ended", width=170),
            tables.words("state", STATES),
            tables.words("severity", colors.SEVERITIES),
            tables.links("alertname", ("Only this alert", ONLY), ("Runbook", links.to("runbook"))),
            tables.column("lasted", unit="dtdurations", title="Lasted", width=140),
            tables.column("repeats", title="Told again", width=95),
        ],
        nothing="No alert was told of",
    )
    points = panels.lines(
        "Time to resolve",
        "How long alerts lasted, a point for each when it ended.",
        "s",
        [targets.sql(alerts.RESOLVED, shape="time_series")],
        named=colors.SEVERITIES,
    )
    points.draw_style(options.GraphDrawStyle.POINTS).show_points(options.VisibilityMode.ALWAYS).point_size(7)
    quantiles = panels.lines(
        "Time to resolve, 50 and 90 %",
        "Within which time half and nine tenths of those ended that did within the hour before.",
        "s",
        [
            targets.series(alerts.time_to_resolve(0.5), "50 % {{severity}}"),
            targets.series(alerts.time_to_resolve(0.9), "90 % {{severity}}"),
        ],
        named=colors.SEVERITIES,
    )
    by_severity = tables.table(
        "Time to resolve by severity",
        "Of the alerts told of in the chosen range.",
        [targets.sql(alerts.RESOLVED_BY_SEVERITY)],
        [
            tables.words("severity", colors.SEVERITIES),
            tables.column("median", unit="dtdurations", title="Half within"),
            tables.column("ninety", unit="dtdurations", title="90 % within"),
            tables.column("longest", unit="dtdurations", title="Longest"),
        ],
        nothing="No alert was told of",
    )
    lines = [Line(12, [(history, 24)]), Line(8, [(points, 8), (quantiles, 8), (by_severity, 8)])]
    return Section("History and time to resolve", lines)


def _silenced() -> Section:
    at_alertmanager = panels.lines(
        "Alerts at Alertmanager",
        "Active ones are told, suppressed ones are silenced or inhibited, unprocessed ones have just come.",
        "short",
        [targets.series(alerts.AT_ALERTMANAGER, "{{state}}")],
    )
    silences = panels.lines(
        "Silences by state",
        "Silences in force, to come, and over.",
        "short",
        [targets.series(alerts.SILENCES_BY_STATE, "{{state}}")],
    )
    in_apps = tables.table(
        "Open alerts of applications",
        "Unresolved alerts in tables of the applications' own.",
        [targets.rows(alerts.OPEN_IN_APPS)],
        [tables.words("severity", colors.SEVERITIES), tables.column("Value", title="Open", width=75)],
        nothing="No application has open alerts",
    ).with_transformation(tables.arranged("app", "severity", "alert_source", "Value", hidden=("Time",)))
    by_hand = tables.table(
        "Alerts made by hand",
        "Those open, and those made in the chosen range; `platform-exporter alerts` makes and resolves them.",
        [targets.sql(alerts.BY_HAND)],
        [
            tables.column("created_at", unit="dateTimeAsIso", title="Made", width=170),
            tables.words("state", STATES),
            tables.words("severity", colors.SEVERITIES),
            tables.column("resolved_at", unit="dateTimeAsIso", title="Resolved", width=170),
        ],
        nothing="Nobody made an alert",
    )
    lines = [Line(8, [(at_alertmanager, 8), (silences, 8), (in_apps, 8)]), Line(8, [(by_hand, 24)])]
    return Section("Silenced, by hand, and in applications", lines)


def _told() -> Section:
    told = panels.lines(
        "Firings and ends told",
        "What Alertmanager told the exporter per minute, and what it told again.",
        "cpm",
        [targets.series(alerts.TOLD, "{{status}}"), targets.series(alerts.REPEATS, "again")],
        named=STATES,
    )
    sent = panels.lines(
        "Notifications",
        "Notifications that Alertmanager sent per minute, and those that failed, by where they go.",
        "cpm",
        [
            targets.series(alerts.SENT, "{{integration}} sent"),
            targets.series(alerts.UNDELIVERED, "{{integration}} failed"),
        ],
        named={"failed": colors.RED},
    )
    not_sent = panels.lines(
        "On the way",
        "Alerts that Prometheus could not hand to an Alertmanager per minute, and posts that wait for the event store.",
        "short",
        [
            targets.series(alerts.NOT_SENT, "not taken by {{alertmanager}}"),
            targets.series(alerts.SPOOLED, "posts waiting"),
        ],
    )
    return Section("Is anybody told?", [Line(8, [(told, 8), (sent, 8), (not_sent, 8)])])


BOARD = Board(
    "alerts",
    "Platform alerts",
    "What fires, since when, and which rules cry wolf?",
    [_first_line(), _firing(), _course(), _noise(), _history(), _silenced(), _told()],
    VARIABLES,
    buttons=[("overview", "Overview"), ("monitoring", "Monitoring"), ("runbook", "Runbook")],
)
