"""Prometheus and Alertmanager on the dashboard of the monitoring: load, rules, and the way of alerts."""

from grafana.design import colors, panels, tables
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
    lines = [
        Line(8, [tables.sorted_by(_targets(), "Scrape"), tables.sorted_by(_groups(), "Duration")]),
        Line(8, [load, failures, scrape]),
        Line(7, [samples, head, disk]),
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
            *("job", "instance", tables.states("State", colors.UP_DOWN)),
            *(tables.column("Available", unit="percentunit"), tables.column("Scrape", unit="s")),
        ],
    )


def _groups() -> tables.tables.Panel:
    return tables.measured(
        "Each rule group",
        "Duration of an evaluation and its share of the interval; failed and skipped evaluations in the range.",
        {
            "Rules": monitoring.GROUP_RULES,
            "Duration": monitoring.GROUP_SECONDS,
            "Of interval": monitoring.GROUP_SHARES,
            "Failed": monitoring.GROUP_FAILED,
            "Skipped": monitoring.GROUP_MISSED,
        },
        [
            *("group", tables.column("Duration", unit="s"), tables.gauge("Of interval")),
            *(tables.warned("Failed", colors.RED), tables.warned("Skipped", colors.ORANGE)),
        ],
        hidden=("rule_group",),
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
        "Alerts sent", "From Prometheus, per minute.", {"{{instance}} {{alertmanager}}": monitoring.SENT}, "cpm"
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
    return Section(
        "Alertmanager and notifications", [Line(8, [notified, failed, held]), Line(8, [sent, lost, reloads])]
    )
