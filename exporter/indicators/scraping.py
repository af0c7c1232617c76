"""Finished scraping runs: shares of failures, bans and rate limits; requests that were blocked."""

from exporter.indicators.clues import RELEASE, reason
from exporter.indicators.declaration import APP_SCRAPER, Band, Group, Indicator, RuleFile
from exporter.indicators.promql import health_of_apps, increases, part, share, total

RUNS, FAILURES = "platform_scraping_runs", "platform_scraping_run_failures"
FORBIDDEN, LIMITED = "platform_scraping_runs_forbidden", "platform_scraping_runs_rate_limited"
REQUESTS, BLOCKED = "platform_scraping_requests", "platform_scraping_blocked"
FAILED = "platform_scraping_run_failures_total"
WHO = "{{ $labels.scraper }} in {{ $labels.app }}"

FAILURE_RATIO = Indicator(
    name="scraping_failure_ratio",
    alert="PlatformScrapingFailuresHigh",
    title="Scraping failures",
    meaning="Share of a scraper's jobs ended in 5 minutes that failed.",
    scope=APP_SCRAPER,
    value=f"app_scraper:{FAILURES}:ratio5m",
    members=f"app_scraper:{RUNS}:sum",
    bands={"medium": Band(0.10, "1m", "2m"), "high": Band(0.25, "1m", "2m"), "critical": Band(0.50, "30s", "1m")},
    summary="Scraper {{ $labels.scraper }} of {{ $labels.app }} fails {{ $value | humanizePercentage }} of its runs",
    text="{{ $value | humanizePercentage }} of the runs of " + WHO + " failed over 5 minutes",
    subject="scraping",
    clues=(reason(FAILED, ("app", "scraper")), RELEASE),
)
BANS = Indicator(
    name="scraping_forbidden_ratio",
    alert="PlatformScrapingForbidden",
    title="Scraper bans",
    meaning="Share of a scraper's jobs ended in 5 minutes that were forbidden or blocked: a ban.",
    scope=APP_SCRAPER,
    value=f"app_scraper:{FORBIDDEN}:ratio5m",
    members=f"app_scraper:{RUNS}:sum",
    bands={"medium": Band(0.05, "1m", "2m"), "high": Band(0.25, "1m", "2m")},
    summary="Scraper {{ $labels.scraper }} of {{ $labels.app }} is forbidden or blocked on "
    "{{ $value | humanizePercentage }} of its runs",
    text="{{ $value | humanizePercentage }} of the runs of "
    + WHO
    + " were forbidden or blocked (a ban) over 5 minutes",
    subject="scraping",
)
RATE_LIMITS = Indicator(
    name="scraping_rate_limited_ratio",
    alert="PlatformScrapingRateLimited",
    title="Scraper limits",
    meaning="Share of a scraper's jobs ended in 5 minutes that exceeded a rate limit.",
    scope=APP_SCRAPER,
    value=f"app_scraper:{LIMITED}:ratio5m",
    members=f"app_scraper:{RUNS}:sum",
    bands={"medium": Band(0.05, "1m", "2m"), "high": Band(0.25, "1m", "2m")},
    summary="Scraper {{ $labels.scraper }} of {{ $labels.app }} exceeds a rate limit on "
    "{{ $value | humanizePercentage }} of its runs",
    text="{{ $value | humanizePercentage }} of the runs of " + WHO + " exceeded a rate limit over 5 minutes",
    subject="scraping",
)
BLOCKS = Indicator(
    name="scraping_blocked_ratio",
    alert="PlatformScrapingBlocked",
    title="Blocked requests",
    meaning="Share of a scraper's requests of 5 minutes that got a challenge, a captcha or another page in place of "
    "that asked for, whatever the status.",
    scope=APP_SCRAPER,
    value=f"app_scraper:{BLOCKED}:ratio5m",
    members=f"app_scraper:{REQUESTS}:sum",
    bands={"medium": Band(0.05, "1m", "5m"), "high": Band(0.25, "1m", "5m")},
    summary="Scraper {{ $labels.scraper }} of {{ $labels.app }} is blocked on "
    "{{ $value | humanizePercentage }} of its requests",
    text="{{ $value | humanizePercentage }} of the requests of " + WHO + " were blocked over 5 minutes",
    subject="scraping",
    clues=(reason("platform_scraping_blocked_total", ("app", "scraper"), "block", "Blocked most often by"),),
)

FILE = RuleFile(
    "scraping",
    "Finished scraping runs: shares of failures, bans and rate limits, and of blocked requests. Per app and scraper.\n\n"
    "Bans and rate limits are failures too: PlatformScrapingForbidden or PlatformScrapingRateLimited with the same app and "
    "scraper is the cause if PlatformScrapingFailuresHigh fires.",
    (
        Group(
            "platform_scraping",
            "15s",
            (
                total(APP_SCRAPER, RUNS, "platform_scraping_runs_total"),
                part(APP_SCRAPER, FAILURES, FAILED, RUNS),
                part(APP_SCRAPER, FORBIDDEN, f'{FAILED}{{reason=~"forbidden|blocked"}}', RUNS),
                part(APP_SCRAPER, LIMITED, f'{FAILED}{{reason="rate_limited"}}', RUNS),
                total(APP_SCRAPER, REQUESTS, "platform_scraping_requests_total"),
                part(APP_SCRAPER, BLOCKED, "platform_scraping_blocked_total", REQUESTS),
                *increases(APP_SCRAPER, RUNS, FAILURES, FORBIDDEN, LIMITED, REQUESTS, BLOCKED),
                share(APP_SCRAPER, FAILURES, RUNS),
                share(APP_SCRAPER, FORBIDDEN, RUNS),
                share(APP_SCRAPER, LIMITED, RUNS),
                share(APP_SCRAPER, BLOCKED, REQUESTS),
                FAILURE_RATIO,
                BLOCKS,
                BANS,
                RATE_LIMITS,
                health_of_apps(APP_SCRAPER),
            ),
        ),
    ),
)
