"""Queries on PostgreSQL, Redis, MinIO and HTTP endpoints."""

from grafana.queries.shared import counted

_CHOSEN = '{component=~"$component", name=~"$name"}'
_NAMED = '{name=~"$name"}'
# MinIO and hosts report their disks themselves, under their address.
_SATURATED = '{component=~"$component|host", name=~"$name|.*:.*"}'
_BY_RESOURCE = "max by (component, name, resource)"

STATES = f"component:platform_health:state{_CHOSEN}"
UP = f"component:platform_component_up:max{_CHOSEN}"
AVAILABILITY = f"avg_over_time({UP}[$__range])"
LEAST_AVAILABILITY = f"min({AVAILABILITY})"
PROBLEMS = f"max by (component, name, reason) (platform_component_problem{_CHOSEN})"
DEPENDENCIES = f"max by (app, endpoint, source, query, component, name, origin) (platform_dependency{_CHOSEN})"
PROBE_SECONDS = f"max by (component, name) (platform_component_probe_duration_seconds{_CHOSEN})"
PROBE_FAILURES = counted(f"platform_component_probe_failures_total{_CHOSEN}", "component, name, reason", "5m") + " > 0"

SATURATION = f"component_resource:platform_saturation:ratio{_SATURATED}"
SECONDS_TO_FULL = f"component_resource:platform_saturation_seconds:deriv{_SATURATED}"
# Without caches, which are meant to be full.
FULLEST = f"topk(1, component_resource:platform_saturation_judged:ratio{_SATURATED})"
FIRST_FULL = f"min({SECONDS_TO_FULL})"
USED = f"{_BY_RESOURCE} ({SATURATION})"
# The course of the last hour, extrapolated to a day; at least 0.
IN_A_DAY = f"clamp_min({_BY_RESOURCE} (predict_linear({SATURATION}[1h], 86400)), 0)"
GROWTH = f"3600 * {_BY_RESOURCE} (deriv({SATURATION}[1h]))"
UNTIL_FULL = f"{_BY_RESOURCE} ({SECONDS_TO_FULL})"

CONNECTIONS = f"max by (name) (platform_postgresql_connections{_NAMED})"
CONNECTIONS_LIMIT = f"max by (name) (platform_postgresql_connections_limit{_NAMED})"
OLDEST_TRANSACTION = f"name:platform_postgresql_oldest_transaction_seconds:max{_NAMED}"
REPLICATION_LAG = f"name_standby:platform_postgresql_lag_seconds:max{_NAMED}"
STANDBYS = f"name:platform_postgresql_standbys:max{_NAMED}"
SLOT_BYTES = f"name_slot:platform_postgresql_slot_retained_bytes:max{_NAMED}"
DATABASE_BYTES = f"max by (name) (platform_postgresql_size_bytes{_NAMED})"

MEMORY = f"max by (name) (platform_redis_memory_used_bytes{_NAMED})"
MEMORY_LIMIT = f"max by (name) (platform_redis_memory_limit_bytes{_NAMED}) > 0"
CLIENTS = f"max by (name) (platform_redis_clients{_NAMED})"
QUEUES = f"queue:platform_queue_length:max{_NAMED}"
QUEUE_FLOOR = f"queue:platform_queue_length:min15m{_NAMED}"
QUEUE_AGE = f"queue:platform_queue_age:seconds{_NAMED}"

DRIVES_ONLINE = f"max by (name) (platform_minio_drives_online{_NAMED})"
DRIVES_OFFLINE = f"name:platform_minio_drives_offline:max{_NAMED}"
BUCKETS = f"max by (name, bucket) (platform_minio_bucket_up{_NAMED})"
CAPACITY_FREE = "min by (instance) (minio_cluster_capacity_usable_free_bytes)"
CAPACITY = "min by (instance) (minio_cluster_capacity_usable_total_bytes)"
DISK_FREE = (
    "min by (instance, mountpoint) "
    '(node_filesystem_avail_bytes{fstype!~"tmpfs|ramfs|overlay|squashfs|iso9660|nsfs|fuse.lxcfs"})'
)

CERTIFICATES = 'component:platform_certificate_remaining:seconds{component=~"$component|exporter"}'
FIRST_CERTIFICATE = f"min({CERTIFICATES})"
