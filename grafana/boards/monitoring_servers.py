"""Draw Prometheus and Alertmanager: what scrapes and rules cost, and what becomes of alerts."""

from grafana.design import colors, panels, tables, targets
from grafana.design.layout import Line, Section
from grafana.queries import monitoring_servers as servers

TARGET, GROUP = "{{job}} {{instance}}", "{{group}}"


def scrapes_and_rules() -> Section:
    """Return what Prometheus is busy with."""
    asked = (
        ("Scrape duration", "How long each target's scrape takes.", "s", servers.SCRAPE_SECONDS, TARGET),
        ("Samples by job", "Samples of one scrape of a job's targets.", "short", servers.SAMPLES_OF_JOBS, "{{job}}"),
        ("Series in memory", "Series in Prometheus' head.", "short", servers.HEAD_SERIES, "{{instance}}"),
        ("Stored on disk", "Size of Prometheus' blocks.", "bytes", servers.BLOCK_BYTES, "{{instance}}"),
        ("CPU of the servers", "Processor time per second.", "percentunit", servers.CPU, TARGET),
        ("Memory of the servers", "Resident memory.", "bytes", servers.MEMORY, TARGET),
    )  # fmt: skip
    scrape, samples, head, disk, cpu, memory = (
        panels.lines(title, text, unit, [targets.series(query, legend)]) for title, text, unit, query, legend in asked
    )
    load = panels.lines(
        "Load of rule groups",
        "Share of its interval that evaluating a group took; above 100 % evaluations are skipped and alerts come late.",
        "percentunit",
        [targets.series(servers.GROUP_SHARES, GROUP)],
    )
    failures = panels.bars(
        "Rules that fail",
        "Evaluations of rules that failed, in 5 minutes.",
        "short",
        [targets.series(servers.RULE_FAILURES, GROUP)],
    )
    return Section(
        "Prometheus: scrapes and rules",
        [
            Line(8, [(_targets(), 12), (_groups(), 12)]),
            Line(8, [(load, 8), (failures, 8), (scrape, 8)]),
            Line(7, [(samples, 8), (head, 8), (disk, 8)]),
            Line(7, [(cpu, 12), (memory, 12)]),
        ],
        collapsed=True,
    )


def _targets() -> tables.tables.Panel:
    table = tables.measured(
        "Every target",
        "What Prometheus scrapes: state, share of the chosen range in which it answered, and what a scrape costs.",
        {
            "State": servers.TARGETS,
            "Answered": servers.AVAILABLE,
            "Scrape": servers.SCRAPE_SECONDS,
            "Samples": servers.SAMPLES,
            "New series": servers.SERIES_ADDED,
        },
        [
            tables.states("State", colors.UP_DOWN),
            tables.column("Answered", unit="percentunit"),
            tables.column("Scrape", unit="s"),
        ],
        first=("job", "instance"),
    )
    return tables.sorted_by(table, "Scrape")


def _groups() -> tables.tables.Panel:
    table = tables.measured(
        "Every rule group",
        "Rules in it, what one evaluation takes, the share of its interval, and evaluations that failed or were "
        "skipped in the chosen range.",
        {
            "Rules": servers.GROUP_RULES,
            "Takes": servers.GROUP_SECONDS,
            "Of interval": servers.GROUP_SHARES,
            "Failed": servers.GROUP_FAILED,
            "Skipped": servers.GROUP_MISSED,
        },
        [
            tables.column("Takes", unit="s"),
            tables.gauge("Of interval"),
            tables.bounds("Failed", (None, "text"), (1, colors.RED)),
            tables.bounds("Skipped", (None, "text"), (1, colors.ORANGE)),
        ],
        first=("group",),
        hidden=("rule_group",),
    )
    return tables.sorted_by(table, "Takes")


def alerting() -> Section:
    """Return what becomes of alerts on their way to people."""
    sent = panels.lines(
        "Alerts sent",
        "Alerts per minute that Prometheus sent to each Alertmanager.",
        "cpm",
        [targets.series(servers.SENT, "{{instance}} {{alertmanager}}")],
    )
    lost = panels.bars(
        "Alerts not sent",
        "Alerts that could not be sent in 2 minutes, by Alertmanager, and those dropped in 5 from a full queue.",
        "short",
        [
            targets.series(servers.NOT_SENT, "{{instance}} {{alertmanager}}"),
            targets.series(servers.DROPPED, "{{instance}} dropped"),
        ],
    )
    held = panels.lines(
        "Alerts held",
        "Alerts in Alertmanager: those told, those muted by silences and inhibition, those not looked at yet.",
        "short",
        [targets.series(servers.HELD, "{{instance}} {{state}}")],
    )
    told = panels.bars(
        "Notifications", "Notifications tried in 5 minutes, by integration.", "short",
        [targets.series(servers.NOTIFIED, "{{integration}}")],
    )  # fmt: skip
    failed = panels.bars(
        "Notifications that fail", "Notifications given up in 5 minutes, by integration.", "short",
        [targets.series(servers.NOTIFICATION_FAILURES, "{{integration}}")],
    )  # fmt: skip
    reloads = panels.health_timeline(
        "Reloads of configuration",
        "Whether the last reload of Prometheus and Alertmanager worked; the exporter's is with its replicas.",
        [targets.series(servers.PROMETHEUS_RELOADS, TARGET), targets.series(servers.ALERTMANAGER_RELOADS, TARGET)],
    ).mappings(colors.YES_NO)
    return Section(
        "Alertmanager and notifications",
        [Line(8, [(told, 8), (failed, 8), (held, 8)]), Line(8, [(sent, 8), (lost, 8), (reloads, 8)])],
    )
