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


def _glance() -> list[Line]:
    up = panels.health_tile(
        "State",
        "Whether any replica of the exporter responds, the last poll of every source succeeded, Prometheus can scrape "
        "every target, and the watchdog fires: without that alert none can arrive.",
        {
            "Exporter": monitoring.EXPORTER_UP,
            "All sources": monitoring.ALL_SOURCES_UP,
            "All targets": monitoring.ALL_UP,
            "Watchdog": monitoring.WATCHDOG,
        },
        mappings=colors.UP_DOWN,
    )
    reached = panels.number_tile(
        "Alertmanagers",
        "The number of Alertmanagers that receive alerts; of the Prometheus that reaches fewest.",
        {"Reached": monitoring.REACHED},
        bounds=((None, colors.RED), (1, colors.GREEN)),
    ).decimals(0)
    failed = [
        panels.number_tile(title, text, {"Failed": query}, bounds=((None, colors.GREEN), (1, colors.RED))).decimals(0)
        for title, text, query in (
            ("Failed rules", "Failed rule evaluations in the range; alerts could not fire.", monitoring.RULES_FAILED),
            ("Undelivered", "Notifications that failed in the range.", monitoring.NOTIFICATIONS_FAILED),
        )
    ]
    dropped = panels.number_tile(
        "SDK drops",
        "Share of the events of all applications that the SDK dropped in the chosen range.",
        {"Dropped": monitoring.DROPPED_SHARE},
        "percentunit",
    ).decimals(2)
    return [Line(3, [up]), Line(3, [reached, *failed, dropped])]


def _problems() -> Line:
    firing = tables.of_series(
        "Alerts about the monitoring",
        "Firing alerts about exporter, sources, SDK, Prometheus and Alertmanager. A name opens the runbook.",
        monitoring.ALERTS,
        ["rank", tables.link("alertname", *links.RUNBOOK), tables.wrapped("subject", 150)],
    )
    firing = tables.sorted_by(firing, "Severity").no_value("No such alert found")
    targets = panels.health_timeline(
        "Targets over time", "Whether each is scraped.", {monitoring_servers.TARGET: monitoring.TARGETS}, colors.UP_DOWN
    )
    return Line(7, [firing, targets])


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
    lost = panels.bars(
        "Rows not counted",
        "In 5 minutes: rejected because they are malformed, by app and reason, or missed because they came too late to "
        "a source that may only be read.",
        {"{{source}} {{app}} {{reason}}": monitoring.REJECTED, "{{source}} too late": monitoring.MISSED},
    )
    folded = panels.bars(
        "Folded series",
        "Label sets counted as `_other_` in 5 minutes, because a metric had reached its limit of series.",
        {"{{source}} {{app}} {{metric}}": monitoring.FOLDED},
    )
    clocks = panels.lines(
        "Differences of clocks",
        "Of databases from the exporter, of the exporter from Prometheus, of applications from the event store.",
        {"{{clock}} {{source}}{{instance}}{{app}}": monitoring.CLOCKS},
        "s",
    )
    lines = [
        Line(6, [_table_of_sources(), state], (14, 10)),
        Line(8, [lag, polls, events]),
        Line(7, [lost, folded, clocks], (6, 6, 12)),
    ]
    return Section("Sources", lines)


def _configured() -> Section:
    difference = panels.lines(
        "Counters above their rows",
        "By `reconcile`, without a known cause: 0 is exact.",
        {"{{source}} {{metric}}": monitoring.RECONCILED},
    )
    age = panels.lines(
        "Time since the last comparison", "Of counters with their rows.", {SOURCE: monitoring.RECONCILED_AGE}, "s"
    )
    states = panels.health_timeline(
        "Queries over time",
        "Whether each query of the configuration gives its values.",
        {QUERY: monitoring.QUERY_UP},
        colors.UP_DOWN,
    )
    ages = panels.lines("Age of queries", "Of the values that each gave last.", {QUERY: monitoring.QUERY_AGE}, "s")
    lines = [Line(6, [difference, age]), Line(6, [states, ages])]
    return Section("Comparisons and queries, where they are configured", lines, collapsed=True)


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
    ).min_width(80)


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
    processes_now = panels.lines(
        "Processes",
        "Processes that report through the SDK, the usual number (dashed), and those that were lost within the hour.",
        monitoring.PROCESSES,
        dashed="usual",
    )
    reports = panels.lines(
        "Time since the last report",
        "Of any process of each app; one that runs reports at least once a minute.",
        {"{{app}}": monitoring.REPORT_AGE},
        "s",
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
    ).no_value("No application with the SDK found")
    processes = tables.table(
        "Ledger by process",
        "Those that dropped most first. Produced events are stored, spooled to disk, dropped, or unsettled: still in "
        "memory, or lost if the process was killed.",
        monitoring.LEDGER,
        [*(*counts, tables.wrapped("process", 150), "why", "unsettled", "updated_at")],
    ).no_value("No application with the SDK found")
    return Section(
        "SDK",
        [Line(8, [ratio, produced, dropped]), Line(8, [processes_now, reports]), Line(6, [apps]), Line(9, [processes])],
    )


def _replicas() -> Section:
    table = tables.measured(
        "Exporter replicas",
        "Version, start, last reload of the configuration and current resource use of each replica.",
        {
            "Version": monitoring.VERSIONS,
            "State": monitoring.REPLICA_UP,
            "Started": monitoring.STARTED,
            "Reloaded": monitoring.RELOADED,
            "Reload": monitoring.RELOADS,
            "Memory": monitoring.MEMORY,
            "Open files": monitoring.OPEN_FILES,
        },
        [
            *(tables.column("instance", width=120), "version", "python_version", tables.hidden("Version")),
            *(tables.states("State", colors.UP_DOWN), tables.states("Reload", colors.YES_NO)),
            *(tables.column(name, None, 130, columns.AGO) for name in ("Started", "Reloaded")),
            *(tables.column("Memory", unit="bytes"), tables.column("Open files", unit="percentunit")),
        ],
    ).min_width(80)
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
    lines = [Line(5, [table]), Line(8, [scrape, samples, behind]), Line(7, [cpu, memory, posts])]
    return Section("Replicas of the exporter", lines, collapsed=True)


BOARD = Board(
    "monitoring",
    "Does the monitoring itself work, and what does it cost?",
    [*_glance(), _problems(), _sources(), _sdk(), _configured(), _replicas(), *monitoring_servers.sections()],
    VARIABLES,
    may_be_empty={
        "Age of queries": "No query of one's own is configured.",
        "Dead man's switch": "None is configured.",
        "Dropped events by reason": "Nothing is dropped.",
        "Failing rules": "None fails.",
        "Folded series": "Nothing is folded.",
        "Problems": "There are none.",
        "Remote storage": "None is configured.",
        "Restarts": "Nothing started again.",
        "Rows not counted": "All rows are counted.",
        "Counters above their rows": "Nothing is compared unless the configuration says so.",
        "Time since the last comparison": "Nothing is compared unless the configuration says so.",
    },
)
