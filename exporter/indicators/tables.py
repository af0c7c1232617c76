"""Tables that are watched: how fresh they are, and how rows and NULLs compare with their own past week."""

from collections.abc import Iterator

from exporter.indicators.declaration import Band, Group, Indicator, Record, RuleFile, Scope

WATCH = Scope("watch", ("watch",), ("watch",))
WATCH_COLUMN = Scope("watch_column", ("watch", "column"), ("watch",))
FILLED = "watch:platform_table_filled:timestamp"
ROWS, NULLS = "watch:platform_table_rows:max", "watch_column:platform_table_null:ratio"
MINIMUM = 'scalar(max(platform_threshold{indicator="minimum_events", app=""}))'
KNOWN = 20
FEW = "a table has rows, whatever the traffic"


def median_of_week(series: str, name: str) -> Iterator[Record]:
    """Yield the recording of a series' median in the week before the last quarter of an hour, once it is known."""
    yield Record(
        name,
        f"quantile_over_time(0.5, {series}[1w] offset 15m)\nand count_over_time({series}[1w] offset 15m) >= {KNOWN}",
    )


STALE = Indicator(
    name="table_age_seconds",
    alert="PlatformTableStale",
    title="Stale tables",
    meaning="Time since the newest row of a watched table; without any row since it had one, or since it is watched.",
    scope=WATCH,
    value="watch:platform_table_age:seconds",
    bands={"medium": Band(93_600.0, "2m", "5m"), "high": Band(180_000.0, "2m", "5m")},
    inclusive=False,
    summary="{{ $labels.watch }} has had no new row for {{ $value | humanizeDuration }}",
    text="The watched table {{ $labels.watch }} has had no new row for {{ $value | humanizeDuration }}"
    f"{{{{ with query (printf `{ROWS}{{watch=%q}} unless on (watch) platform_table_newest_timestamp_seconds` $labels.watch) }}}}"
    ", and is empty{{ end }}",
    shown="humanizeDuration",
    subject="scraping",
    state=None,
    few=FEW,
)
RISEN = Indicator(
    name="table_null_rise_ratio",
    alert="PlatformTableNullsRisen",
    title="NULLs of tables",
    meaning="By how much the share of rows of a watched table in which a column is NULL is above its median of a week.",
    scope=WATCH_COLUMN,
    value="watch_column:platform_table_null_rise:ratio",
    bands={"medium": Band(0.1, "2m", "5m"), "high": Band(0.5, "2m", "5m")},
    summary="{{ $labels.column }} of {{ $labels.watch }} is NULL in more rows than usual",
    text="The share of rows in which {{ $labels.column }} of the watched table {{ $labels.watch }} is NULL is "
    "{{ $value | humanizePercentage }} of all rows above its usual one",
    subject="scraping",
    state=None,
)
FALLEN = Indicator(
    name="table_rows_ratio",
    alert="PlatformTableRowsFallen",
    title="Rows of tables",
    meaning="Rows in a watched table's window as a share of their median of a week.",
    scope=WATCH,
    value="watch:platform_table_rows:ratio",
    bands={"medium": Band(0.5, "2m", "5m"), "high": Band(0.2, "2m", "5m")},
    lower_is_worse=True,
    summary="{{ $labels.watch }} has {{ $value | humanizePercentage }} of its usual rows",
    text="The watched table {{ $labels.watch }} has {{ $value | humanizePercentage }} of its usual rows in its window",
    subject="scraping",
    state=None,
)

FILE = RuleFile(
    "tables",
    "Tables that are watched (`watches` of the configuration): how fresh they are, how many rows came, how many are NULL.\n\n"
    "A table that was emptied keeps the age of the newest row that it had, and one that was never filled has that of its "
    "watch, also after a week in which the query fails. Rows and NULLs are compared with their own median "
    "of a week, without the last quarter of an hour; unknown, without an alert: before 20 minutes of that are known, and with "
    "fewer than minimum_events rows, of NULLs now, of rows usually. While a watch's query fails all is unknown, and "
    "PlatformQueryFailing says so.",
    (
        Group(
            "platform_tables",
            "1m",
            (
                Record(ROWS, "max by (watch) (platform_table_rows)"),
                Record(
                    FILLED,
                    "(\n"
                    "  max by (watch) (max_over_time(platform_table_newest_timestamp_seconds[1d]))\n"
                    f"  or last_over_time({FILLED}[1w])\n"
                    f")\nand on (watch) {ROWS}\nor {ROWS} * 0 + time()",
                    comment="The newest row that a table had, the first look at it where it had none. Without its newest "
                    "row the time that was recorded last goes on.",
                ),
                Record(STALE.value, f"clamp_min(time() - {FILLED}, 0)"),
                Record(
                    NULLS,
                    f"max by (watch, column) (platform_table_null_ratio)\nand on (watch) {ROWS} >= {MINIMUM}",
                ),
                *median_of_week(ROWS, "watch:platform_table_rows:usual"),
                *median_of_week(NULLS, "watch_column:platform_table_null:usual"),
                Record(FALLEN.value, f"{ROWS} / (watch:platform_table_rows:usual >= {MINIMUM})"),
                Record(RISEN.value, f"clamp_min({NULLS} - watch_column:platform_table_null:usual, 0)"),
                STALE,
                RISEN,
                FALLEN,
            ),
        ),
    ),
)
