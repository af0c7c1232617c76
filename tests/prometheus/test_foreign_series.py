"""The series of other programs that rules read are really exposed by both releases of those programs."""

import base64
import hashlib
import hmac
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.prometheus.names import FOREIGN
from tests.servers import PrometheusBinaries
from tools.stack.ports import free_port
from tools.stack.process import poll_until
from tools.stack.servers import Alertmanager, Minio, Prometheus
from tools.stack.servers.alertmanager import Cluster

CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
alerting: {{alertmanagers: [{{api_version: v2, static_configs: [{{targets: ["{alertmanager}"]}}]}}]}}
rule_files: [rules.yml]
scrape_configs: [{{job_name: one, static_configs: [{{targets: ["{address}"]}}]}}]
remote_write: [{{url: "http://{address}/api/v1/write"}}]
"""
RULES = "groups: [{name: one, rules: [{alert: Always, expr: vector(1)}]}]"


def names_of(exposition: str) -> set[str]:
    """Return the names of the series in a text exposition."""
    return {line.split("{")[0].split(" ")[0] for line in exposition.splitlines() if not line.startswith("#")}


def listed(program: str) -> set[str]:
    """Return the listed series of a program."""
    return {name for name, source in FOREIGN.items() if source.startswith(program)}


def test_prometheus_and_alertmanager_expose_what_rules_read(
    prometheus_binaries: PrometheusBinaries,
    tmp_path: Path,
    start_prometheus: Callable[..., Prometheus],
    start_alertmanager: Callable[..., Alertmanager],
) -> None:
    """A rule on a series that a version renamed would never fire."""
    alertmanager = start_alertmanager(binary=prometheus_binaries.alertmanager, cluster=Cluster())
    (tmp_path / "rules.yml").write_text(RULES)
    config, port = tmp_path / "prometheus.yml", free_port()
    config.write_text(CONFIG.format(alertmanager=alertmanager.address, address=f"127.0.0.1:{port}"))
    flags = ["--web.enable-remote-write-receiver"]
    prometheus = start_prometheus(config, binary=prometheus_binaries.prometheus, port=port, flags=flags)

    def missing() -> set[str]:
        exposed = names_of(httpx.get(f"{prometheus.url}/metrics").text)
        return listed("Prometheus, ") - {"up", "scrape_duration_seconds"} - exposed  # these two are made by a scrape

    poll_until(lambda: not missing(), interval_seconds=0.2)

    assert listed("Alertmanager, ") - names_of(httpx.get(f"{alertmanager.url}/metrics").text) == set()


def test_alertmanager_counts_what_it_cannot_store(
    start_alertmanager: Callable[..., Alertmanager],
) -> None:
    """A disk that takes nothing any more shows in its counters; Alertmanager 0.25 has none."""
    newest = PrometheusBinaries.of("newest").alertmanager
    alertmanager = start_alertmanager(binary=newest, flags=["--data.maintenance-interval=1s"])
    shutil.rmtree(alertmanager.data_dir)

    def failed() -> dict[str, float]:
        lines = httpx.get(f"{alertmanager.url}/metrics").text.splitlines()
        pairs = (line.split(" ") for line in lines if line.startswith(tuple(listed("Alertmanager 0.26, "))))
        return {name: float(value) for name, value in pairs}

    poll_until(lambda: min(failed().values()) > 0, interval_seconds=0.2)

    assert failed().keys() == listed("Alertmanager 0.26, ")


def test_minio_exposes_what_rules_read(minio_server: Minio) -> None:
    """MinIO reports its capacity at the endpoint that the job minio scrapes."""
    token = bearer_token(minio_server.access_key, minio_server.secret_key)
    headers = {"Authorization": f"Bearer {token}"}

    def missing() -> set[str]:
        answer = httpx.get(f"{minio_server.url}/minio/v2/metrics/cluster", headers=headers)
        return listed("MinIO, ") - names_of(answer.text)

    # It collects these figures periodically, the first time some seconds after its start.
    poll_until(lambda: not missing(), interval_seconds=0.5)

    assert missing() == set()


def bearer_token(access_key: str, secret_key: str) -> str:
    """Return a token for MinIO's metrics, as `mc admin prometheus generate` makes it: a signed JWT."""

    def encoded(part: bytes) -> str:
        return base64.urlsafe_b64encode(part).rstrip(b"=").decode()

    claims = {"exp": int(time.time()) + 3600, "sub": access_key, "iss": "prometheus"}
    text = ".".join(encoded(json.dumps(part).encode()) for part in ({"alg": "HS512", "typ": "JWT"}, claims))
    return f"{text}.{encoded(hmac.digest(secret_key.encode(), text.encode(), hashlib.sha512))}"
