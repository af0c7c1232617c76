"""Fields of scraped items: how often they are filled, and with what, compared with their own past week."""

from exporter.indicators.declaration import APP_SCRAPER, Band, Group, Indicator, Record, RuleFile, Scope
from exporter.indicators.promql import MINIMUM, health_of_apps, increase, total
from exporter.indicators.scraping import WHO

APP_FIELD = Scope("app_scraper_field", ("app", "scraper", "field"), ("scraper", "app"))
APP_TYPE = Scope("app_scraper_field_type", ("app", "scraper", "field", "type"))
ITEMS, FIELD = "app_scraper:platform_scraping_items_examined", "app_scraper_field:platform_scraping_field_items"
TYPE = "app_scraper_field_type:platform_scraping_field_items"
COVERAGE, USUAL = (
    "app_scraper_field:platform_scraping_field_coverage:ratio10m",
    "app_scraper_field:platform_scraping_field_coverage:usual",
)
EXPECTED = "app_scraper_field:platform_scraping_field_items:expected10m"
OF_ITEMS = "on (app, scraper) group_left ()"
TYPES_NOW = "app_scraper_field:platform_scraping_field_other_types:ratio10m"
FIELD_NAME = "{{ $labels.field }}"


def week(series: str) -> str:
    """Return the growth of a sum in the week before the last quarter of an hour."""
    return f"{series}:sum offset 15m - ({series}:sum offset 1w or {series}:sum * 0)"


EMPTY = Indicator(
    name="scraping_field_ratio",
    alert="PlatformScrapingFieldEmpty",
    title="Empty fields",
    meaning="Items of 10 minutes in which a field is filled, as a share of those that it was filled in during the past week; "
    "three standard deviations of chance are added.",
    scope=APP_FIELD,
    value="app_scraper_field:platform_scraping_field:ratio",
    members=f"{USUAL}",
    bands={"medium": Band(0.9, "1m", "5m"), "high": Band(0.5, "1m", "5m")},
    lower_is_worse=True,
    summary="The field " + FIELD_NAME + " of " + WHO + " is filled in fewer items than usual",
    text="The field "
    + FIELD_NAME
    + " of "
    + WHO
    + " is filled in {{ $value | humanizePercentage }} of the usual number "
    "of items over 10 minutes",
    subject="scraping",
)
CHANGED = Indicator(
    name="scraping_field_type_ratio",
    alert="PlatformScrapingFieldTypeChanged",
    title="Types of fields",
    meaning="Share of a field's values of 10 minutes that are of a type which it hardly had before.",
    scope=APP_FIELD,
    value=TYPES_NOW,
    bands={"medium": Band(0.1, "1m", "5m"), "high": Band(0.5, "1m", "5m")},
    summary="The field " + FIELD_NAME + " of " + WHO + " is filled with another type",
    text="{{ $value | humanizePercentage }} of the values of the field " + FIELD_NAME + " of " + WHO + " are of a type "
    "that it hardly had before, over 10 minutes",
    subject="scraping",
)

FILE = RuleFile(
    "scraping_fields",
    "Fields of scraped items: how often they are filled, and with what, per app, scraper and field.\n\n"
    "A field is compared with its own share in the past week, without the last quarter of an hour: what is rarely filled is "
    "not taken for empty, and a change becomes usual within a week. Unknown, without an alert: fewer than minimum_events "
    "items, now or in the week, or in which the field would usually be filled.",
    (
        Group(
            "platform_scraping_fields",
            "15s",
            (
                total(APP_SCRAPER, "platform_scraping_items_examined", "platform_scraping_items_examined_total"),
                total(APP_FIELD, "platform_scraping_field_items", "platform_scraping_field_items_total", many="type"),
                total(APP_TYPE, "platform_scraping_field_items", "platform_scraping_field_items_total"),
                increase(ITEMS, "10m", "1m"),
                increase(FIELD, "10m", "1m"),
                increase(TYPE, "10m", "1m"),
                Record(
                    COVERAGE,
                    f"clamp_max({FIELD}:increase10m\n/ {OF_ITEMS}\n"
                    f"({ITEMS}:increase10m >= on (app) group_left () {MINIMUM}), 1)",
                ),
                Record(
                    USUAL,
                    f"clamp_max(clamp_min({week(FIELD)}, 0)\n/ {OF_ITEMS}\n"
                    f"({week(ITEMS)} >= on (app) group_left () {MINIMUM}), 1)",
                ),
                Record(
                    EXPECTED,
                    f"{USUAL} * {OF_ITEMS} {ITEMS}:increase10m >= on (app) group_left () {MINIMUM}",
                    comment="In how many items of these 10 minutes the field would usually be filled.",
                ),
                Record(
                    EMPTY.value,
                    f"clamp_max(\n({FIELD}:increase10m + 3 * sqrt({EXPECTED} * clamp_min(1 - {USUAL}, 0))) / {EXPECTED}, 1)",
                ),
                Record(
                    TYPES_NOW,
                    f"(\n  sum by (app, scraper, field) ({TYPE}:increase10m\n"
                    f"    unless {TYPE}:sum offset 15m > {OF_ITEMS.replace('scraper)', 'scraper, field)')} 0.02 * ({FIELD}:sum offset 15m))\n"
                    f"  or {FIELD}:increase10m * 0\n)\n"
                    f"/ ({FIELD}:increase10m >= on (app) group_left () {MINIMUM})\n"
                    f"and ({FIELD}:sum offset 15m) >= on (app) group_left () {MINIMUM}",
                ),
                EMPTY,
                CHANGED,
                health_of_apps(APP_FIELD),
            ),
        ),
    ),
)
