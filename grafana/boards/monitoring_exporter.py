"""Draw how the exporter counts: the SDK's books, sources, replicas."""

from grafana.design import colors, links, panels, tables, targets
from grafana.design.layout import Line, Section
from grafana.queries import monitoring, shared

SOURCE, REPLICA = "{{source}}", "{{instance}}"


def sources() -> Section:
    """Return how current each source is, and what of it is not counted."""
    state = panels.health_timeline(
        "Sources over time",
        "Whether the last poll of each source succeeded. While one is down its counters stand still; they catch up.",
        [targets.series(monitoring.SOURCE_UP, SOURCE)],
    ).mappings(colors.UP_DOWN)
    lag = panels.lines(
        "Source lag",
        "How long ago each source was last read completely.",
        "s",
        [
            targets.series(monitoring.SOURCE_LAG, SOURCE),
            targets.threshold_lines(shared.threshold("source_lag_seconds", app=False)),
        ],
    )
    polls = panels.lines(
        "Poll duration",
        "How long the last poll of each source took.",
        "s",
        [targets.series(monitoring.POLL_SECONDS, SOURCE)],
    )
    events = panels.lines(
        "Events counted", "Rows counted per second and source.", "cps", [targets.series(monitoring.EVENTS, SOURCE)]
    )
    rejected = panels.bars(
        "Rows rejected",
        "Malformed rows left out in 5 minutes, by reason.",
        "short",
        [targets.series(monitoring.REJECTED, "{{source}} {{reason}}")],
    )
    folded = panels.bars(
        "Series folded",
        "Label sets counted under `_other_` in 5 minutes, because a metric had reached its limit of series.",
        "short",
        [targets.series(monitoring.FOLDED, "{{source}} {{metric}}")],
    )
    return Section(
        "Sources",
        [
            Line(6, [(_table_of_sources(), 14), (state, 10)]),
            Line(8, [(lag, 8), (polls, 8), (events, 8)]),
            Line(7, [(rejected, 12), (folded, 12)]),
        ],
    )


def _table_of_sources() -> tables.tables.Panel:
    return tables.measured(
        "Every source",
        "Each source now, and what was counted, rejected and folded away in the chosen range.",
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
            tables.column("Lag", unit="s"),
            tables.column("Poll", unit="s"),
            tables.bounds("Rejected", (None, "text"), (1, colors.YELLOW)),
            tables.bounds("Folded", (None, "text"), (1, colors.BLUE)),
            tables.link("source", "Only this source", links.to("monitoring", source="${__data.fields.source}")),
        ],
        first=("source",),
    )


def sdk() -> Section:
    """Return the books of the SDK: what applications produced, and what became of it."""
    ratio = panels.lines(
        "Dropped share",
        "Share of each app's events that the SDK had to drop, over 5 minutes.",
        "percentunit",
        [
            targets.series(monitoring.DROPPED_RATIO, "{{app}}"),
            targets.threshold_lines(shared.threshold("sdk_dropped_ratio", app=False)),
        ],
    )
    produced = panels.lines(
        "Events produced",
        "Events that the SDK took per second.",
        "cps",
        [targets.series(monitoring.PRODUCED, "{{app}}")],
    )
    dropped = panels.bars(
        "Events dropped by reason",
        "Events that the SDK had to drop in 5 minutes.",
        "short",
        [targets.series(monitoring.DROPPED, "{{app}} {{reason}}")],
    )
    return Section(
        "SDK",
        [Line(8, [(ratio, 8), (produced, 8), (dropped, 8)]), Line(9, [(_books_of_apps(), 9), (_books(), 15)])],
    )


def _books_of_apps() -> tables.tables.Panel:
    return tables.table(
        "Books by app",
        "What the processes that run, or ended within the hour, produced, and what became of it.",
        [targets.sql(monitoring.LEDGER_OF_APPS)],
        [
            tables.column("processes", title="Running", width=85),
            tables.bounds("spooled", (None, "text"), (1, colors.YELLOW)),
            tables.bounds("dropped", (None, "text"), (1, colors.RED)),
            tables.column("updated_at", unit="dateTimeFromNow", title="Last write", width=120),
        ],
        nothing="No application uses the SDK",
    )


def _books() -> tables.tables.Panel:
    return tables.table(
        "Books by process",
        "Those that dropped most first. Produced is stored, spooled to disk, dropped, or unsettled: still in memory, "
        "or lost if the process was killed.",
        [targets.sql(monitoring.LEDGER)],
        [
            tables.bounds("spooled", (None, "text"), (1, colors.YELLOW)),
            tables.bounds("dropped", (None, "text"), (1, colors.RED)),
            tables.column("why", title="Why dropped"),
            tables.column("unsettled", title="Unsettled", width=90),
            tables.column("updated_at", unit="dateTimeFromNow", title="Last write", width=120),
            tables.column("started_at", unit="dateTimeFromNow", title="Started", width=120),
            tables.column("ended_at", unit="dateTimeFromNow", title="Ended", width=120),
        ],
        nothing="No application uses the SDK",
    )


def replicas() -> Section:
    """Return what each replica of the exporter is and costs."""
    table = tables.measured(
        "Replicas of the exporter",
        "Each replica's version, start, last reload of its configuration, and what it uses now.",
        {
            "Version": monitoring.VERSIONS,
            "State": monitoring.REPLICA_UP,
            "Started": monitoring.STARTED,
            "Reloaded": monitoring.RELOADED,
            "Reload worked": monitoring.RELOADS,
            "Scrape": monitoring.SCRAPE_SECONDS,
            "Samples": monitoring.SAMPLES,
            "CPU": monitoring.CPU,
            "Memory": monitoring.MEMORY,
            "Files": monitoring.OPEN_FILES,
        },
        [
            tables.states("State", colors.UP_DOWN),
            tables.column("Started", unit="dateTimeFromNow"),
            tables.column("Reloaded", unit="dateTimeFromNow"),
            tables.states("Reload worked", colors.YES_NO),
            tables.column("Scrape", unit="s"),
            tables.column("CPU", unit="percentunit"),
            tables.column("Memory", unit="bytes"),
            tables.column("Files", unit="percentunit"),
        ],
        first=("instance", "version", "python_version"),
        hidden=("Value #A",),
    )
    asked = (
        ("Scrape of the exporter", "How long one takes; Prometheus gives up at 4 s.", "s", monitoring.SCRAPE_SECONDS),
        ("Samples of the exporter", "Samples in one scrape.", "short", monitoring.SAMPLES),
        ("CPU of the exporter", "Processor time per second.", "percentunit", monitoring.CPU),
        ("Memory of the exporter", "Resident memory.", "bytes", monitoring.MEMORY),
        ("Posts that wait", "Posts of Alertmanager on disk, for the event store.", "short", monitoring.SPOOLED_POSTS),
    )  # fmt: skip
    scrape, samples, cpu, memory, posts = (
        panels.lines(title, text, unit, [targets.series(query, REPLICA)]) for title, text, unit, query in asked
    )
    behind = panels.lines(
        "Replicas behind",
        "Events that a replica tells less than another did a minute ago: it reads another database, or no longer what "
        "was committed.",
        "short",
        [targets.series(monitoring.BEHIND, "{{instance}} {{source}}")],
    )
    lines = [
        Line(5, [(table, 24)]),
        Line(7, [(scrape, 8), (samples, 8), (behind, 8)]),
        Line(7, [(cpu, 8), (memory, 8), (posts, 8)]),
    ]
    return Section("Exporter replicas", lines, collapsed=True)
