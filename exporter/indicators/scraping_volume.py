"""Items of the last hour compared with the same hour in earlier weeks, and runs that succeed without any."""

from exporter.indicators.declaration import APP_SCRAPER, Band, Group, Indicator, Record, RuleFile
from exporter.indicators.promql import MINIMUM, usual
from exporter.indicators.scraping import FAILURES, RUNS, WHO

ITEMS = "app_scraper:platform_scraping_items"
WEEKS = "app_scraper_week:platform_scraping_items:increase1h"

VOLUME = Indicator(
    name="scraping_volume_ratio",
    alert="PlatformScrapingVolumeLow",
    title="Scraping volume",
    meaning="Items of the last hour as a share of the median of the same hour in earlier weeks.",
    scope=APP_SCRAPER,
    value=f"{ITEMS}:ratio1h",
    members=f"{ITEMS}:sum",
    bands={"medium": Band(0.5, "5m", "15m"), "high": Band(0.2, "5m", "15m")},
    lower_is_worse=True,
    summary=WHO + " delivers {{ $value | humanizePercentage }} of its usual items",
    text="The items of "
    + WHO
    + " in the last hour are {{ $value | humanizePercentage }} of the median of the same hour "
    "in earlier weeks",
    subject="scraping",
)

SUCCESSES, AT_ITEM = (
    "app_scraper:platform_scraping_successes:sum",
    "app_scraper:platform_scraping_successes_at_item:last",
)
EMPTY, ENDED = "app_scraper:platform_scraping_empty_runs:count", "app_scraper:platform_scraping_empty_runs_ended:count"
EVER = "app_scraper:platform_scraping_empty_runs_ended"
CAME = f"and on (app, scraper) {ITEMS}:sum > {ITEMS}:sum offset 1m"

EMPTY_RUNS = Indicator(
    name="scraping_empty_runs",
    alert="PlatformScrapingEmpty",
    title="Empty runs",
    meaning="Runs of a scraper that succeeded in a row without any item. Scrapers that often find nothing are compared with "
    "themselves: up to one and a half times what is usual is 0.",
    scope=APP_SCRAPER,
    value="app_scraper:platform_scraping_empty_runs_judged:count",
    bands={"medium": Band(5, "1m", "5m"), "high": Band(20, "1m", "5m")},
    enough=f"{ITEMS}:sum > 0",
    summary=WHO + " succeeded {{ $value }} times in a row without an item",
    text="The last {{ $value }} runs of " + WHO + " succeeded and brought no item"
    "{{ with query (printf `app_scraper:platform_scraping_items:sum{app=%q,scraper=%q} == 0` $labels.app $labels.scraper) }}"
    ", and none ever did{{ end }}",
    shown="humanize",
    subject="scraping",
    few="a handful of runs is enough",
    comment="High only where there ever were items: a scraper that counts none says nothing by 0.",
)

FILE = RuleFile(
    "scraping_volume",
    "Items of the last hour compared with the same hour in earlier weeks, per app and scraper.\n\n"
    "The baseline is the median of the hours exactly 7, 14, 21 and 28 days ago, if at least two exist: daily and weekly "
    "rhythms cancel out, and one bad week (or a holiday) does not become the norm. After a change of daylight saving time "
    "it is off by an hour as long as the compared weeks are on both sides. All four need a retention of four weeks in "
    "Prometheus (its default of 15 days gives two). Unknown, without an alert: a baseline below minimum_events, a gap an "
    "hour ago, a source that cannot be read.",
    (
        Group(
            "platform_scraping_empty",
            "15s",
            (
                Record(SUCCESSES, f"app_scraper:{RUNS}:sum - app_scraper:{FAILURES}:sum"),
                Record(
                    AT_ITEM,
                    f"{SUCCESSES} {CAME}\nor last_over_time({AT_ITEM}[1w]) <= {SUCCESSES}\nor {SUCCESSES}",
                    comment="How many runs had succeeded when the newest item came.",
                ),
                Record(EMPTY, f"{SUCCESSES} - {AT_ITEM}"),
                Record(
                    ENDED,
                    f"max_over_time({EMPTY}[2m]) {CAME}",
                    comment="How many were empty in a row, for a minute after an item came.",
                ),
                Record(
                    EMPTY_RUNS.value,
                    f"{EMPTY} unless on (app, scraper) {EMPTY} <= 1.5 * {EVER}:usual\nor {EMPTY} * 0",
                ),
                EMPTY_RUNS,
            ),
        ),
        Group("platform_scraping_empty_usual", "1m", tuple(usual(APP_SCRAPER, ENDED, known=f"{EVER}:max1w >= 0"))),
        Group(
            "platform_scraping_volume",
            "1m",
            (
                Record(
                    f"{ITEMS}:increase1h",
                    f"clamp_min({ITEMS}:sum - max_over_time({ITEMS}:sum[1m] offset 1h), 0)\n"
                    "unless on () max(platform_exporter_source_up) == 0",
                ),
                Record(
                    WEEKS,
                    "\nor\n".join(
                        f'label_replace({ITEMS}:increase1h offset {week}w, "week", "{week}", "", "")'
                        for week in (1, 2, 3, 4)
                    ),
                ),
                Record(
                    f"{ITEMS}:baseline1h",
                    f"quantile by (app, scraper) (0.5, {WEEKS})\nand on (app, scraper)\n"
                    f"count by (app, scraper) ({WEEKS}) >= 2",
                ),
                Record(
                    VOLUME.value,
                    f"{ITEMS}:increase1h\n/ on (app, scraper)\n"
                    f"({ITEMS}:baseline1h >= on (app) group_left () {MINIMUM} > 0)",
                ),
                VOLUME,
            ),
        ),
    ),
)
