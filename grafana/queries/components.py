"""Ask for PostgreSQL, Redis and MinIO."""

PROBE_SECONDS = (
    'max by (component, name) (platform_component_probe_duration_seconds{component=~"$component", name=~"$name"})'
)
