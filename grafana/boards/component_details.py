"""Draw what is special to PostgreSQL, Redis, MinIO, and to the certificates of all."""

from exporter.probes.base import Reason, Weakness
from grafana.design import colors, panels, tables, targets
from grafana.design.layout import Line, Section
from grafana.queries import components, shared

# What is down is red, what answers but not as it should orange.
REASONS = {**{str(one): colors.RED for one in Reason}, **{str(one): colors.ORANGE for one in Weakness}}
NAME, QUEUE = "{{name}}", "{{name}} {{queue}}"


def postgresql() -> Section:
    """Return connections, transactions and sizes."""
    connections = panels.lines(
        "Connections",
        "Client connections in use, and those that ordinary users may have (dashed).",
        "short",
        [targets.series(components.CONNECTIONS, NAME), targets.series(components.CONNECTIONS_LIMIT, "{{name}} limit")],
    ).with_override(*colors.dashed("limit"))
    transaction = panels.lines(
        "Oldest transaction",
        "How long the oldest transaction of each server is open: it holds locks and keeps dead rows.",
        "s",
        [
            targets.series(components.OLDEST_TRANSACTION, NAME),
            targets.threshold_lines(shared.threshold("transaction_age_seconds", app=False)),
        ],
    )
    size = panels.lines(
        "Size of databases", "All databases of each server.", "bytes", [targets.series(components.DATABASE_BYTES, NAME)]
    )
    return Section("PostgreSQL", [Line(8, [(connections, 8), (transaction, 8), (size, 8)])])


def redis() -> Section:
    """Return memory, clients and queues."""
    memory = panels.lines(
        "Memory of Redis",
        "Memory used, and the limit where there is one (dashed).",
        "bytes",
        [targets.series(components.MEMORY, NAME), targets.series(components.MEMORY_LIMIT, "{{name}} limit")],
    ).with_override(*colors.dashed("limit"))
    clients = panels.lines(
        "Clients of Redis", "Clients connected.", "short", [targets.series(components.CLIENTS, NAME)]
    )
    lengths = panels.lines(
        "Queues",
        "Entries waiting in each watched queue. One that never gets shorter is not consumed.",
        "short",
        [targets.series(components.QUEUES, QUEUE)],
    )
    age = panels.lines(
        "Oldest entry",
        "How long the oldest entry of each queue waits. Of streams alone: lists and sorted sets do not tell.",
        "s",
        [
            targets.series(components.QUEUE_AGE, QUEUE),
            targets.threshold_lines(shared.threshold("queue_age_seconds", app=False)),
        ],
    )
    return Section("Redis", [Line(8, [(memory, 6), (clients, 6), (lengths, 6), (age, 6)])])


def minio() -> Section:
    """Return drives, buckets and capacity."""
    drives = panels.lines(
        "Drives",
        "Drives of each store that work, and those that do not.",
        "short",
        [
            targets.series(components.DRIVES_ONLINE, "{{name}} online"),
            targets.series(components.DRIVES_OFFLINE, "{{name}} offline"),
        ],
        named={"online": colors.GREEN, "offline": colors.RED},
    ).decimals(0)
    buckets = panels.health_timeline(
        "Buckets",
        "Whether each watched bucket can be seen with the keys given.",
        [targets.series(components.BUCKETS, "{{name}} {{bucket}}")],
    ).mappings(colors.UP_DOWN)
    free = panels.lines(
        "Free space of MinIO",
        "Usable space left, and all there is (dashed), as MinIO tells itself (job minio).",
        "bytes",
        [
            targets.series(components.CAPACITY_FREE, "{{instance}}"),
            targets.series(components.CAPACITY, "{{instance}} capacity"),
        ],
    ).with_override(*colors.dashed("capacity"))
    disks = panels.lines(
        "Free space of machines",
        "Space left on the disks of machines that a node_exporter watches.",
        "bytes",
        [targets.series(components.DISK_FREE, "{{instance}} {{mountpoint}}")],
    )
    return Section("MinIO and disks", [Line(8, [(drives, 6), (buckets, 6), (free, 6), (disks, 6)])])


def certificates() -> Section:
    """Return when TLS certificates expire."""
    remaining = panels.lines(
        "Certificates",
        "Time until the TLS certificates of components and of the exporter expire.",
        "s",
        [
            targets.series(components.CERTIFICATES, "{{component}} {{name}}"),
            targets.threshold_lines(shared.threshold("certificate_expiry_seconds", lower_is_worse=True, app=False)),
        ],
    )
    table = tables.table(
        "Certificates by expiry",
        "Those that expire first on top; negative once they have.",
        [targets.rows(components.CERTIFICATES)],
        [tables.column("Expires in", unit="dtdurations")],
        nothing="No certificate is shown",
    ).with_transformation(
        tables.arranged("component", "name", "Value", renamed={"Value": "Expires in"}, hidden=("Time", "__name__"))
    )
    table = tables.sorted_by(table, "Expires in", descending=False)
    return Section("Certificates of all", [Line(8, [(remaining, 14), (table, 10)])], collapsed=True)
