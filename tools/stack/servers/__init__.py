"""The servers that this package runs."""

from tools.stack.servers.alertmanager import Alertmanager
from tools.stack.servers.base import Server
from tools.stack.servers.grafana import Grafana
from tools.stack.servers.minio import Minio
from tools.stack.servers.postgres import Postgres
from tools.stack.servers.prometheus import Prometheus
from tools.stack.servers.redis import Redis

__all__ = ["Alertmanager", "Grafana", "Minio", "Postgres", "Prometheus", "Redis", "Server"]
