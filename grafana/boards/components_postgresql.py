"""The section of the dashboard of components on PostgreSQL."""

from grafana.design import panels
from grafana.design.layout import Line, Section
from grafana.queries import components

NAME = "{{name}}"


def section() -> Section:
    connections = panels.lines(
        "Connections",
        "Client connections in use, and the limit for ordinary users (dashed).",
        {NAME: components.CONNECTIONS, "{{name}} limit": components.CONNECTIONS_LIMIT},
        dashed="limit",
    )
    transaction = panels.lines(
        "Oldest transaction",
        "How long the oldest transaction of each server is open: it holds locks and keeps dead rows.",
        {NAME: components.OLDEST_TRANSACTION},
        "s",
        indicator="transaction_age_seconds",
    )
    size = panels.lines("Database size", "All databases of each server.", {NAME: components.DATABASE_BYTES}, "bytes")
    lag = panels.lines(
        "Replication lag",
        "How late each standby is, as its primary sees it; without its name, as a probed standby sees itself.",
        {"{{name}} {{standby}}": components.REPLICATION_LAG},
        "s",
        indicator="replication_lag_seconds",
    )
    standbys = panels.lines("Standbys", "Standbys that stream from each server.", {NAME: components.STANDBYS}).decimals(
        0
    )
    retained = panels.lines(
        "WAL kept for slots",
        "What each server keeps because whoever uses a replication slot has not taken it.",
        {"{{name}} {{slot}}": components.SLOT_BYTES},
        "bytes",
        indicator="slot_retained_bytes",
    )
    replication = Line(8, [lag, standbys, retained])
    return Section("PostgreSQL", [Line(8, [connections, transaction, size]), replication])
