"""Scraping runs that take longer than usual, although they succeed."""

from exporter.indicators.clues import RELEASE
from exporter.indicators.declaration import APP_SCRAPER, Band, Group, Indicator, Record, RuleFile
from exporter.indicators.promql import increase, total
from exporter.indicators.scraping import WHO

SECONDS, RUNS = "platform_scraping_run_duration_seconds", "platform_scraping_run_durations"
MEAN, USUAL = f"app_scraper:{SECONDS}:mean", f"app_scraper:{SECONDS}:most_usual"
RUNS_LEAST, SHORTEST_SECONDS = 3, 10

SLOWER = Indicator(
    name="scraping_duration_rise_ratio",
    alert="PlatformScrapingSlow",
    title="Longer runs",
    meaning="Mean duration of a scraper's runs as a multiple of the most that is usual; "
    f"below {SHORTEST_SECONDS} s that counts as {SHORTEST_SECONDS} s.",
    scope=APP_SCRAPER,
    value=f"app_scraper:{SECONDS}:of_most_usual",
    members=f"app_scraper:{RUNS}:sum",
    bands={"medium": Band(2.0, "8m", "8m")},
    summary="Runs of " + WHO + " take {{ $value | humanize }} times as long as usual",
    text="The mean duration of the runs of "
    + WHO
    + f"{{{{ with query (printf `{MEAN}{{app=%q,scraper=%q}}` $labels.app $labels.scraper) }}}}, "
    "{{ . | first | value | humanizeDuration }},{{ end }} is {{ $value | humanize }} times the most that is usual",
    shown="humanize",
    times=" times",
    subject="scraping",
    few=f"{RUNS_LEAST} runs of an hour are enough, or of a day",
    clues=(RELEASE,),
)


def _mean() -> Record:
    """Return the recording of the mean of an hour's runs, of a day's where an hour has few."""
    found = (
        f"app_scraper:{SECONDS}:increase{window} / (app_scraper:{RUNS}:increase{window} >= {RUNS_LEAST})"
        for window in ("1h", "1d")
    )
    return Record(MEAN, "\nor\n".join(found))


def _usual() -> Record:
    before = {
        "median": f"quantile_over_time(0.5, {MEAN}[1w:1h] offset 2h)",
        "1d": f"max_over_time({MEAN}[3h] offset 22h30m)",
        "1w": f"max_over_time({MEAN}[3h] offset 166h30m)",
    }
    named = "\n  or ".join(f'label_replace({expr}, "before", "{name}", "", "")' for name, expr in before.items())
    return Record(
        USUAL,
        f"max by (app, scraper) (\n  {named}\n)\nand on (app, scraper) {MEAN} offset 1d",
        comment="The median of a week, and what it was around this time yesterday and a week ago: a run that is long every night, or "
        "every Sunday, is usual. Unknown until there is a day.",
    )


FILE = RuleFile(
    "scraping_durations",
    "Scraping runs that take longer than usual, although they succeed. Expectations that a scraper declares itself are in "
    "scraping_expected.yml.\n\nEvery four minutes: they are about an hour or a day.",
    (
        Group(
            "platform_scraping_durations",
            "4m",
            (
                total(APP_SCRAPER, RUNS, f"{SECONDS}_count"),
                total(APP_SCRAPER, SECONDS, f"{SECONDS}_sum"),
                *(
                    increase(f"app_scraper:{name}", window, "15m")
                    for name in (RUNS, SECONDS)
                    for window in ("1h", "1d")
                ),
                _mean(),
                _usual(),
                Record(SLOWER.value, f"{MEAN} / clamp_min({USUAL}, {SHORTEST_SECONDS})"),
                SLOWER,
            ),
        ),
    ),
)
