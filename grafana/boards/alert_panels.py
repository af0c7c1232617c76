"""Draw what concerns alerts, on more than one dashboard."""

from grafana_foundation_sdk.builders import stat, table
from grafana_foundation_sdk.models import common as options

from grafana.design import colors, links, panels, tables, targets
from grafana.queries import health

RULE_LABELS = ("Time", "Value", "__name__", "alertstate", "job", "instance")


def by_severity() -> stat.Panel:
    """Return the number of firing alerts of each severity."""
    asked = [targets.now(health.firing(severity), severity) for severity in colors.SEVERITIES]
    panel: stat.Panel = panels.asked(
        stat.Panel(),
        "Firing alerts by severity",
        "How many alerts fire now. Those muted by inhibition or a silence are counted too.",
        "short",
        asked,
    )
    for severity, color in colors.SEVERITIES.items():
        shown = colors.steps((None, colors.GREEN), (1, color)).build()
        panel.override_by_name(severity, colors.values(thresholds=shown))
    panel.color_scheme(colors.by_thresholds()).color_mode(options.BigValueColorMode.BACKGROUND)
    panel.graph_mode(options.BigValueGraphMode.NONE).text_mode(options.BigValueTextMode.VALUE_AND_NAME)
    panel.thresholds(colors.steps((None, colors.GREEN), (1, colors.RED))).reduce_options(panels.last())
    return panel.data_links([links.data_link("Alerts", links.to("alerts", severity="${__field.name}"))])


def firing() -> table.Panel:
    """Return the table of firing alerts."""
    panel = tables.table(
        "Firing alerts",
        "Every alert that fires now, the dead man's switch left out. The runbook has an entry for each.",
        [targets.rows(health.FIRING)],
        [
            tables.words("severity", colors.SEVERITIES),
            tables.link("alertname", "Runbook", links.to("runbook")),
        ],
        nothing="No alert fires",
    )
    return panel.with_transformation(tables.arranged("severity", "alertname", "app", "indicator", hidden=RULE_LABELS))
