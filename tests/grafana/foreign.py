"""The series of other programs that dashboards query: who exposes them, and their labels."""

_EXPORTER = {"instance": "127.0.0.1:9847", "job": "platform-exporter"}
_PROMETHEUS = {"instance": "127.0.0.1:9090", "job": "prometheus"}
_REMOTE = {"remote_name": "long", "url": "http://storage.example/write", **_PROMETHEUS}
_ALERTMANAGER = {"instance": "127.0.0.1:9093", "job": "alertmanager"}
_MINIO = {"instance": "127.0.0.1:9000", "job": "minio"}
_DISK = {"device": "/dev/sda1", "fstype": "ext4", "mountpoint": "/", "instance": "127.0.0.1:9100", "job": "node"}
_GROUP = {"rule_group": "rules/http.yml;platform_http", **_PROMETHEUS}

FOREIGN: dict[str, tuple[dict[str, str], ...]] = {
    # Every scrape: https://prometheus.io/docs/concepts/jobs_instances/
    "up": (_EXPORTER, _PROMETHEUS, _ALERTMANAGER),
    "scrape_duration_seconds": (_EXPORTER, _PROMETHEUS, _ALERTMANAGER),
    "scrape_samples_scraped": (_EXPORTER, _PROMETHEUS, _ALERTMANAGER),
    "scrape_samples_post_metric_relabeling": (_EXPORTER, _PROMETHEUS, _ALERTMANAGER),
    "scrape_series_added": (_EXPORTER, _PROMETHEUS, _ALERTMANAGER),
    # Every client library: https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics
    "process_cpu_seconds_total": (_EXPORTER, _PROMETHEUS, _ALERTMANAGER),
    "process_resident_memory_bytes": (_EXPORTER, _PROMETHEUS, _ALERTMANAGER),
    "process_open_fds": (_EXPORTER, _PROMETHEUS, _ALERTMANAGER),
    "process_max_fds": (_EXPORTER, _PROMETHEUS, _ALERTMANAGER),
    "process_start_time_seconds": (_EXPORTER, _PROMETHEUS, _ALERTMANAGER),
    # Prometheus 2.42 to 3.x, its own /metrics.
    "prometheus_rule_group_last_duration_seconds": (_GROUP,),
    "prometheus_rule_group_interval_seconds": (_GROUP,),
    "prometheus_rule_group_rules": (_GROUP,),
    "prometheus_rule_group_iterations_missed_total": (_GROUP,),
    "prometheus_rule_evaluations_total": (_GROUP,),
    "prometheus_rule_evaluation_failures_total": (_GROUP,),
    "prometheus_notifications_sent_total": ({"alertmanager": "http://127.0.0.1:9093/api/v2/alerts", **_PROMETHEUS},),
    "prometheus_notifications_errors_total": ({"alertmanager": "http://127.0.0.1:9093/api/v2/alerts", **_PROMETHEUS},),
    "prometheus_notifications_dropped_total": (_PROMETHEUS,),
    "prometheus_notifications_queue_length": (_PROMETHEUS,),
    "prometheus_notifications_queue_capacity": (_PROMETHEUS,),
    "prometheus_tsdb_compactions_failed_total": (_PROMETHEUS,),
    "prometheus_target_scrape_pool_exceeded_target_limit_total": (_PROMETHEUS,),
    "prometheus_target_scrapes_sample_duplicate_timestamp_total": (_PROMETHEUS,),
    "prometheus_remote_storage_samples_pending": (_REMOTE,),
    "prometheus_remote_storage_samples_failed_total": (_REMOTE,),
    "prometheus_remote_storage_queue_highest_sent_timestamp_seconds": (_REMOTE,),
    "prometheus_tsdb_head_series": (_PROMETHEUS,),
    "prometheus_tsdb_storage_blocks_bytes": (_PROMETHEUS,),
    "prometheus_config_last_reload_successful": (_PROMETHEUS,),
    "prometheus_notifications_alertmanagers_discovered": (_PROMETHEUS,),
    # MinIO's cluster metrics, and node_exporter's of a machine's disks: what the rules of saturation read.
    "minio_cluster_capacity_usable_total_bytes": (_MINIO,),
    "minio_cluster_capacity_usable_free_bytes": (_MINIO,),
    "node_filesystem_size_bytes": (_DISK,),
    "node_filesystem_avail_bytes": (_DISK,),
    # Alertmanager 0.25 to 0.3x, its own /metrics.
    "alertmanager_alerts": tuple(
        {"state": state, **_ALERTMANAGER} for state in ("active", "suppressed", "unprocessed")
    ),
    "alertmanager_silences": tuple({"state": state, **_ALERTMANAGER} for state in ("active", "pending", "expired")),
    "alertmanager_notifications_total": ({"integration": "webhook", **_ALERTMANAGER},),
    "alertmanager_notifications_failed_total": ({"integration": "webhook", "reason": "other", **_ALERTMANAGER},),
    "alertmanager_silences_maintenance_errors_total": (_ALERTMANAGER,),
    "alertmanager_nflog_maintenance_errors_total": (_ALERTMANAGER,),
    "alertmanager_config_last_reload_successful": (_ALERTMANAGER,),
    "alertmanager_config_hash": (_ALERTMANAGER,),
    "alertmanager_cluster_members": (_ALERTMANAGER,),
}

# Made of alert rules by Prometheus; further labels are those of the rules.
ALERTS = {"ALERTS": ("alertname", "alertstate"), "ALERTS_FOR_STATE": ("alertname",)}
