"""The compose file as it ships, with anchors and merges resolved."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]


def loaded(path: Path) -> Any:
    """Return a file's YAML."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


COMPOSE: dict[str, Any] = loaded(ROOT / "docker-compose.yml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def made_secrets(folder: Path) -> Path:
    """Run deploy/docker/make-secrets.sh for `folder` and return it."""
    subprocess.run([ROOT / "deploy" / "docker" / "make-secrets.sh", folder], check=True, capture_output=True)
    return folder
