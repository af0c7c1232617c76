"""The scrape job of an installation."""

from typing import Any

from exporter.mixin.installation import Installation

LONGEST_TIMEOUT_SECONDS = 10


def scrape_configs(installation: Installation) -> list[dict[str, Any]]:
    """Return the jobs for Prometheus: the exporter's."""
    interval = installation.interval_seconds
    return [
        {
            "job_name": installation.job,
            "scrape_interval": f"{interval}s",
            "scrape_timeout": f"{max(1, min(interval - 1, LONGEST_TIMEOUT_SECONDS))}s",
            "static_configs": [{"targets": list(installation.targets)}],
        }
    ]
