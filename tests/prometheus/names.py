"""Tell which metric names exist, and which are used."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
RULE_FILES = sorted((ROOT / "prometheus/rules").glob("*.yml"))
TOKEN = re.compile(r"(?<![\w:.$-])[a-zA-Z_][\w:]*")

# What the exporter exposes, and whether it is a histogram.
# To be replaced by exporter.exposition.reference.METRICS, which declares the same, once that exists.
HISTOGRAMS = {
    "platform_scraping_run_duration_seconds",
    "platform_api_call_duration_seconds",
    "platform_http_request_duration_seconds",
}
OTHERS = {
    "platform_component_up",
    "platform_component_status",
    "platform_component_probe_duration_seconds",
    "platform_component_probe_failures_total",
    "platform_postgresql_connections",
    "platform_postgresql_connections_limit",
    "platform_postgresql_oldest_transaction_seconds",
    "platform_postgresql_size_bytes",
    "platform_redis_memory_used_bytes",
    "platform_redis_memory_limit_bytes",
    "platform_redis_clients",
    "platform_minio_drives_online",
    "platform_minio_drives_offline",
    "platform_minio_bucket_up",
    "platform_queue_length",
    "platform_scraping_runs_total",
    "platform_scraping_run_failures_total",
    "platform_scraping_items_total",
    "platform_scraping_item_failures_total",
    "platform_scraping_jobs",
    "platform_scraping_oldest_pending_timestamp_seconds",
    "platform_scraping_oldest_heartbeat_timestamp_seconds",
    "platform_api_calls_total",
    "platform_api_call_failures_total",
    "platform_api_rate_limit_remaining",
    "platform_http_requests_total",
    "platform_user_activity_total",
    "platform_user_activity_failures_total",
    "platform_active_users",
    "platform_active_sessions",
    "platform_errors_total",
    "platform_error_issues",
    "platform_error_regressions_total",
    "platform_open_alerts",
    "platform_sdk_events_total",
    "platform_sdk_events_dropped_total",
    "platform_threshold",
    "platform_exporter_source_lag_seconds",
    "platform_exporter_source_up",
    "platform_exporter_source_poll_duration_seconds",
    "platform_exporter_events_total",
    "platform_exporter_series_folded_total",
    "platform_exporter_rows_rejected_total",
    "platform_exporter_build_info",
    "platform_exporter_config_last_reload_successful",
}


def exposed() -> set[str]:
    """Return the names of all series that the exporter may expose."""
    return OTHERS | {f"{name}{suffix}" for name in HISTOGRAMS for suffix in ("_bucket", "_count", "_sum")}


def rules() -> list[dict[str, Any]]:
    """Return all rules of all files, in order."""
    groups = [group for path in RULE_FILES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def recorded() -> set[str]:
    """Return the names that recording rules make."""
    return {rule["record"] for rule in rules() if "record" in rule}


def unknown(texts: Iterable[str]) -> set[str]:
    """Return the names of the platform in these texts, PromQL or prose, that neither exporter nor rules make."""
    used = {token for text in texts for token in TOKEN.findall(text) if token.startswith("platform_") or ":" in token}
    return {name for name in used if name.startswith("platform_") or ":platform_" in name} - exposed() - recorded()
