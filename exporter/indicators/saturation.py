"""What can fill up: connections, transaction ids, memory, disks; how full they are, and when they will be full if growth continues."""

from exporter.indicators.declaration import RESOURCE, Band, Group, Indicator, Record, RuleFile

RATIO = "component_resource:platform_saturation:ratio"
JUDGED = "component_resource:platform_saturation_judged:ratio"
EXPECTED = "component_resource:platform_saturation_expected:ratio"
HORIZON_SECONDS = 120
WHAT = "{{ $labels.resource }} of {{ $labels.component }} {{ $labels.name }}"
NOW = (
    "{{ $now := $value }}{{ with query (printf `" + JUDGED + "{component=%q,name=%q,resource=%q}` "
    "$labels.component $labels.name $labels.resource) }}{{ $now = . | first | value }}{{ end }}"
)
USED = (
    NOW + "{{ $now | humanizePercentage }} used{{ if lt $now $value }}, and all within 2 minutes at this pace{{ end }}"
)
VIRTUAL = 'fstype!~"tmpfs|ramfs|overlay|squashfs|iso9660|nsfs|fuse.lxcfs"'

HIGH = Indicator(
    name="saturation_ratio",
    alert="PlatformSaturationHigh",
    title="Saturation",
    meaning="Used share of a component's connections, transaction ids, memory or disk; 1 where all will be used within 2 minutes.",
    scope=RESOURCE,
    value=EXPECTED,
    members=JUDGED,
    bands={"medium": Band(0.8, "2m", "5m"), "high": Band(0.95, "30s", "2m")},
    summary=WHAT + ": " + USED,
    text=USED.replace(" used", " of the " + WHAT + " are used", 1),
    subject="components",
    state=None,
    few="a resource fills up whatever the traffic is",
)
PREDICTED = Indicator(
    name="saturation_seconds",
    alert="PlatformSaturationPredicted",
    title="Time until full",
    meaning="Predicted time until a component's connections, transaction ids, memory or disk are used up.",
    scope=RESOURCE,
    value="component_resource:platform_saturation_seconds:deriv",
    members=RATIO,
    bands={"medium": Band(86_400.0, "10m", "15m"), "high": Band(14_400.0, "5m", "10m")},
    lower_is_worse=True,
    summary=WHAT + ": full in {{ $value | humanizeDuration }}",
    text="The " + WHAT + " will be used up in {{ $value | humanizeDuration }} if growth continues",
    shown="humanizeDuration",
    subject="components",
    state=None,
    few="a resource fills up whatever the traffic is",
)


def labelled(expr: str, component: str, resource: str) -> str:
    """Return a series by name, with its component and its resource."""
    inner = f'label_replace(\n  {expr},\n  "component", "{component}", "", "")'
    return f'label_replace({inner}, "resource", "{resource}", "", "")'


def by_instance(expr: str, component: str, resource: str, of: str, values: str) -> str:
    """Return a series of another exporter, whose instance becomes the name."""
    inner = f'label_replace(label_replace(label_replace(\n  {expr},\n  "component", "{component}", "", "")'
    return (
        f"max by (component, name, resource) ({inner}, "
        f'"resource", "{resource}", "{of}", "{values}"), "name", "$1", "instance", "(.+)"))'
    )


def predicted(components: str, series: str, window: str, end: str, start: str, quarter: str) -> str:
    """Return the free share divided by its slope in a window, where that is a real growth."""
    own = f'{{component=~"{components}"}}'
    return (
        f"round((1 - {series}{own}) / (deriv({RATIO}{own}[{window}]) > 0))\n"
        f"  and {RATIO} > 0.5 < 1\n"
        f"  and min_over_time({RATIO}[{end}]) > max_over_time({RATIO}[{end}] offset {start})\n"
        f"  and deriv({RATIO}[{quarter}]) > 0.5 * deriv({RATIO}[{window}])"
    )


FILE = RuleFile(
    "saturation",
    "What can fill up: connections, transaction ids, memory, disks; how full they are, and when they will be full if growth continues.\n\n"
    "component, name and resource identify each. PlatformComponentDown with the same component and name is the cause of all "
    "of these; PlatformSaturationHigh replaces PlatformSaturationPredicted of the same component, name and resource.",
    (
        Group(
            "platform_saturation",
            "15s",
            (
                Record(
                    RATIO,
                    "\nor\n".join(
                        (
                            labelled(
                                "max by (name) (platform_postgresql_connections)"
                                " / (max by (name) (platform_postgresql_connections_limit) > 0)",
                                *("postgresql", "connections"),
                            ),
                            labelled(
                                "max by (name) (platform_postgresql_transaction_ids_used_ratio)",
                                *("postgresql", "transaction ids"),
                            ),
                            labelled(
                                "max by (name) (platform_redis_memory_used_bytes)"
                                " / (max by (name) (platform_redis_memory_limit_bytes) > 0)",
                                *("redis", "memory"),
                            ),
                            by_instance(
                                "1 - min by (instance) (minio_cluster_capacity_usable_free_bytes)"
                                " / (min by (instance) (minio_cluster_capacity_usable_total_bytes) > 0)",
                                *("minio", "capacity", "", ""),
                            ),
                            by_instance(
                                f"1 - min by (instance, mountpoint) (node_filesystem_avail_bytes{{{VIRTUAL}}})\n"
                                f"    / (min by (instance, mountpoint) (node_filesystem_size_bytes{{{VIRTUAL}}}) > 0)",
                                *("host", "disk $1", "mountpoint", "(.+)"),
                            ),
                        )
                    ),
                    comment="MinIO reports its own capacity (job minio), node_exporter the disks of hosts; both only where they "
                    "are scraped.",
                ),
                Record(
                    JUDGED,
                    f"{RATIO}\nunless on (component, name) "
                    'label_replace(max by (name) (platform_redis_cache) == 1, "component", "redis", "", "")',
                    comment="What alerts judge: without Redis caches, which are always full and evict by design.",
                ),
                Record(
                    EXPECTED,
                    f"{JUDGED} * 0 + 1\n"
                    f"  and {RATIO} > 0.5\n"
                    f"  and {RATIO} + {HORIZON_SECONDS} * deriv({RATIO}[90s]) >= 1\n"
                    f"  and {RATIO} - {RATIO} offset 30s > 15 * deriv({RATIO}[90s])\n"
                    f"or\n{JUDGED}",
                    comment="1 where all will be used within two minutes at the pace of the last 90 s, and at least half as fast in the last 30 s: a "
                    "pool that is filled at once stops growing. Then it is known before anyone is refused.",
                ),
                Record(
                    PREDICTED.value,
                    predicted("postgresql|redis", JUDGED, "1h", "10m", "50m", "15m")
                    + "\nor\n"
                    + predicted("minio|host", RATIO, "6h", "1h", "5h", "90m"),
                    comment="The free share divided by the slope: over an hour for memory and connections, over six for disks. "
                    "Only if more than half is used, and if the minimum at the window's end is above the maximum at its "
                    "beginning: neither noise nor a start within the window passes that. And only while the last quarter still "
                    "grows at least half as fast as the whole.",
                ),
                HIGH,
                PREDICTED,
            ),
        ),
    ),
)
