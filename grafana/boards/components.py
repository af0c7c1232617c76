"""Draw PostgreSQL, Redis and MinIO."""

from grafana.design import panels, targets, variables
from grafana.design.layout import Board, Line
from grafana.queries import components, health

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
    ],
    VARIABLES,
)
