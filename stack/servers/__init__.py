"""The servers that this package runs."""

from stack.servers.alertmanager import Alertmanager
from stack.servers.base import Server
from stack.servers.grafana import Grafana
from stack.servers.minio import Minio
from stack.servers.postgres import Postgres
from stack.servers.prometheus import Prometheus
from stack.servers.redis import Redis

__all__ = ["Alertmanager", "Grafana", "Minio", "Postgres", "Prometheus", "Redis", "Server"]
