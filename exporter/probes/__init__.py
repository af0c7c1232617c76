"""Probe the components a platform stands on."""

from collections.abc import Callable
from typing import Any

from exporter.config.settings import Probes
from exporter.probes.base import Probe
from exporter.probes.minio import MinioComponent
from exporter.probes.postgresql import PostgresqlComponent
from exporter.probes.redis import RedisComponent

PROBES: dict[str, Callable[[Any], Probe]] = {
    "postgresql": PostgresqlComponent,
    "redis": RedisComponent,
    "minio": MinioComponent,
}
"""Builders by kind, which is the key in the configuration's `probes`, the module's name and the label `component`."""


def build(settings: Probes) -> list[Probe]:
    """Build the probes that the configuration names. Connects to nothing."""
    return [builder(target) for kind, builder in PROBES.items() for target in getattr(settings, kind)]
