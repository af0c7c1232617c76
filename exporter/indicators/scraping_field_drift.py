"""Fields of scraped items that vanished, or are new: what ten minutes cannot say of a scraper with few items."""

from exporter.indicators.clues import clue
from exporter.indicators.declaration import Alert, Group, Record, RuleFile
from exporter.indicators.promql import MINIMUM
from exporter.indicators.scraping import WHO
from exporter.indicators.scraping_fields import FIELD, FIELD_NAME, ITEMS, OF_ITEMS, USUAL

VANISHED, NEW = f"{FIELD}:vanished1d", f"{FIELD}:new26h"
USUALLY, OFTEN = 0.5, 0.05
ENOUGH = f">= on (app) group_left () {MINIMUM}"
NAMED = '{{ range $i, $one := . }}{{ if $i }}, {{ end }}{{ $one | label "field" }}{{ end }}'

FIELD_VANISHED = Alert(
    name="PlatformScrapingFieldVanished",
    severity="medium",
    expr=VANISHED,
    hold="5m",
    keep_firing="15m",
    labels=("scraper", "app"),
    summary="No item of " + WHO + " has the field " + FIELD_NAME + " any more",
    text="The field " + FIELD_NAME + " of " + WHO + " is filled in none of the items of a day; of those of the week before, "
    "{{ $value | humanizePercentage }}.",
    subject="scraping",
)  # fmt: skip
FIELD_NEW = Alert(
    name="PlatformScrapingFieldNew",
    severity="low",
    expr=f"count by (app, scraper) ({NEW})",
    hold="5m",
    keep_firing="15m",
    labels=("scraper", "app"),
    summary="Items of " + WHO + " have {{ $value }} new {{ if eq $value 1.0 }}field{{ else }}fields{{ end }}",
    text="Fields of items of " + WHO + " that none had before the past day: {{ $value }}, expected 0."
    + clue(f"sort_desc(topk(5, {NEW}{{app=%q,scraper=%q}}))", ("app", "scraper"), f"The most frequent: {NAMED}."),
    subject="scraping",
)  # fmt: skip

FILE = RuleFile(
    "scraping_field_drift",
    "Fields of scraped items that vanished or are new, per app, scraper and field: over a day, so that scrapers of few items have "
    "enough of them.\n\n"
    "Vanished: in no item of a day, after half of those of the week before, until that is usual, in three days and a half. New: "
    "in one of twenty items, after none ever, for 26 hours, so that a daily message has it. Unknown, without an alert: fewer than "
    "minimum_events items, of the day or before it. Fields beyond the hundred of a job are none of their own.",
    (
        Group(
            "platform_scraping_field_drift",
            "1m",
            (
                Record(
                    VANISHED,
                    f'({USUAL}{{field!="_other_"}} offset 1d) >= {USUALLY}\n'
                    f"and {FIELD}:sum - {FIELD}:sum offset 1d <= 0\n"
                    f"and on (app, scraper) ({ITEMS}:sum - {ITEMS}:sum offset 1d) {ENOUGH}",
                    comment="The share of the week before.",
                ),
                Record(
                    NEW,
                    f'(({FIELD}:sum{{field!="_other_"}} {ENOUGH}) unless {FIELD}:sum offset 26h > 0)\n'
                    f"/ {OF_ITEMS}\n(({ITEMS}:sum - {ITEMS}:sum offset 26h) > 0) >= {OFTEN}\n"
                    f"and on (app, scraper) ({ITEMS}:sum offset 26h) {ENOUGH}",
                    comment="The share since then.",
                ),
                FIELD_VANISHED,
                FIELD_NEW,
            ),
        ),
    ),
)
