"""What a scraper's runs are expected to be, by its code or by the configuration: how often, how long, how many items."""

from exporter.indicators.declaration import Alert, Group, Record, RuleFile
from exporter.indicators.scraping import WHO
from exporter.indicators.scraping_jobs import AGE, WITHIN

ITEMS, SECONDS = (
    "app_scraper:platform_scraping_last_run_items:last",
    "app_scraper:platform_scraping_last_run_duration:seconds",
)
LEAST = "app_scraper:platform_scraping_least_items:expected"
SHORTEST, LONGEST = (f"app_scraper:platform_scraping_{which}_run:expected" for which in ("shortest", "longest"))


def said(name: str, configured: str, in_code: str) -> Record:
    """Return the recording of an expectation: that of the configuration, or else that of the code; 0 is none."""
    expr = f'max by (app, scraper) ({configured}{{scraper!=""}})\nor\nmax by (app, scraper) ({in_code}) > 0'
    return Record(name, expr)


def expected(series: str, how: str, shown: str = "humanizeDuration") -> str:
    """Return the clause of a description that says what was expected."""
    query = f"{{{{- with query (printf `{series}{{app=%q,scraper=%q}}` $labels.app $labels.scraper) }}}}"
    return f"\n{query} (expected: {how} {{{{ . | first | value | {shown} }}}}){{{{ end }}}}"


def alert(name: str, severity: str, expr: str, summary: str, text: str, comment: str = "") -> Alert:
    """Return an alert about a scraper."""
    return Alert(
        name=name, severity=severity, expr=expr, hold="1m", keep_firing="5m", labels=("app", "scraper"), summary=summary,
        text=text, subject="scraping", column="jobs", comment=comment,
    )  # fmt: skip


FILE = RuleFile(
    "scraping_expected",
    "What a scraper's runs are expected to be, by its code or the configuration's jobs: how often, how long, how many items.\n\n"
    "What the configuration says counts before what the code says. The newest successful run is judged, so that a run that is "
    "too short or has too few items is known after one run.",
    (
        Group(
            "platform_scraping_expected",
            "15s",
            (
                said(LEAST, "platform_job_least_items", "platform_scraping_least_items"),
                said(SHORTEST, "platform_job_shortest_run_seconds", "platform_scraping_shortest_run_seconds"),
                said(LONGEST, "platform_job_longest_run_seconds", "platform_scraping_longest_run_seconds"),
                Record(ITEMS, "max by (app, scraper) (platform_scraping_last_run_items)"),
                Record(SECONDS, "max by (app, scraper) (platform_scraping_last_run_duration_seconds)"),
                alert(
                    "PlatformScraperOverdue",
                    "high",
                    f"{AGE} > on (app, scraper) {WITHIN}",
                    WHO + " last succeeded {{ $value | humanizeDuration }} ago, later than its code expects",
                    "The last successful run of "
                    + WHO
                    + " ended {{ $value | humanizeDuration }} ago"
                    + expected(WITHIN, "within")
                    + ".",
                    "Of the code only: PlatformJobMissed judges the configuration's schedules, which count before.",
                ),
                alert(
                    "PlatformScrapingTooFewItems",
                    "medium",
                    f"{ITEMS} < on (app, scraper) {LEAST}",
                    "The newest run of " + WHO + " brought {{ $value }} items, fewer than expected",
                    "The newest successful run of "
                    + WHO
                    + " brought {{ $value }} items"
                    + expected(LEAST, "at least", "humanize")
                    + ".",
                ),
                alert(
                    "PlatformScrapingRunTooShort",
                    "medium",
                    f"{SECONDS} < on (app, scraper) {SHORTEST}",
                    "The newest run of " + WHO + " took only {{ $value | humanizeDuration }}",
                    "The newest successful run of "
                    + WHO
                    + " took {{ $value | humanizeDuration }}"
                    + expected(SHORTEST, "at least")
                    + ".",
                ),
                alert(
                    "PlatformScrapingRunTooLong",
                    "medium",
                    f"{SECONDS} > on (app, scraper) {LONGEST}",
                    "The newest run of " + WHO + " took {{ $value | humanizeDuration }}",
                    "The newest successful run of "
                    + WHO
                    + " took {{ $value | humanizeDuration }}"
                    + expected(LONGEST, "at most")
                    + ".",
                ),
            ),
        ),
    ),
)
