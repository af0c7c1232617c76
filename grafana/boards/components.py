"""The dashboard of components: PostgreSQL, Redis, MinIO and HTTP endpoints.

From top to bottom: are they up, what is wrong and why, what fills up when, then each kind by itself.
"""

from exporter.probes import REASONS, WEAKNESSES
from grafana.boards import components_postgresql
from grafana.design import colors, links, panels, tables, variables
from grafana.design.layout import Board, Line, Section
from grafana.queries import components

LEGEND, NAME, QUEUE = "{{component}} {{name}}", "{{name}}", "{{name}} {{queue}} {{group}}"
VARIABLES = (
    variables.labels("component", "Component", "platform_component_up"),
    variables.labels("name", "Name", 'platform_component_up{component=~"$component"}'),
)
# What is down is red, what responds but not as it should is orange.
REASON_COLORS = dict.fromkeys(REASONS, colors.RED) | dict.fromkeys(WEAKNESSES, colors.ORANGE)
FULL = colors.bands("saturation_ratio")
STATES = "Down is critical, degraded is a warning, grey was not probed."
GAP = " A gap means that the exporter did not run."


def _figures() -> list[Line]:
    only = links.to("components", component="${__field.labels.component}", name="${__field.labels.name}")
    states = panels.health_tile(
        "Each component", STATES, components.STATES, ("Only this component", only), legend=LEGEND
    )
    fullest = panels.number_tile(
        "Fullest",
        "The highest used share of connections, transaction ids, memory or a disk, except of caches: they are full.",
        {"{{name}} {{resource}}": components.FULLEST},
        "percentunit",
    ).decimals(0)
    fullest.text_mode(panels.options.BigValueTextMode.VALUE_AND_NAME)
    full = panels.number_tile(
        "Full in",
        "Time until the first of connections, transaction ids, memory or disks is used up, if growth continues.",
        {"Full in": components.FIRST_FULL},
        "dtdurations",
    ).no_value(panels.NONE)
    certificate = panels.number_tile(
        "Certificate",
        "Time until the first TLS certificate expires, of components and of the exporter.",
        {"Certificate": components.FIRST_CERTIFICATE},
        "dtdurations",
    ).no_value(panels.NONE)
    available = panels.number_tile(
        "Availability",
        "Share of the chosen range in which the least available component was up.",
        {"Availability": components.LEAST_AVAILABILITY},
        "percentunit",
    ).decimals(2)
    return [Line(3, [states]), Line(3, [fullest, full, certificate, available])]


def _states() -> Line:
    timeline = panels.health_timeline("State", STATES + GAP, {LEGEND: components.STATES})
    only = links.to("components", component="${__data.fields.component}", name="${__data.fields.name}")
    why = tables.of_series(
        "Problems",
        "What probes of components that are down or degraded find now. The runbook says what to do about each.",
        components.PROBLEMS,
        [
            *("component", tables.link("name", "Only this component", only)),
            tables.link("reason", "Runbook", links.to("runbook", alert="PlatformComponentDown")),
            tables.words("reason", REASON_COLORS),
        ],
    ).no_value("No problem found")
    return Line(8, [timeline, why], (13, 11))


def _charts() -> Line:
    full = panels.lines(
        "Used share",
        "Used share of connections, transaction ids, memory and disks; MinIO and hosts by their address.",
        {LEGEND + " {{resource}}": components.SATURATION},
        "percentunit",
        indicator="saturation_ratio",
    ).max(1)
    until = panels.lines(
        "Time until full",
        "If growth continues. No line where nothing grows or less than half is used.",
        {LEGEND + " {{resource}}": components.SECONDS_TO_FULL},
        "s",
        indicator="saturation_seconds",
    )
    probes = panels.lines(
        "Probe duration",
        "How long the exporter's probe of each component took. It gives up after probe_timeout_seconds.",
        {LEGEND: components.PROBE_SECONDS},
        "s",
    )
    return Line(8, [full, until, probes])


def _forecast() -> Section:
    table = tables.measured(
        "Resources",
        "Used share now and predicted in 24 hours, growth over the last hour, and time until full.",
        {
            "Used": components.USED,
            "In 24 h": components.IN_A_DAY,
            "Growth per hour": components.GROWTH,
            "Full in": components.UNTIL_FULL,
        },
        [
            *("component", "name", "resource", tables.gauge("Used", *FULL), tables.gauge("In 24 h", *FULL)),
            tables.column("Growth per hour", None, 130, "percentunit"),
            tables.column("Full in", None, 170, "dtdurations"),
        ],
    )
    failures = panels.bars(
        "Failed probes", "Failed probes in 5 minutes, by reason.", {LEGEND + " {{reason}}": components.PROBE_FAILURES}
    )
    available = panels.ranking(
        "Availability by name",
        "Share of the chosen range in which each component was up.",
        {LEGEND: components.AVAILABILITY},
        "percentunit",
        bounds=((None, colors.RED), (0.99, colors.YELLOW), (0.999, colors.GREEN)),
    ).max(1)
    below = Line(9, [available.decimals(2), failures], (9, 15))
    return Section("Forecast and availability", [Line(8, [tables.sorted_by(table, "Used")]), below])


def _redis() -> Section:
    memory = panels.lines(
        "Redis memory",
        "Used memory, and the limit where there is one (dashed).",
        {NAME: components.MEMORY, "{{name}} limit": components.MEMORY_LIMIT},
        "bytes",
        dashed="limit",
    )
    clients = panels.lines("Redis clients", "Connected clients.", {NAME: components.CLIENTS})
    lengths = panels.lines(
        "Queues",
        "Waiting entries, and the fewest of 15 minutes (dashed): what bursts leave behind.",
        {QUEUE: components.QUEUES, QUEUE + " fewest": components.QUEUE_FLOOR},
        dashed="fewest",
    )
    age = panels.lines(
        "Oldest entry",
        "How long the oldest entry of each queue waits, of a consumer group the oldest not acknowledged. Streams only: "
        "lists and sorted sets do not report it.",
        {QUEUE: components.QUEUE_AGE},
        "s",
        indicator="queue_age_seconds",
    )
    return Section("Redis", [Line(8, [memory, clients, lengths, age])])


def _minio() -> Section:
    drives = panels.lines(
        "Drives",
        "Drives of each store that work, and those that do not.",
        {"{{name}} online": components.DRIVES_ONLINE, "{{name}} offline": components.DRIVES_OFFLINE},
        named={"online": colors.GREEN, "offline": colors.RED},
    ).decimals(0)
    buckets = panels.health_timeline(
        "Buckets", "Whether each bucket is visible.", {"{{name}} {{bucket}}": components.BUCKETS}, colors.UP_DOWN
    )
    free = panels.lines(
        "MinIO free space",
        "Usable free space and total capacity (dashed), as MinIO itself reports them (job minio).",
        {"{{instance}}": components.CAPACITY_FREE, "{{instance}} capacity": components.CAPACITY},
        "bytes",
        dashed="capacity",
    )
    disks = panels.lines(
        "Host free space", "Where a node_exporter runs.", {"{{instance}} {{mountpoint}}": components.DISK_FREE}, "bytes"
    )
    return Section("MinIO and disks", [Line(8, [drives, buckets, free, disks])])


def _certificates() -> Section:
    remaining = panels.lines(
        "Certificates",
        "Time until the TLS certificates of components and of the exporter expire.",
        {LEGEND: components.CERTIFICATES},
        "s",
        indicator="certificate_expiry_seconds",
    )
    table = tables.of_series(
        "Certificates by expiry",
        "The first to expire on top; negative after expiry.",
        components.CERTIFICATES,
        ["component", "name", tables.column("Value", "Expires in", None, "dtdurations")],
    )
    table = tables.sorted_by(table, "Expires in", descending=False)
    return Section("All certificates", [Line(8, [remaining, table], (13, 11))], collapsed=True)


def _dependencies() -> Section:
    table = tables.of_series(
        "What needs each component",
        "While a component is down, the alerts of these are muted. Declared in the exporter's configuration or implied "
        "by what its sources and queries read. An app that is not here needs nothing: its alerts are always sent.",
        components.DEPENDENCIES,
        ["component", "name", "app", tables.wrapped("endpoint", 150), "source", "query", "origin"],
    )
    return Section("Dependencies", [Line(8, [table])], collapsed=True)


BOARD = Board(
    "components",
    "Are PostgreSQL, Redis, MinIO and HTTP endpoints up, fast and far from full?",
    [
        *_figures(),
        _states(),
        _charts(),
        _forecast(),
        components_postgresql.section(),
        _redis(),
        _minio(),
        _dependencies(),
        _certificates(),
    ],
    VARIABLES,
    may_be_empty={
        "Host free space": "No node_exporter runs.",
        "Failed probes": "None failed.",
        "Replication lag": "No standby.",
        "WAL kept for slots": "No replication slot.",
    },
)
