"""Draw PostgreSQL, Redis and MinIO.

From top to bottom: are they up, which is not and why, what will be full when, then each kind by itself.
"""

from grafana.boards import component_details
from grafana.design import colors, links, panels, tables, targets, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import components, shared

LEGEND = "{{component}} {{name}}"
VARIABLES = (
    variables.labels("component", "Component", "platform_component_up"),
    variables.labels("name", "Name", 'platform_component_up{component=~"$component"}'),
)
TO_COMPONENT = links.to("components", component="${__data.fields.component}", name="${__data.fields.name}")


def _figures() -> Line:
    alerts = links.data_link("Alerts", links.to("alerts"))
    worst = panels.health_tile("Components", "The worst of all.", targets.now(components.WORST, "Components"), alerts)
    states = panels.health_tile(
        "Each component",
        "What the exporter's probe finds: down is critical, degraded is a warning, grey was not probed.",
        targets.now(components.STATES, LEGEND),
        links.data_link(
            "Only this one",
            links.to("components", component="${__field.labels.component}", name="${__field.labels.name}"),
        ),
    ).text_mode(panels.options.BigValueTextMode.VALUE_AND_NAME)
    fullest = panels.number_tile(
        "Fullest",
        "The highest used share of connections, memory or a disk; caches, which are meant to be full, are left out.",
        "percentunit",
        targets.now(components.FULLEST, "{{name}} {{resource}}"),
    )
    fullest.text_mode(panels.options.BigValueTextMode.VALUE_AND_NAME).decimals(0)
    full = panels.number_tile(
        "Full in",
        "Until the first of connections, memory or disks is used up, if it grows on as it does.",
        "dtdurations",
        targets.now(components.FIRST_FULL, "Full in"),
    ).no_value("Nothing fills up")
    certificate = panels.number_tile(
        "Certificate expires in",
        "Time until the first TLS certificate expires, of components and of the exporter.",
        "dtdurations",
        targets.now(components.FIRST_CERTIFICATE, "Certificate"),
    ).no_value("No certificate")
    available = panels.number_tile(
        "Available",
        "Share of the chosen range in which the component that was down for longest was up.",
        "percentunit",
        targets.now(components.LEAST_AVAILABILITY, "Available"),
    ).decimals(2)
    return Line(4, [(worst, 3), (states, 9), (fullest, 3), (full, 3), (certificate, 3), (available, 3)])


def _states() -> Line:
    timeline = panels.health_timeline(
        "State",
        "Down is critical, degraded is a warning, grey was not probed. A gap means that the exporter was not there.",
        [targets.series(components.STATES, LEGEND)],
    )
    why = tables.table(
        "Why",
        "What the probes of components that are down or degraded find now. The runbook has what to do about each.",
        [targets.rows(components.PROBLEMS)],
        [
            tables.link("name", "Only this one", TO_COMPONENT),
            tables.link("reason", "Runbook", links.to("runbook")),
            tables.words("reason", component_details.REASONS),
        ],
        nothing="Every component is healthy",
    ).with_transformation(tables.arranged("component", "name", "reason", hidden=("Time", "Value")))
    return Line(8, [(timeline, 16), (why, 8)])


def _charts() -> Line:
    full = panels.lines(
        "How full",
        "Used share of connections, memory and disks; MinIO and machines by their address.",
        "percentunit",
        [
            targets.series(components.SATURATION, LEGEND + " {{resource}}"),
            targets.threshold_lines(shared.threshold("saturation_ratio", app=False)),
        ],
    ).max(1)
    until = panels.lines(
        "Time until full",
        "Until connections, memory or a disk are used up, if they grow on as they do. No line where nothing grows, or "
        "less than half is used.",
        "s",
        [
            targets.series(components.SECONDS_TO_FULL, LEGEND + " {{resource}}"),
            targets.threshold_lines(shared.threshold("saturation_seconds", lower_is_worse=True, app=False)),
        ],
    )
    probes = panels.lines(
        "Probe duration",
        "How long the exporter's probe of each component took; it gives up after probe_timeout_seconds.",
        "s",
        [targets.series(components.PROBE_SECONDS, LEGEND)],
    )
    return Line(8, [(full, 8), (until, 8), (probes, 8)])


def _forecast() -> Section:
    table = tables.measured(
        "What fills up",
        "Used share now and as it would be in 24 hours, growth per hour over the last hour, and the time until it is "
        "full, where more than half is used and it grows steadily.",
        {
            "Used": components.USED,
            "In 24 h": components.IN_A_DAY,
            "Growth per hour": components.GROWTH,
            "Full in": components.UNTIL_FULL,
        },
        [
            tables.gauge("Used"),
            tables.gauge("In 24 h", color=colors.ORANGE),
            tables.column("Growth per hour", unit="percentunit", width=130),
            tables.column("Full in", unit="dtdurations", width=170),
        ],
        first=("component", "name", "resource"),
    )
    available = panels.ranking(
        "Availability",
        "Share of the chosen range in which each component was up.",
        "percentunit",
        targets.now(components.AVAILABILITY, LEGEND),
        (None, colors.RED),
        (0.99, colors.YELLOW),
        (0.999, colors.GREEN),
    )
    failures = panels.bars(
        "Failed probes",
        "Probes that failed in 5 minutes, by reason.",
        "short",
        [targets.series(components.PROBE_FAILURES, LEGEND + " {{reason}}")],
    )
    shown = [(tables.sorted_by(table, "Used"), 12), (failures, 7), (available.max(1).decimals(2), 5)]
    return Section("Forecast and availability", [Line(9, shown)])


BOARD = Board(
    "components",
    "Platform components",
    "Are PostgreSQL, Redis and MinIO up, fast and far from full?",
    [
        _figures(),
        _states(),
        _charts(),
        _forecast(),
        component_details.postgresql(),
        component_details.redis(),
        component_details.minio(),
        component_details.certificates(),
    ],
    VARIABLES,
    buttons=[("monitoring", "Monitoring"), ("alerts", "Alerts"), ("runbook", "Runbook")],
)
