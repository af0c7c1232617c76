"""Exemplars from the row to Prometheus: an exporter and a Prometheus of either release, which stores them."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers import Database, PrometheusBinaries
from tools.stack.process import poll_until
from tools.stack.servers import Prometheus
from tools.stack.servers.prometheus import EXEMPLARS
from tools.testing.exporter import Exporter, exporting

BUCKETS = "platform_http_request_duration_seconds_bucket"
OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


def serve(database: Database, trace_id: str, seconds: float) -> None:
    database.execute(
        "INSERT INTO monitoring.http_request (at, app, route, status, duration_seconds, trace_id, user_id, ip) "
        "VALUES (now(), 'shop', '/buy', 200, %s, %s, 'someone', '192.0.2.1')",
        [seconds, trace_id],
    )


def configuration(database: Database) -> str:
    return f"database: {{dsn: '{database.dsn}', poll_interval_seconds: 1}}\nsources: [{{preset: native}}]\n"


def stored(prometheus: Prometheus) -> dict[str, tuple[str, float]]:
    """Return trace id and value of the newest exemplar by bucket."""
    return {
        series["seriesLabels"]["le"]: (newest["labels"]["trace_id"], float(newest["value"]))
        for series in prometheus.exemplars(f'{BUCKETS}{{route="/buy"}}')
        for newest in [max(series["exemplars"], key=lambda one: one["timestamp"])]
    }


def lines(exporter: Exporter, **headers: str) -> list[str]:
    return [line for line in exporter.get("/metrics", headers=headers).text.splitlines() if " # {" in line]


def test_prometheus_stores_them(
    prometheus_binaries: PrometheusBinaries, start_prometheus: Callable[..., Prometheus],
    store_database: Database, tmp_path: Path,
) -> None:  # fmt: skip
    """The newest of each bucket, by /api/v1/query_exemplars; a later one takes its place."""
    serve(store_database, "a" * 32, 0.02)
    serve(store_database, "b" * 32, 3.0)
    with exporting(tmp_path, configuration(store_database)) as exporter:
        target = f"{{job_name: exporter, static_configs: [{{targets: ['{exporter.base.removeprefix('http://')}']}}]}}"
        config = f"global: {{scrape_interval: 1s}}\nscrape_configs: [{target}]\n"
        prometheus = start_prometheus(config, binary=prometheus_binaries.prometheus, flags=(EXEMPLARS,))
        poll_until(lambda: stored(prometheus) == {"0.025": ("a" * 32, 0.02), "5.0": ("b" * 32, 3.0)})
        serve(store_database, "c" * 32, 2.6)
        poll_until(lambda: stored(prometheus) == {"0.025": ("a" * 32, 0.02), "5.0": ("c" * 32, 2.6)})

        assert [target["lastError"] for target in prometheus.targets()] == [""]
        log = "".join(path.read_text() for path in prometheus.data_dir.parent.rglob("*.log"))
        assert [line for line in log.splitlines() if "level=err" in line.lower() or "level=warn" in line.lower()] == []


def test_only_openmetrics_has_them(store_database: Database, tmp_path: Path) -> None:
    """The plain text format has no word for them; and what they say names a trace, and nobody."""
    before = time.time()
    serve(store_database, "a" * 32, 0.02)
    with exporting(tmp_path, configuration(store_database)) as exporter:
        (line,) = lines(exporter, **OPENMETRICS)

        assert lines(exporter) == []
        series, _, exemplar = line.partition(" # ")
        labels, value, at = exemplar.split()
        assert series.endswith(" 1.0")
        assert (labels, value) == ('{trace_id="%s"}' % ("a" * 32), "0.02")
        assert float(at) == pytest.approx(before, abs=600)
