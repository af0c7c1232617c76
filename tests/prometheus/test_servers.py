"""What a real Prometheus and real Alertmanagers do when they fail, and what the shipped rules say then."""

import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.prometheus.names import ROOT
from tests.servers import PrometheusBinaries
from tools.stack.errors import StackError
from tools.stack.ports import free_port
from tools.stack.process import poll_until
from tools.stack.servers import Alertmanager, Prometheus
from tools.stack.servers.alertmanager import Cluster

RULES = ("monitoring.yml", "servers.yml", "storage.yml")
CONFIG = """
global:
  scrape_interval: 1s
  evaluation_interval: 1s
  external_labels: {{grafana_url: "http://g", runbook_url: "http://r"}}
rule_files: [rules/*.yml]
scrape_configs:
  - {{job_name: prometheus, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}
  - {{job_name: alertmanager, static_configs: [{{targets: {alertmanagers}}}]}}
"""
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
Start = Callable[..., Prometheus]


def watching(
    start: Start, folder: Path, binaries: PrometheusBinaries, *alertmanagers: Alertmanager, flags: tuple[str, ...] = ()
) -> Prometheus:
    """Return a Prometheus with the shipped rules about servers, which scrapes itself every second."""
    (folder / "rules").mkdir()
    for name in RULES:
        shutil.copy(ROOT / "prometheus/rules" / name, folder / "rules")
    port, config = free_port(), folder / "prometheus.yml"
    config.write_text(CONFIG.format(port=port, alertmanagers=[one.address for one in alertmanagers]))
    return start(config, binary=binaries.prometheus, port=port, flags=flags)


def firing(prometheus: Prometheus) -> dict[str, str]:
    """Return the summaries of the alerts that fire, by name."""
    alerts = (one for one in prometheus.alerts() if one["state"] == "firing")
    return {one["labels"]["alertname"]: one["annotations"]["summary"] for one in alerts}


def pid_of(prometheus: Prometheus) -> int:
    """Return the number of its process."""
    pid = prometheus.process.pid
    assert pid is not None
    return pid


def test_a_full_disk_is_named_and_stops_the_watchdog(
    prometheus_binaries: PrometheusBinaries, start_prometheus: Start, tmp_path: Path
) -> None:
    """Writes fail as on a full disk, by a limit of the size of files; the exporter is not said to be missing."""
    prometheus = watching(start_prometheus, tmp_path, prometheus_binaries)
    poll_until(lambda: "PlatformWatchdog" in firing(prometheus))
    resource.prlimit(pid_of(prometheus), resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    poll_until(lambda: "PlatformPrometheusNotStoring" in firing(prometheus), 240)
    found = firing(prometheus)
    resource.prlimit(pid_of(prometheus), resource.RLIMIT_FSIZE, UNLIMITED)
    poll_until(lambda: "PlatformWatchdog" in firing(prometheus))
    poll_until(lambda: "PlatformPrometheusNotStoring" not in firing(prometheus))

    assert found["PlatformPrometheusNotStoring"] == "Prometheus stores nothing"
    assert "PlatformWatchdog" not in found


def test_a_refused_reload_is_reported_until_it_succeeds(
    prometheus_binaries: PrometheusBinaries, start_prometheus: Start, tmp_path: Path
) -> None:
    """A rule that cannot be parsed is the usual reason."""
    prometheus = watching(start_prometheus, tmp_path, prometheus_binaries)
    broken = tmp_path / "rules/broken.yml"
    broken.write_text("groups: [{name: x, rules: [{record: a, expr: 'sum('}]}]")
    with pytest.raises(StackError):
        prometheus.reload()
    poll_until(lambda: "PlatformPrometheusReloadFailed" in firing(prometheus))
    summary = firing(prometheus)["PlatformPrometheusReloadFailed"]
    broken.unlink()
    prometheus.reload()
    poll_until(lambda: "PlatformPrometheusReloadFailed" not in firing(prometheus), 180)

    assert summary == f"Prometheus {prometheus.address} refused its new configuration"


def test_a_pair_that_falls_apart_is_reported(
    prometheus_binaries: PrometheusBinaries,
    start_prometheus: Start,
    start_alertmanager: Callable[..., Alertmanager],
    tmp_path: Path,
) -> None:
    """Both run, and one comes back without its peer, with another configuration."""
    first, flags = Cluster(), ["--cluster.probe-interval=200ms", "--cluster.probe-timeout=100ms"]
    options = {"binary": prometheus_binaries.alertmanager, "flags": flags}
    pair = [
        start_alertmanager(cluster=first, **options),
        start_alertmanager(cluster=Cluster(peers=(first.address,)), **options),
    ]
    prometheus = watching(start_prometheus, tmp_path, prometheus_binaries, *pair)
    poll_until(lambda: len(prometheus.query("alertmanager_cluster_members == 2")) == 2)
    pair[1].stop()
    pair[1].cluster = Cluster()
    pair[1].config = "route: {receiver: other}\nreceivers: [{name: other}]\n"
    pair[1].start()
    poll_until(lambda: len(prometheus.query("alertmanager_cluster_members == 1")) == 2)
    expected = {"PlatformAlertmanagerClusterSplit", "PlatformAlertmanagerConfigsDiffer"}

    def found() -> set[str]:
        return {one["labels"]["alertname"] for one in prometheus.alerts()} & expected

    # Pending is enough: promtool shows the rest, and `for` is minutes.
    poll_until(lambda: found() == expected)
    pair[1].stop()
    pair[1].cluster = Cluster(peers=(first.address,))
    pair[1].config = pair[0].config
    pair[1].start()
    poll_until(lambda: not found())


def test_starts_are_counted(
    prometheus_binaries: PrometheusBinaries,
    start_prometheus: Start,
    start_alertmanager: Callable[..., Alertmanager],
    tmp_path: Path,
) -> None:
    """An Alertmanager that is killed again and again is down for too short a time for anything else."""
    victim = start_alertmanager(binary=prometheus_binaries.alertmanager)
    prometheus = watching(start_prometheus, tmp_path, prometheus_binaries, victim)
    started = 'process_start_time_seconds{job="alertmanager"}'
    # Old enough for its successor to be younger at the next evaluation, 5 s later.
    poll_until(lambda: prometheus.query('job_instance:process_age:seconds{job="alertmanager"} > 6'))
    for _ in range(4):
        before = poll_until(lambda: prometheus.query(started))[0]["value"][1]
        victim.kill()
        victim.start()
        poll_until(lambda: [one["value"][1] for one in prometheus.query(started)] not in ([], [before]))  # noqa: B023
    poll_until(lambda: "PlatformCrashLoop" in firing(prometheus))

    assert firing(prometheus)["PlatformCrashLoop"] == f"alertmanager {victim.address} restarts again and again"
