"""The capacity of the S3 store: reported by MinIO itself, scraped by the shipped job."""

from collections.abc import Callable
from pathlib import Path

import yaml

from tools.stack.checkout import CHECKOUT
from tools.stack.process import poll_until
from tools.stack.servers import Minio, Prometheus

CAPACITY = ("minio_cluster_capacity_usable_free_bytes", "minio_cluster_capacity_usable_total_bytes")


def test_capacity_is_in_prometheus(
    minio_server: Minio, start_prometheus: Callable[..., Prometheus], tmp_path: Path
) -> None:
    """The stack's MinIO needs no token, and the job `minio` stores what is free and what there is."""
    shipped = yaml.safe_load((CHECKOUT / "prometheus/prometheus.yml").read_text())
    (job,) = (job for job in shipped["scrape_configs"] if job["job_name"] == "minio")
    (tmp_path / "targets").mkdir()
    (tmp_path / job["file_sd_configs"][0]["files"][0]).write_text(f"[{{targets: ['{minio_server.address}']}}]")
    config = tmp_path / "prometheus.yml"
    config.write_text(yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}))
    prometheus = start_prometheus(config)
    free, total = (
        float(poll_until(lambda name=name: prometheus.query(name))[0]["value"][1])  # type: ignore[misc]
        for name in CAPACITY
    )

    assert 0 < free <= total
