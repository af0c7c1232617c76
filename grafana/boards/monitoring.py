"""The dashboard of the monitoring itself.

From top to bottom: does it work, what does not, then its parts in the order in which data passes them: the SDK in
applications, sources and the exporter here, Prometheus and Alertmanager in monitoring_servers.
"""

from grafana.boards import monitoring_servers
from grafana.design import colors, columns, links, panels, tables, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import monitoring, shared

VARIABLES = (variables.labels("source", "Source", "platform_exporter_source_up"),)
SOURCE, REPLICA, QUERY = "{{source}}", "{{instance}}", "{{query}}"


def _glance() -> Line:
    up = [
        panels.health_tile(title, text, query, mappings=colors.UP_DOWN)
        for title, text, query in (
            ("Exporter", "Whether any replica of the exporter responds.", monitoring.EXPORTER_UP),
            ("All sources", "Whether the last poll of every source succeeded.", monitoring.ALL_SOURCES_UP),
            ("All targets", "Whether Prometheus can scrape every target.", monitoring.ALL_UP),
            ("Watchdog", "The alert that always fires: without it no alert can arrive.", monitoring.WATCHDOG),
        )
    ]
    reached = panels.trend_tile(
        "Alertmanagers",
        "The number of Alertmanagers that receive alerts; of the Prometheus that reaches fewest.",
        {"Reached": monitoring.REACHED},
        bounds=((None, colors.RED), (1, colors.GREEN)),
    ).decimals(0)
    failed = [
        panels.number_tile(title, text, {"Failed": query}, bounds=((None, colors.GREEN), (1, colors.RED))).decimals(0)
        for title, text, query in (
            ("Failed rules", "Failed rule evaluations in the range; alerts could not fire.", monitoring.RULES_FAILED),
            ("Delivery failures", "Notifications that failed in the range.", monitoring.NOTIFICATIONS_FAILED),
        )
    ]
    dropped = panels.number_tile(
        "Dropped events",
        "Share of the events of all applications that the SDK dropped in the chosen range.",
        {"Dropped": monitoring.DROPPED_SHARE},
        "percentunit",
    ).decimals(2)
    return Line(4, [*up, reached, *failed, dropped])


def _problems() -> Line:
    firing = tables.of_series(
        "Alerts about the monitoring",
        "Firing alerts about exporter, sources, SDK, Prometheus and Alertmanager. A name opens the runbook.",
        monitoring.ALERTS,
        ["severity", tables.link("alertname", "Runbook", links.to("runbook")), "source", "app", "job", "instance"],
        hidden=("indicator",),
    ).no_value("The monitoring works")
    targets = panels.health_timeline(
        "Targets over time", "Whether each is scraped.", {monitoring_servers.TARGET: monitoring.TARGETS}, colors.UP_DOWN
    )
    return Line(7, [firing, targets], (13, 11))


def _sources() -> Section:
    state = panels.health_timeline(
        "Sources over time",
        "Whether the last poll succeeded. While a source is down its counters stand still; later they catch up.",
        {SOURCE: monitoring.SOURCE_UP},
        colors.UP_DOWN,
    )
    lag = panels.lines(
        "Source lag", "Time since the last read.", {SOURCE: monitoring.SOURCE_LAG}, "s", indicator="source_lag_seconds"
    )
    polls = panels.lines("Poll duration", "Of the last poll of each source.", {SOURCE: monitoring.POLL_SECONDS}, "s")
    events = panels.lines("Counted events", "Rows counted per second.", {SOURCE: monitoring.EVENTS}, "cps")
    rejected = panels.bars(
        "Rejected rows", "Malformed rows in 5 minutes, by reason.", {"{{source}} {{reason}}": monitoring.REJECTED}
    )
    folded = panels.bars(
        "Folded series",
        "Label sets counted as `_other_` in 5 minutes, because a metric had reached its limit of series.",
        {"{{source}} {{metric}}": monitoring.FOLDED},
    )
    lines = [
        Line(6, [_table_of_sources(), state], (14, 10)),
        Line(8, [lag, polls, events]),
        Line(7, [rejected, folded]),
        _queries(),
    ]
    return Section("Sources", lines)


def _queries() -> Line:
    states = panels.health_timeline(
        "Queries over time",
        "Whether each query of the configuration gives its values; none where there are no queries.",
        {QUERY: monitoring.QUERY_UP},
        colors.UP_DOWN,
    )
    ages = panels.lines("Age of queries", "Of the values that each gave last.", {QUERY: monitoring.QUERY_AGE}, "s")
    return Line(6, [states, ages])


def _table_of_sources() -> tables.tables.Panel:
    return tables.measured(
        "Each source",
        "State and lag now, and counted, rejected and folded rows in the chosen range.",
        {
            "State": monitoring.SOURCE_UP,
            "Lag": monitoring.SOURCE_LAG,
            "Poll": monitoring.POLL_SECONDS,
            "Events": monitoring.EVENTS_IN_RANGE,
            "Rejected": monitoring.REJECTED_IN_RANGE,
            "Folded": monitoring.FOLDED_IN_RANGE,
        },
        [
            tables.states("State", colors.UP_DOWN),
            *(tables.column(name, unit="s") for name in ("Lag", "Poll")),
            *(tables.warned("Rejected", colors.YELLOW), tables.warned("Folded", colors.BLUE)),
            tables.link("source", "Only this source", links.to("monitoring", source="${__data.fields.source}")),
        ],
    )


def _sdk() -> Section:
    ratio = panels.lines(
        "Dropped share",
        "Share of each app's events that the SDK dropped, over 5 minutes.",
        {"{{app}}": monitoring.DROPPED_RATIO},
        "percentunit",
        thresholds=shared.threshold("sdk_dropped_ratio", app=False),
    )
    produced = panels.lines(
        "Produced events", "Events that the SDK accepted per second.", {"{{app}}": monitoring.PRODUCED}, "cps"
    )
    dropped = panels.bars(
        "Dropped events by reason", "Dropped by the SDK in 5 minutes.", {"{{app}} {{reason}}": monitoring.DROPPED}
    )
    counts = [
        "app",
        "produced",
        "stored",
        tables.warned("spooled", colors.YELLOW),
        tables.warned("dropped", colors.RED),
    ]
    apps = tables.table(
        "Ledger by app",
        "What processes that run, or that ended within the last hour, produced, and what became of it.",
        monitoring.LEDGER_OF_APPS,
        [*counts, "processes", "updated_at"],
    ).no_value("No application uses the SDK")
    processes = tables.table(
        "Ledger by process",
        "Those that dropped most first. Produced events are stored, spooled to disk, dropped, or unsettled: still in "
        "memory, or lost if the process was killed.",
        monitoring.LEDGER,
        [*(*counts, "process", "why", "unsettled", "updated_at", "started_at", "ended_at")],
    ).no_value("No application uses the SDK")
    return Section("SDK", [Line(8, [ratio, produced, dropped]), Line(9, [apps, processes], (9, 15))])


def _replicas() -> Section:
    table = tables.measured(
        "Exporter replicas",
        "Version, start, last reload of the configuration and current resource use of each replica.",
        {
            "Version": monitoring.VERSIONS,
            "State": monitoring.REPLICA_UP,
            "Started": monitoring.STARTED,
            "Reloaded": monitoring.RELOADED,
            "Reload succeeded": monitoring.RELOADS,
            "Scrape": monitoring.SCRAPE_SECONDS,
            "Samples": monitoring.SAMPLES,
            "CPU": monitoring.CPU,
            "Memory": monitoring.MEMORY,
            "Open files": monitoring.OPEN_FILES,
        },
        [
            *("instance", "version", "python_version"),
            *(tables.states("State", colors.UP_DOWN), tables.states("Reload succeeded", colors.YES_NO)),
            *(tables.column(name, unit=columns.AGO) for name in ("Started", "Reloaded")),
            *(tables.column("Scrape", unit="s"), tables.column("Memory", unit="bytes")),
            *(tables.column(name, unit="percentunit") for name in ("CPU", "Open files")),
        ],
        hidden=("Value #A",),
    )
    scrape, samples, cpu, memory, posts = (
        panels.lines(title, text, {REPLICA: query}, unit)
        for title, text, unit, query in (
            ("Exporter scrape duration", "Prometheus gives up at 4 s.", "s", monitoring.SCRAPE_SECONDS),
            ("Exporter samples", "Samples in one scrape.", "short", monitoring.SAMPLES),
            ("Exporter CPU", "Processor time per second.", "percentunit", monitoring.CPU),
            ("Exporter memory", "Resident memory.", "bytes", monitoring.MEMORY),
            ("Waiting notifications", "On disk, for the event store.", "short", monitoring.SPOOLED_POSTS),
        )
    )
    behind = panels.lines(
        "Replicas behind",
        "Events that a replica reports less than another did a minute ago: it reads another or an older database.",
        {"{{instance}} {{source}}": monitoring.BEHIND},
    )
    lines = [Line(5, [table]), Line(7, [scrape, samples, behind]), Line(7, [cpu, memory, posts])]
    return Section("Replicas of the exporter", lines, collapsed=True)


BOARD = Board(
    "monitoring",
    "Platform monitoring",
    "Does the monitoring itself work, and what does it cost?",
    [_glance(), _problems(), _sources(), _sdk(), _replicas(), *monitoring_servers.sections()],
    VARIABLES,
    buttons=["components", "alerts", "runbook"],
)
