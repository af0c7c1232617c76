"""What scrapers owe the sites: to wait as long as these ask, and to know what their robots.txt disallows."""

from exporter.indicators.declaration import Band, Group, Indicator, Record, RuleFile, Scope
from exporter.indicators.promql import health_of_apps, increases, part, share, total

APP_SITE = Scope("app_site", ("app", "site"), ("app",))
REQUESTS, EARLY = "platform_scraping_site_requests", "platform_scraping_site_early_requests"
DISALLOWED, WANTED = "platform_scraping_site_disallowed", "platform_scraping_site_wanted"
WHO = "{{ $labels.site }} by {{ $labels.app }}"

HASTE = Indicator(
    name="scraping_early_ratio",
    alert="PlatformScrapingRetryAfterIgnored",
    title="Ignored Retry-After",
    meaning="Share of the requests of 5 minutes to a site that were made before the time until which its Retry-After "
    "asked to wait.",
    scope=APP_SITE,
    value=f"app_site:{EARLY}:ratio5m",
    members=f"app_site:{REQUESTS}:sum",
    bands={"low": Band(0.05, "2m", "5m"), "medium": Band(0.25, "2m", "5m")},
    summary="{{ $value | humanizePercentage }} of the requests to " + WHO + " ignore its Retry-After",
    text="{{ $value | humanizePercentage }} of the requests of 5 minutes to "
    + WHO
    + " were made before the time until which the site asked to wait",
    subject="scraping",
)
ROBOTS = Indicator(
    name="scraping_disallowed_ratio",
    alert="PlatformScrapingRobotsDisallow",
    title="robots.txt",
    meaning="Share of the pages of a site wanted in 5 minutes that were not requested because robots.txt disallows them.",
    scope=APP_SITE,
    value=f"app_site:{DISALLOWED}:ratio5m",
    members=f"app_site:{WANTED}:sum",
    bands={"low": Band(0.25, "2m", "5m"), "medium": Band(0.9, "2m", "5m")},
    summary="robots.txt disallows {{ $value | humanizePercentage }} of the wanted pages of " + WHO,
    text="{{ $value | humanizePercentage }} of the pages of 5 minutes wanted of "
    + WHO
    + " were not requested because its robots.txt disallows them",
    subject="scraping",
)

FILE = RuleFile(
    "scraping_politeness",
    "Politeness of scrapers, per app and site: requests that ignore a Retry-After, and pages that robots.txt disallows.\n\n"
    "A request is early where it began a second or more after the answer that asked to wait, and before that wait was over, "
    "in one process. Unknown, without an alert: fewer than minimum_events requests to a site.",
    (
        Group(
            "platform_scraping_politeness",
            "15s",
            (
                total(APP_SITE, REQUESTS, "platform_scraping_site_requests_total", many="outcome"),
                part(APP_SITE, EARLY, "platform_scraping_site_early_requests_total", REQUESTS),
                part(APP_SITE, DISALLOWED, "platform_scraping_site_disallowed_total", REQUESTS),
                Record(f"app_site:{WANTED}:sum", f"app_site:{REQUESTS}:sum + app_site:{DISALLOWED}:sum"),
                *increases(APP_SITE, REQUESTS, EARLY, DISALLOWED, WANTED),
                share(APP_SITE, EARLY, REQUESTS),
                share(APP_SITE, DISALLOWED, WANTED),
                HASTE,
                ROBOTS,
                health_of_apps(APP_SITE),
            ),
        ),
    ),
)
