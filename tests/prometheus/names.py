"""The metric names that exist, and those that are used."""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from exporter.exposition.families import FAMILIES, series_names

ROOT = Path(__file__).parents[2]
RULE_FILES = sorted((ROOT / "prometheus/rules").glob("*.yml"))
TOKEN = re.compile(r"(?<![\w:.$-])[a-zA-Z_][\w:]*")

FOREIGN = {
    "up": "Prometheus, of every scrape",
    "scrape_duration_seconds": "Prometheus, of every scrape",
    "ALERTS": "the rules themselves, of alerts that are pending or fire",
    "prometheus_rule_evaluation_failures_total": "Prometheus, rules/manager.go",
    "prometheus_rule_group_last_duration_seconds": "Prometheus, rules/manager.go",
    "prometheus_rule_group_interval_seconds": "Prometheus, rules/manager.go",
    "prometheus_notifications_errors_total": "Prometheus, notifier/notifier.go",
    "prometheus_notifications_alertmanagers_discovered": "Prometheus, notifier/notifier.go",
    "process_start_time_seconds": "client libraries, of their own process",
    "prometheus_rule_group_iterations_missed_total": "Prometheus, rules/group.go",
    "prometheus_config_last_reload_successful": "Prometheus, cmd/prometheus/main.go",
    "prometheus_tsdb_compactions_failed_total": "Prometheus, tsdb/db.go",
    "prometheus_tsdb_reloads_failures_total": "Prometheus, tsdb/db.go",
    "prometheus_tsdb_head_truncations_failed_total": "Prometheus, tsdb/head.go",
    "prometheus_tsdb_checkpoint_creations_failed_total": "Prometheus, tsdb/head.go",
    "prometheus_tsdb_mmap_chunk_corruptions_total": "Prometheus, tsdb/head.go",
    "prometheus_tsdb_wal_corruptions_total": "Prometheus, tsdb/head.go",
    "prometheus_tsdb_wal_truncations_failed_total": "Prometheus, tsdb/wlog/wlog.go",
    "prometheus_tsdb_wal_writes_failed_total": "Prometheus, tsdb/wlog/wlog.go",
    "prometheus_target_scrape_pool_exceeded_target_limit_total": "Prometheus, scrape/",
    "prometheus_target_scrape_pool_exceeded_label_limits_total": "Prometheus, scrape/",
    "prometheus_target_scrape_pools_failed_total": "Prometheus, scrape/",
    "prometheus_target_scrapes_exceeded_sample_limit_total": "Prometheus, scrape/",
    "prometheus_target_scrapes_exceeded_body_size_limit_total": "Prometheus, scrape/",
    "prometheus_target_sync_failed_total": "Prometheus, scrape/",
    "prometheus_target_scrapes_sample_duplicate_timestamp_total": "Prometheus, scrape/",
    "prometheus_target_scrapes_sample_out_of_order_total": "Prometheus, scrape/",
    "prometheus_target_scrapes_sample_out_of_bounds_total": "Prometheus, scrape/",
    "prometheus_sd_failed_configs": "Prometheus, discovery/metrics.go",
    "prometheus_remote_storage_samples_failed_total": "Prometheus, storage/remote/queue_manager.go",
    "prometheus_remote_storage_samples_pending": "Prometheus, storage/remote/queue_manager.go",
    "prometheus_remote_storage_queue_highest_sent_timestamp_seconds": "Prometheus, storage/remote/queue_manager.go",
    "prometheus_notifications_queue_length": "Prometheus, notifier/notifier.go",
    "prometheus_notifications_queue_capacity": "Prometheus, notifier/notifier.go",
    "prometheus_notifications_dropped_total": "Prometheus, notifier/notifier.go",
    "alertmanager_config_hash": "Alertmanager, config/coordinator.go",
    "alertmanager_cluster_members": "Alertmanager, cluster/cluster.go",
    "alertmanager_notifications_failed_total": "Alertmanager, notify/notify.go",
    "alertmanager_nflog_maintenance_errors_total": "Alertmanager 0.26, nflog/nflog.go",
    "alertmanager_silences_maintenance_errors_total": "Alertmanager 0.26, silence/silence.go",
    "alertmanager_config_last_reload_successful": "Alertmanager, config/coordinator.go",
    "minio_cluster_capacity_usable_free_bytes": "MinIO, /minio/v2/metrics/cluster, cmd/metrics-v2.go",
    "minio_cluster_capacity_usable_total_bytes": "MinIO, /minio/v2/metrics/cluster, cmd/metrics-v2.go",
    "node_filesystem_avail_bytes": "node_exporter, collector/filesystem_common.go",
    "node_filesystem_size_bytes": "node_exporter, collector/filesystem_common.go",
}
"""The series of other programs that rules may read, and the source of each."""


@cache
def exposed() -> set[str]:
    """Return the names of all series that the exporter may expose."""
    return {name for family in FAMILIES.values() for name in series_names(family)}


@cache
def rules() -> list[dict[str, Any]]:
    """Return all rules of all files, in order."""
    groups = [group for path in RULE_FILES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def recorded() -> set[str]:
    """Return the names that recording rules make."""
    return {rule["record"] for rule in rules() if "record" in rule}


@cache
def makers() -> dict[str, list[str]]:
    """Return the expressions of recording rules by the name that they make."""
    found: dict[str, list[str]] = {}
    for rule in rules():
        if "record" in rule:
            found.setdefault(rule["record"], []).append(rule["expr"])
    return found


def named(expressions: Iterable[str]) -> set[str]:
    """Return the series that these expressions name themselves."""
    tokens = {token for text in expressions for token in TOKEN.findall(text)}
    return tokens & (exposed() | FOREIGN.keys() | makers().keys())


def read_by(expressions: Iterable[str], *, without: str = "\n") -> set[str]:
    """Return every series that these expressions read, directly or through what rules record; `without` is in none."""
    found: set[str] = set()
    texts = list(expressions)
    while texts:
        fresh = {name for name in named([texts.pop()]) if without not in name} - found
        found |= fresh
        texts += [text for name in fresh for text in makers().get(name, [])]
    return found


def unknown(texts: Iterable[str]) -> set[str]:
    """Return the names of the platform in these texts, PromQL or prose, that neither exporter nor rules make."""
    used = {token for text in texts for token in TOKEN.findall(text) if token.startswith("platform_") or ":" in token}
    return {name for name in used if name.startswith("platform_") or ":platform_" in name} - exposed() - recorded()


def unlisted(expressions: Iterable[str]) -> set[str]:
    """Return the names of series in these expressions that belong to others and are not listed as FOREIGN."""
    others = re.compile(r"(?<![\w:.$-])((?:node|minio|prometheus|alertmanager|pg|redis|go|process)_\w+)")
    return {name for text in expressions for name in others.findall(text)} - FOREIGN.keys()
