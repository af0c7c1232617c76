"""Draw PostgreSQL, Redis and MinIO."""

from grafana.design import panels, targets, variables
from grafana.design.layout import Board, Line
from grafana.queries import components, health, shared

VARIABLES = (
    variables.labels("component", "Component", "platform_component_up"),
    variables.labels("name", "Name", 'platform_component_up{component=~"$component"}'),
)

BOARD = Board(
    "components",
    "Platform components",
    "Are PostgreSQL, Redis and MinIO up, fast and far from full?",
    [
        Line(
            8,
            [
                (
                    panels.health_timeline(
                        "State",
                        "Down is critical, degraded is a warning, grey was not probed. "
                        "A gap means that the exporter was not there.",
                        [targets.series(health.COMPONENTS, "{{component}} {{name}}")],
                    ),
                    12,
                ),
                (
                    panels.lines(
                        "Probe duration",
                        "How long the exporter's probe of each component took.",
                        "s",
                        [targets.series(components.PROBE_SECONDS, "{{component}} {{name}}")],
                    ),
                    12,
                ),
            ],
        ),
        Line(
            8,
            [
                (
                    panels.lines(
                        "How full",
                        "Used share of connections, memory and disks, MinIO and machines by their address.",
                        "percentunit",
                        [
                            targets.series(components.SATURATION, "{{component}} {{name}} {{resource}}"),
                            targets.threshold_lines(shared.threshold("saturation_ratio", app=False)),
                        ],
                    ),
                    8,
                ),
                (
                    panels.lines(
                        "Time until full",
                        "Until connections, memory or a disk are used up, if they grow on as they do.",
                        "s",
                        [
                            targets.series(components.SECONDS_TO_FULL, "{{component}} {{name}} {{resource}}"),
                            targets.threshold_lines(shared.threshold("saturation_seconds", app=False)),
                        ],
                    ),
                    8,
                ),
                (
                    panels.lines(
                        "Queues",
                        "Entries waiting in each queue.",
                        "short",
                        [targets.series(components.QUEUES, "{{name}} {{queue}}")],
                    ),
                    8,
                ),
            ],
        ),
        Line(
            8,
            [
                (
                    panels.lines(
                        "Oldest transaction",
                        "How long the oldest transaction of each PostgreSQL is open.",
                        "s",
                        [
                            targets.series(components.OLDEST_TRANSACTION, "{{name}}"),
                            targets.threshold_lines(shared.threshold("transaction_age_seconds", app=False)),
                        ],
                    ),
                    8,
                ),
                (
                    panels.lines(
                        "Drives offline",
                        "Drives of each MinIO that do not work.",
                        "short",
                        [targets.series(components.DRIVES_OFFLINE, "{{name}}")],
                    ),
                    8,
                ),
                (
                    panels.lines(
                        "Certificates",
                        "Time until the TLS certificates of components and of the exporter expire.",
                        "s",
                        [
                            targets.series(components.CERTIFICATES, "{{component}} {{name}}"),
                            targets.threshold_lines(shared.threshold("certificate_expiry_seconds", app=False)),
                        ],
                    ),
                    8,
                ),
            ],
        ),
    ],
    VARIABLES,
)
