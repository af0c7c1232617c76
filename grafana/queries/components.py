"""Ask for PostgreSQL, Redis and MinIO."""

PROBE_SECONDS = (
    'max by (component, name) (platform_component_probe_duration_seconds{component=~"$component", name=~"$name"})'
)

SATURATION = 'component_resource:platform_saturation:ratio{component=~"$component|host", name=~"$name|.*:.*"}'
SECONDS_TO_FULL = (
    'component_resource:platform_saturation_seconds:deriv{component=~"$component|host", name=~"$name|.*:.*"}'
)
QUEUES = 'queue:platform_queue_length:max{name=~"$name"}'
DRIVES_OFFLINE = 'name:platform_minio_drives_offline:max{name=~"$name"}'
OLDEST_TRANSACTION = 'name:platform_postgresql_oldest_transaction_seconds:max{name=~"$name"}'
CERTIFICATES = 'component:platform_certificate_remaining:seconds{component=~"$component|exporter"}'
