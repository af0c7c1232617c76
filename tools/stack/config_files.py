"""The configuration files of every program of the stack: the project's own files, with this stack's addresses."""

import json
from pathlib import Path
from typing import Any

import yaml

from alertmanager.generate import configuration
from exporter.demo import platform as demo_platform
from tools.stack.checkout import CHECKOUT
from tools.stack.databases import DATABASES
from tools.stack.state import StackState, fingerprint

EXPORTER_FILE, OWNER_FILE, TRAFFIC_FILE, DEMO_FILE = "platform-exporter.yml", "owner.yml", "traffic.json", "demo.yml"
SHOWN_FOLDER, ALERTS_FOLDER = "shown", "alerts"
ALERTMANAGERS = ("alertmanager", "alertmanager-2")
BUCKET = "artifacts"
QUEUES = ["demo-orders", "demo-stream"]
SAMPLE_LABELS = ["region"]
NEEDS = ("postgresql/main", "redis/main", "minio/main")
"""What the simulated apps need."""


def exporter(state: StackState) -> Path:
    """Write the exporter's configuration, for the user `exporter`."""
    content = {
        "listen": state.address("exporter"),
        "state_folder": SHOWN_FOLDER,
        "database": _database(state, "platform", "exporter"),
        "sources": _sources(state, "exporter"),
        "probes": {
            "postgresql": [{"name": "main", **_database(state, "platform", "exporter")}],
            "redis": [_redis(state)],
            "minio": [
                {
                    "name": "main",
                    "endpoint": state.address("minio"),
                    "access_key": "platform",
                    "secret_key_file": "minio.secret",
                    "secure": False,
                    "region": "us-east-1",
                    "buckets": [BUCKET],
                }
            ],
        },
        "dependencies": {app: list(NEEDS) for app in demo_platform.APPS},
        "jobs": [
            {"app": demo_platform.HARVEST, "scraper": "prices", "every": "1h"},
            {
                "app": demo_platform.SHOP,
                "task": "shop.tasks.rebuild_index",
                "cron": "@hourly",
                "time_zone": "Europe/Berlin",
            },
        ],
        "watches": [
            {
                "name": "prices",
                "table": "public.demo_prices",
                "time": "scraped_at",
                "nulls": ["title", "price"],
                "keys": ["site", "url"],
                "window_seconds": 600,
                "interval_seconds": 15,
                "database": _database(state, "stratlogic", "exporter"),
            }
        ],
        "budgets": [{"app": demo_platform.HARVEST, "month": 2500}, {"api": "payments", "month": 9000}],
        "errors": {"token_file": "secrets/errors_token.password"},
        "alertmanager": {"urls": [state.url("alertmanager")]},
        "alerts": {"token_file": "secrets/alerts_token.password", "spool_folder": ALERTS_FOLDER},
        "stack": {
            f"{name}_url": state.url(name)
            for name in ("prometheus", "alertmanager", "grafana")
            if name not in state.missing
        },
    }
    return _write(state, EXPORTER_FILE, content)


def owner(state: StackState) -> Path:
    """Write the configuration with which schemas are made: for the superuser, who owns the tables."""
    content = {"database": _database(state, "platform", "postgres"), "sources": _sources(state, "postgres")}
    return _write(state, OWNER_FILE, content)


def demo(state: StackState) -> Path:
    """Write the configuration of the simulated platform: it may write events, and no more."""
    content = {"database": _database(state, "platform", "writer"), "probes": {"redis": [_redis(state)]}}
    return _write(state, DEMO_FILE, content)


def traffic(state: StackState) -> Path:
    """Write where the traffic of the demo databases goes, and as whom; readable by the owner only."""
    return state.write(TRAFFIC_FILE, json.dumps(traffic_addresses(state), indent=2) + "\n", mode=0o600)


def traffic_addresses(state: StackState) -> dict[str, str]:
    """Return the addresses that the traffic of the demo databases is written to, with their passwords."""
    return {name: f"postgresql://{name}:{state.secret(name)}@{state.address('postgres')}/{name}" for name in DATABASES}


def prometheus(state: StackState) -> tuple[Path, str]:
    """Write Prometheus' configuration, rules and targets; return the file and a fingerprint of what it reads once."""
    content = yaml.safe_load((CHECKOUT / "prometheus/prometheus.yml").read_text())
    # Without Grafana, a notification's links lead to the runbook's file.
    runbook = (CHECKOUT / "prometheus/runbook.md").as_uri()
    if "grafana" not in state.missing:
        url = state.url("grafana")
        content["global"]["external_labels"] = {
            name: value.replace("http://127.0.0.1:3000", url)
            for name, value in content["global"]["external_labels"].items()
        }
    else:
        content["global"]["external_labels"] |= {"runbook_url": runbook}
    targets: dict[str, list[str]] = {name: [] for name in ("postgres_exporter", "redis_exporter", "minio")}
    targets |= {name: [state.address(name)] for name in ("exporter", "prometheus")}
    targets["alertmanager"] = [state.address(name) for name in ALERTMANAGERS if name in state.ports]
    if "minio" not in state.missing:
        targets["minio"] = [state.address("minio")]
    for name, addresses in targets.items():
        # Prometheus watches these files itself.
        _write(state, f"config/prometheus/targets/{name}.yml", [{"targets": addresses}] if addresses else [])
    rules = CHECKOUT / "prometheus/rules"
    _link(state.folder / "config/prometheus/rules", rules)
    path = _write(state, "config/prometheus/prometheus.yml", content)
    return path, fingerprint(path.read_text(), [rule.read_text() for rule in sorted(rules.glob("*.yml"))])


def alertmanager(state: StackState) -> tuple[Path, str]:
    """Write Alertmanager's configuration, which notifies the exporter too; return the file and a fingerprint of it."""
    content = yaml.safe_load((CHECKOUT / "alertmanager/channels.yml").read_text())
    content["secrets"] = str(state.folder / "secrets")
    for channel in content["channels"].values():
        if "url" in channel:
            channel["url"] = channel["url"].replace("http://127.0.0.1:9848", state.url("receiver"))
    content["channels"]["history"] = {
        "kind": "webhook",
        "url": f"{state.url('exporter')}/api/v1/alerts/notifications",
        "token_file": "alerts_token.password",
    }
    content["notify"]["history"] = ["history"]
    channels = _write(state, "config/alertmanager/channels.yml", content)
    templates = CHECKOUT / "alertmanager/templates"
    _link(state.folder / "config/alertmanager/templates", templates)
    path = state.write("config/alertmanager/alertmanager.yml", configuration(channels))
    return path, fingerprint(path.read_text(), [file.read_text() for file in sorted(templates.glob("*.tmpl"))])


def settings_of(file: Path) -> dict[str, str]:
    """Return the names and values of a file of lines NAME=value."""
    lines = file.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def grafana_environment(state: StackState) -> dict[str, str]:
    """Return what Grafana's provisioning files refer to: grafana.env, with this stack's addresses."""
    return settings_of(CHECKOUT / "grafana/grafana.env") | {
        "GF_PLATFORM_PROMETHEUS_URL": state.url("prometheus"),
        "GF_PLATFORM_ALERTMANAGER_URL": state.url("alertmanager"),
        "GF_PLATFORM_POSTGRESQL_ADDRESS": state.address("postgres"),
        "GF_PLATFORM_POSTGRESQL_USER": "grafana",
        "GF_PLATFORM_POSTGRESQL_PASSWORD": state.secret("grafana"),
        "GF_PLATFORM_RESTRICTED_USER": "grafana_restricted",
        "GF_PLATFORM_RESTRICTED_PASSWORD": state.secret("grafana_restricted"),
        "GF_PLATFORM_ERRORS_URL": f"{state.url('exporter')}/api/v1/errors/grafana",
        "GF_PLATFORM_ERRORS_TOKEN": state.secret("errors_token"),
        "GF_PLATFORM_DASHBOARDS": str(CHECKOUT / "grafana/dashboards"),
    }


def _database(state: StackState, database: str, user: str) -> dict[str, str]:
    password = "postgres.password" if user == "postgres" else f"secrets/{user}.password"
    return {"dsn": f"postgresql://{user}@{state.address('postgres')}/{database}", "password_file": password}


def _redis(state: StackState) -> dict[str, Any]:
    return {
        "name": "main",
        "url": f"redis://{state.address('redis')}/0",
        "password_file": "secrets/redis.password",
        "queues": QUEUES,
    }


def _sources(state: StackState, user: str) -> list[dict[str, Any]]:
    adopted = [{"preset": name, "database": _database(state, name, user)} for name in DATABASES]
    return [{"preset": "native", "sample_labels": SAMPLE_LABELS}, *adopted]


def _write(state: StackState, name: str, content: object) -> Path:
    text = yaml.safe_dump(content, sort_keys=False, width=140, allow_unicode=True)
    return state.write(name, f"# Written by `make up`, and again at the next one.\n{text}")


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(target)
