"""Prometheus and Alertmanager on the dashboard of the monitoring: load, rules, and the way of alerts."""

from grafana.design import colors, columns, panels, tables
from grafana.design.layout import Line, Section
from grafana.queries import monitoring

TARGET, GROUP, INTEGRATION = "{{job}} {{instance}}", "{{group}}", "{{integration}}"


def sections() -> list[Section]:
    """Return the sections on both servers."""
    return [_prometheus(), _alertmanager()]


def _prometheus() -> Section:
    scrape, samples, head, disk, cpu, memory = (
        panels.lines(title, text, {legend: query}, unit)
        for title, text, unit, query, legend in (
            ("Scrape duration", "Of each target.", "s", monitoring.TARGET_SECONDS, TARGET),
            ("Samples by job", "Samples of one scrape of a job.", "short", monitoring.JOB_SAMPLES, "{{job}}"),
            ("Series in memory", "In Prometheus' head block.", "short", monitoring.HEAD_SERIES, "{{instance}}"),
            ("Storage", "Size of Prometheus' blocks.", "bytes", monitoring.BLOCK_BYTES, "{{instance}}"),
            ("Server CPU", "Processor time per second.", "percentunit", monitoring.SERVER_CPU, TARGET),
            ("Server memory", "Resident memory.", "bytes", monitoring.SERVER_MEMORY, TARGET),
        )
    )
    load = panels.lines(
        "Load of rule groups",
        "Evaluation time as a share of the group's interval. Above 100 % evaluations are skipped and alerts come late.",
        {GROUP: monitoring.GROUP_SHARES},
        "percentunit",
    )
    failures = panels.bars("Failing rules", "Failed rule evaluations in 5 minutes.", {GROUP: monitoring.RULE_FAILURES})
    problems = panels.bars(
        "Problems",
        "Failures of the storage in 15 minutes (Alertmanager: 20), and targets and samples left out in 10, by problem.",
        [panels.targets.series(query, "{{instance}} {{problem}}") for query in monitoring.SERVER_PROBLEMS],
    )
    remote = panels.lines(
        "Remote storage",
        "Samples that wait to be sent, and those that remote storage refused in 5 minutes; none without remote write.",
        {"{{url}} waiting": monitoring.REMOTE_PENDING, "{{url}} refused": monitoring.REMOTE_FAILED},
    )
    restarts = panels.bars(
        "Restarts",
        "Starts of each target's process in 15 minutes, where it reports them.",
        {TARGET: monitoring.RESTARTS},
    )
    stored = panels.lines(
        "Age of last sample",
        "Of the newest that Prometheus itself stored; the watchdog stops at a minute.",
        {"Age": monitoring.NOT_STORED_SECONDS},
        "s",
    )
    lines = [
        *(
            Line(7, [table])
            for table in (tables.sorted_by(_targets(), "Scrape"), tables.sorted_by(_groups(), "Duration"))
        ),
        Line(9, [load, scrape]),
        Line(7, [failures, problems, remote]),
        Line(7, [restarts, stored, samples]),
        Line(7, [head, disk]),
        Line(7, [cpu, memory]),
    ]
    return Section("Prometheus: scrapes and rules", lines, collapsed=True)


def _targets() -> tables.tables.Panel:
    return tables.measured(
        "Each target",
        "What Prometheus scrapes: state, share of the chosen range in which it responded, and the cost of a scrape.",
        {
            "State": monitoring.TARGETS,
            "Available": monitoring.AVAILABLE,
            "Scrape": monitoring.TARGET_SECONDS,
            "Samples": monitoring.TARGET_SAMPLES,
            "New series": monitoring.SERIES_ADDED,
        },
        [
            *("job", "instance", tables.states("State", colors.UP_DOWN), tables.column("State", width=70)),
            *(tables.column("Available", None, 90, "percentunit"), tables.column("Scrape", None, 85, "s")),
            *(tables.column("Samples", width=80), tables.column("New series", width=95)),
        ],
    )


def _groups() -> tables.tables.Panel:
    return tables.measured(
        "Each rule group",
        "Duration of an evaluation and its share of the interval; failed and skipped evaluations in the range.",
        {
            "Duration": monitoring.GROUP_SECONDS,
            "Of interval": monitoring.GROUP_SHARES,
            "Failed": monitoring.GROUP_FAILED,
            "Skipped": monitoring.GROUP_MISSED,
        },
        [
            ("group", {"custom.minWidth": 185}),
            tables.column("Duration", None, 100, "s"),
            *(tables.column(name, width=75) for name in ("Failed", "Skipped")),
            tables.column("Of interval", width=110),
            tables.gauge("Of interval", (None, colors.GREEN), (0.5, colors.YELLOW), (1, colors.RED)),
            tables.warned("Failed", colors.RED),
            tables.warned("Skipped", colors.ORANGE),
        ],
    )


def _alertmanager() -> Section:
    notified = panels.bars(
        "Notifications", "Attempts in 5 minutes, by integration.", {INTEGRATION: monitoring.NOTIFIED}
    )
    failed = panels.bars(
        "Failed notifications", "Failed attempts in 5 minutes.", {INTEGRATION: monitoring.NOTIFICATION_FAILURES}
    )
    held = panels.lines(
        "Alerts in Alertmanager",
        "Active ones are sent, suppressed ones are silenced or inhibited, unprocessed ones have just arrived.",
        {"{{instance}} {{state}}": monitoring.HELD},
    )
    sent = panels.lines(
        "Alerts sent",
        "From Prometheus, per minute.",
        {"{{instance}} {{alertmanager}}": monitoring.SENT},
        columns.PER_MINUTE,
    )
    lost = panels.bars(
        "Alerts not sent",
        "Alerts that could not be sent in 2 minutes, by Alertmanager, and those dropped from a full queue in 5.",
        {"{{instance}} {{alertmanager}}": monitoring.NOT_SENT, "{{instance}} dropped": monitoring.NOT_QUEUED},
    )
    reloads = panels.health_timeline(
        "Configuration reloads",
        "Whether the last reload of Prometheus and Alertmanager succeeded. The exporter's are shown with its replicas.",
        [panels.targets.series(query, TARGET) for query in monitoring.SERVER_RELOADS],
        colors.YES_NO,
    )
    queue = panels.lines(
        "Queue of alerts",
        "Share of Prometheus' queue that is used.",
        {"{{instance}}": monitoring.QUEUE_SHARE},
        "percentunit",
    )
    cluster = panels.lines(
        "Alertmanager's cluster",
        "Members that each Alertmanager sees, itself included; and how many configurations they have, expected 1.",
        {"{{instance}} members": monitoring.CLUSTER_MEMBERS, "{{job}} configurations": monitoring.CONFIGURATIONS},
    ).decimals(0)
    switch = panels.lines(
        "Dead man's switch",
        "Since the exporter last got the watchdog; and whether its own messages were sent, where it had to send any.",
        {
            "{{instance}} last watchdog": monitoring.WATCHDOG_AGE,
            "{{instance}} {{channel}}": monitoring.WATCHDOG_MESSAGES,
        },
        "s",
    )
    lines = [Line(8, [notified, failed, held]), Line(8, [sent, lost, reloads]), Line(7, [queue, cluster, switch])]
    return Section("Alertmanager and notifications", lines)
