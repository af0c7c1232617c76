"""Requests of scrapers through proxies, by who provides them: what fails, and what the proxy itself refuses."""

from exporter.indicators.clues import reason
from exporter.indicators.declaration import Band, Group, Indicator, RuleFile, Scope
from exporter.indicators.promql import health_of_apps, increases, part, share, total

APP_PROXY = Scope("app_proxy", ("app", "proxy"), ("app",))
REQUESTS, FAILURES, UNAUTHORIZED = (
    "platform_scraping_proxy_requests",
    "platform_scraping_proxy_failures",
    "platform_scraping_proxy_unauthorized",
)
COUNTED = "platform_scraping_proxy_requests_total"
WHO = "the proxies of {{ $labels.proxy }} in {{ $labels.app }}"

FAILING = Indicator(
    name="scraping_proxy_failure_ratio",
    alert="PlatformScrapingProxyFailing",
    title="Proxies",
    meaning="Share of the requests of 5 minutes through a provider's proxies that failed, were refused or were blocked.",
    scope=APP_PROXY,
    value=f"app_proxy:{FAILURES}:ratio5m",
    members=f"app_proxy:{REQUESTS}:sum",
    bands={"medium": Band(0.25, "2m", "5m"), "high": Band(0.5, "2m", "5m")},
    summary="{{ $value | humanizePercentage }} of the requests through " + WHO + " do not succeed",
    text="{{ $value | humanizePercentage }} of the requests of 5 minutes through "
    + WHO
    + " failed, were refused or were blocked",
    subject="scraping",
    clues=(reason(COUNTED, ("app", "proxy"), "outcome", "Most often they are", 'outcome!="success"'),),
)
REFUSED = Indicator(
    name="scraping_proxy_unauthorized_ratio",
    alert="PlatformScrapingProxyUnauthorized",
    title="Proxies' 407",
    meaning="Share of the requests of 5 minutes through a provider's proxies that the proxy itself refused: status 407.",
    scope=APP_PROXY,
    value=f"app_proxy:{UNAUTHORIZED}:ratio5m",
    members=f"app_proxy:{REQUESTS}:sum",
    bands={"medium": Band(0.02, "1m", "5m"), "high": Band(0.5, "1m", "5m")},
    summary=WHO[:1].upper() + WHO[1:] + " refuse {{ $value | humanizePercentage }} of the requests",
    text=WHO[:1].upper()
    + WHO[1:]
    + " answered {{ $value | humanizePercentage }} of the requests of 5 minutes with 407: "
    "the user or password is wrong, or the plan is used up",
    subject="scraping",
)

FILE = RuleFile(
    "scraping_proxies",
    "Requests of scrapers through proxies, per app and provider, of the SDK's option `proxy_providers`; those of nobody "
    "there are `other`.\n\n"
    "What a site refuses counts here, too: a provider's addresses may be banned. PlatformScrapingProxyUnauthorized is about "
    "what the proxy refuses before any site is asked. Unknown, without an alert: fewer than minimum_events requests.",
    (
        Group(
            "platform_scraping_proxies",
            "15s",
            (
                total(APP_PROXY, REQUESTS, COUNTED, many="outcome"),
                part(APP_PROXY, FAILURES, f'{COUNTED}{{outcome!="success"}}', REQUESTS, many="outcome"),
                part(APP_PROXY, UNAUTHORIZED, f'{COUNTED}{{outcome="unauthorized"}}', REQUESTS),
                *increases(APP_PROXY, REQUESTS, FAILURES, UNAUTHORIZED),
                share(APP_PROXY, FAILURES, REQUESTS),
                share(APP_PROXY, UNAUTHORIZED, REQUESTS),
                FAILING,
                REFUSED,
                health_of_apps(APP_PROXY),
            ),
        ),
    ),
)
