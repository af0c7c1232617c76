"""Fuzz the configuration: `check-config` takes a file or refuses it in one line, and shows no secret."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tools.fuzz import command, mutation
from tools.fuzz.target import Check, Target

SECRET = "S3CRETpassw0rd"
"""What must not be shown."""

_STORE = f"database:\n  dsn: postgresql://platform:{SECRET}@127.0.0.1:5432/platform\n"

BASES = (
    f"""{_STORE}  password: {SECRET}
listen: 127.0.0.1:9847
labels: {{environment: prod}}
sources:
  - preset: native
  - {{preset: stratlogic, name: strat, labels: {{team: data}}, database: {{dsn: "host=h password={SECRET}"}}}}
limits: {{series_per_metric: 500}}
retention_days: {{error: 90}}
""",
    f"""{_STORE}probes:
  postgresql: [{{name: main, dsn: "postgresql://a:{SECRET}@h/d", connections_degraded_ratio: 0.9}}]
  redis: [{{name: main, url: "redis://:{SECRET}@h:6379/0", queues: [celery], sentinel_password: {SECRET}}}]
  minio: [{{name: main, endpoint: "h:9000", access_key: {SECRET}, secret_key_file: secret, buckets: [artifacts]}}]
  http:
    - {{name: shop, url: "https://h/health?key={SECRET}", headers: {{X-Api-Key: {SECRET}}}}}
    - {{name: own, url: "http://h/", username: a, password: {SECRET}}}
dependencies: {{shop: [postgresql/main]}}
""",
    f"""{_STORE}alertmanager: {{urls: ["http://h:9093"], username: a, password: {SECRET}}}
alerts: {{token: {SECRET}, flap_seconds: 600}}
errors: {{token_file: secret}}
watchdog:
  token: {SECRET}
  mail: {{to: [a@example.org], sender: b@example.org, server: "h:587", username: u, password: {SECRET}}}
  webhook: {{address: "https://h/{SECRET}", token: {SECRET}}}
stack: {{prometheus_url: "http://h:9090", grafana_url: "http://h:3000"}}
reconcile: {{interval_seconds: 86400}}
""",
    f"""{_STORE}queries:
  - name: orders
    sql: SELECT status, count(*) AS orders FROM orders GROUP BY status
    value: orders
    labels: [status]
    database: {{dsn: "postgresql://a@h/d", password: {SECRET}}}
jobs:
  - {{app: shop, scraper: prices, cron: "0 3 * * 0", time_zone: Europe/Berlin, grace: 1h}}
  - {{app: shop, task: reindex, every: 6h}}
thresholds:
  http_latency_seconds: {{medium: 0.5, critical: 1.0, apps: {{shop: {{critical: 2}}}}}}
objectives: {{http_availability: {{target: 0.99, apps: {{shop: 0.999}}}}}}
""",
)


class Configuration(Target):
    """The configuration as `check-config` reads it."""

    name = "configuration"
    cases = 100_000
    few = 300

    def make(self, random: Random) -> bytes:
        return mutation.document(random, random.choice(BASES)).encode("utf-8", "surrogatepass")

    @contextlib.contextmanager
    def checking(self) -> Iterator[Check]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "secret").write_text(SECRET)
            for base in BASES:  # loads what is loaded once
                _check(base.encode(), folder / "platform.yml")
            yield lambda data: _check(data, folder / "platform.yml")


def _check(data: bytes, path: Path) -> None:
    path.write_bytes(data)
    result = command.run(["check-config", str(path)])
    assert SECRET not in result.output, f"shows a secret: {result.output}"
    assert result.exit_code in (0, 2), f"exit status {result.exit_code}: {result.output}"
    assert result.exit_code == 0 or len(result.output.splitlines()) == 1, f"several lines: {result.output}"
