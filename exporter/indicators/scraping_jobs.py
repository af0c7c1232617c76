"""Live scraping jobs: silent, stuck, waiting for too long, and time since the last success."""

from exporter.indicators.declaration import APP_SCRAPER, Band, Group, Indicator, Record, RuleFile
from exporter.indicators.promql import usual
from exporter.indicators.scraping import WHO

READABLE = "unless on () max(platform_exporter_source_up) == 0"
ONE_IS_ENOUGH = "a single job, or scraper, is enough"


def age(name: str, metric: str) -> Record:
    """Return the recording of the time since a timestamp, as long as the app's sources can be read."""
    readable = "unless on (app) max_over_time(app:platform_exporter_source_down:max[2m])"
    expr = f"clamp_min(time() - max by (app, scraper) ({metric}), 0)\n{READABLE}\n{readable}"
    return Record(f"app_scraper:{name}:seconds", expr)


AGE = "app_scraper:platform_scraping_last_success_age:seconds"
SUCCESS = Record(
    "app_scraper:platform_scraping_last_success:timestamp",
    "max by (app, scraper) (platform_scraping_last_success_timestamp_seconds)",
)
GAP = Record(
    "app_scraper:platform_scraping_success_gap:seconds",
    f"{SUCCESS.name} - last_over_time({SUCCESS.name}[1h] offset 1m) > 0",
    comment="From one success to the next, for a minute after it.",
)
USUAL = "app_scraper:platform_scraping_success_gap:usual"
EVERY = "{{ with query (printf `" + USUAL + "{app=%q,scraper=%q}` $labels.app $labels.scraper) }}"
EVERY += "{{ . | first | value | humanizeDuration }}{{ end }}"
SINCE = "{{ with query (printf `" + AGE + "{app=%q,scraper=%q}` $labels.app $labels.scraper) }}"
SINCE += "{{ . | first | value | humanizeDuration }}{{ end }}"

WITHIN = "app_scraper:platform_scraping_expected_within:seconds"
SAID = Record(
    WITHIN,
    "max by (app, scraper) (platform_scraping_expected_within_seconds) > 0\n"
    'unless on (app, scraper) max by (app, scraper) (platform_job_schedule_info{scraper!=""})',
)

SILENT = Indicator(
    name="scraping_heartbeat_age_seconds",
    alert="PlatformScrapingJobSilent",
    title="Silent jobs",
    meaning="Age of the last heartbeat of the running job that has been silent for longest.",
    scope=APP_SCRAPER,
    value="app_scraper:platform_scraping_heartbeat_age:seconds",
    bands={"high": Band(120.0, "30s", "1m"), "critical": Band(600.0, "30s", "1m")},
    inclusive=False,
    summary="A running job of " + WHO + " has been silent for {{ $value | humanizeDuration }}",
    text="A running job of "
    + WHO
    + " has sent no heartbeat for {{ $value | humanizeDuration }}: its worker died or hangs",
    shown="humanizeDuration",
    subject="scraping",
    column="jobs",
    few=ONE_IS_ENOUGH,
)
STUCK = Indicator(
    name="scraping_progress_age_seconds",
    alert="PlatformScrapingJobStuck",
    title="Stuck jobs",
    meaning="Time without progress of the running job that has made none for longest.",
    scope=APP_SCRAPER,
    value="app_scraper:platform_scraping_progress_age:seconds",
    bands={"medium": Band(900.0, "1m", "2m"), "high": Band(3600.0, "1m", "2m")},
    inclusive=False,
    summary="A running job of " + WHO + " has made no progress for {{ $value | humanizeDuration }}",
    text="A running job of " + WHO + " has processed no item for {{ $value | humanizeDuration }}",
    shown="humanizeDuration",
    subject="scraping",
    column="jobs",
    few=ONE_IS_ENOUGH,
)
WAITING = Indicator(
    name="scraping_pending_age_seconds",
    alert="PlatformScrapingJobsWaiting",
    title="Waiting jobs",
    meaning="Time that the longest waiting job has waited for its start.",
    scope=APP_SCRAPER,
    value="app_scraper:platform_scraping_pending_age:seconds",
    bands={"medium": Band(900.0, "1m", "2m"), "high": Band(3600.0, "1m", "2m")},
    inclusive=False,
    summary="Jobs of " + WHO + " have waited for {{ $value | humanizeDuration }}",
    text="The oldest waiting job of " + WHO + " was created {{ $value | humanizeDuration }} ago and has not started",
    shown="humanizeDuration",
    subject="scraping",
    column="jobs",
    few=ONE_IS_ENOUGH,
)
OLD_SUCCESS = Indicator(
    name="scraping_last_success_ratio",
    alert="PlatformScrapingLastSuccessOld",
    title="Last success",
    meaning="Time since a scraper last succeeded, compared with its usual longest time between two successes (at least "
    "10 minutes). Scrapers with a schedule in `jobs` or in their code are left out.",
    scope=APP_SCRAPER,
    value="app_scraper:platform_scraping_last_success:ratio",
    bands={"medium": Band(1.25, "1m", "5m"), "high": Band(2.0, "1m", "5m")},
    inclusive=False,
    summary=WHO + " last succeeded " + SINCE + " ago, usually within " + EVERY,
    text="The last successful run of "
    + WHO
    + " ended "
    + SINCE
    + " ago, {{ $value | humanize }} times as long as usual",
    shown="humanize",
    times=" times",
    subject="scraping",
    few=ONE_IS_ENOUGH,
    enough="count by (app, scraper) (app_scraper_week:platform_scraping_success_gap:max1w) >= 2",
    comment="High only after two weeks: the first weekend of a scraper that only works on weekdays is not an emergency.",
)

FILE = RuleFile(
    "scraping_jobs",
    "Live scraping jobs: silent, stuck, waiting for too long, and time since the last success. Per app and scraper.\n\n"
    "The newest timestamp of all replicas counts (max), because a replica that cannot read shows outdated ones. While no "
    "source can be read at all, ages would grow without meaning: then nothing is recorded, and PlatformSourceDown fires.\n\n"
    "Causes, by app and scraper: a silent job makes no progress, and jobs wait behind it, so PlatformScrapingJobSilent is "
    "the cause of PlatformScrapingJobStuck and PlatformScrapingJobsWaiting.",
    (
        Group(
            "platform_scraping_rhythm",
            "1m",
            (
                SUCCESS,
                GAP,
                *usual(
                    APP_SCRAPER,
                    GAP.name,
                    "The longest time between two successes in a usual week. Known after successes in two weeks, or in six "
                    "hours at least a day ago: until then a scraper that was only tried out, or has not had a night yet, "
                    "looks like one that is quick. Of what succeeds once in four weeks nothing is known.",
                    known="count_over_time(app_scraper:platform_scraping_success_gap:max1h[1w:1h] offset 1d) >= 6",
                ),
            ),
        ),
        Group(
            "platform_scraping_jobs",
            "15s",
            (
                age("platform_scraping_heartbeat_age", "platform_scraping_oldest_heartbeat_timestamp_seconds"),
                age("platform_scraping_progress_age", "platform_scraping_oldest_progress_timestamp_seconds"),
                age("platform_scraping_pending_age", "platform_scraping_oldest_pending_timestamp_seconds"),
                age("platform_scraping_last_success_age", "platform_scraping_last_success_timestamp_seconds"),
                SAID,
                Record(
                    OLD_SUCCESS.value,
                    f"{AGE} / clamp_min({USUAL}, 600)\n"
                    f"unless on (app, scraper) max by (app, scraper) (platform_job_schedule_info)\nunless on (app, scraper) {WITHIN}",
                ),
                SILENT,
                STUCK,
                WAITING,
                OLD_SUCCESS,
            ),
        ),
    ),
)
