"""Sources of events: how far their counts are behind."""

from exporter.indicators.declaration import SOURCE, Band, Group, Indicator, Record, RuleFile

LAG = Record(
    "source:platform_exporter_source_lag_seconds:max", "max by (source) (platform_exporter_source_lag_seconds)"
)

NOW_UNREADABLE = Record(
    "global:platform_exporter_sources_unreadable:max",
    "clamp_max(\n  (max(max by (source) (platform_exporter_source_up) == bool 0) or vector(0))\n"
    "  + (max(min by (source) (platform_exporter_source_lag_seconds) > bool 120) or vector(0)), 1)",
    comment="1 while any source cannot be read by any replica, or its counts are 2 minutes old: then a counter that stands "
    "still says nothing about its app.",
)
UNREADABLE = f"unless on () {NOW_UNREADABLE.name} > 0"
RECENTLY_UNREADABLE = f"unless on () max_over_time({NOW_UNREADABLE.name}[20m]) > 0"

LAGGING = Indicator(
    name="source_lag_seconds",
    alert="PlatformSourceLagging",
    title="Source lag",
    meaning="Age of the newest count of a source.",
    scope=SOURCE,
    value=LAG.name,
    bands={"high": Band(60.0, "30s", "1m"), "critical": Band(300.0, "30s", "1m")},
    inclusive=False,
    summary="Source {{ $labels.source }} is {{ $value | humanizeDuration }} behind",
    text="The source {{ $labels.source }} was last read completely {{ $value | humanizeDuration }} ago",
    shown="humanizeDuration",
    subject="monitoring",
    state=None,
    few="a source lags whatever the traffic is",
)

FILE = RuleFile(
    "sources",
    "Sources of events: how far their counts are behind.",
    (Group("platform_sources", "15s", (LAG, NOW_UNREADABLE, LAGGING)),),
)
