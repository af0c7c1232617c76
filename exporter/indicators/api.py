"""Calls to external APIs: shares of successes, of bans and of exceeded rate limits, and their durations."""

from exporter.indicators.clues import RELEASE, reason
from exporter.indicators.declaration import APP_API, Band, Group, Indicator, RuleFile
from exporter.indicators.promql import health_of_apps, increases, mean, part, share, slow, total

CALLS, FAILURES = "platform_api_calls", "platform_api_call_failures"
FORBIDDEN, LIMITED = "platform_api_call_forbidden", "platform_api_call_rate_limited"
FAILED = "platform_api_call_failures_total"
DURATIONS, SECONDS = "platform_api_call_durations", "platform_api_call_duration_seconds"

SUCCESS = Indicator(
    name="api_success_ratio",
    alert="PlatformApiSuccessLow",
    title="API success",
    meaning="Share of the calls of 5 minutes to an external API that succeeded.",
    scope=APP_API,
    value="app_api:platform_api_call_successes:ratio5m",
    members=f"app_api:{CALLS}:sum",
    bands={"medium": Band(0.95, "1m", "2m"), "critical": Band(0.90, "30s", "1m")},
    lower_is_worse=True,
    summary="Only {{ $value | humanizePercentage }} of the calls of {{ $labels.app }} to {{ $labels.api }} succeed",
    text="{{ $value | humanizePercentage }} of the calls of {{ $labels.app }} to {{ $labels.api }} succeeded over 5 minutes",
    subject="apis",
    clues=(reason(FAILED, ("app", "api")), RELEASE),
)
BANS = Indicator(
    name="api_forbidden_ratio",
    alert="PlatformApiForbidden",
    title="API bans",
    meaning="Share of the calls to an external API that it forbade (403): a ban.",
    scope=APP_API,
    value=f"app_api:{FORBIDDEN}:ratio5m",
    members=f"app_api:{CALLS}:sum",
    bands={"medium": Band(0.05, "1m", "5m"), "high": Band(0.25, "1m", "5m")},
    summary="{{ $labels.api }} refuses {{ $value | humanizePercentage }} of the calls of {{ $labels.app }}",
    text="{{ $labels.api }} refused {{ $value | humanizePercentage }} of the calls of {{ $labels.app }} "
    "(403, or a page that blocks) over 5 minutes",
    subject="apis",
)
RATE_LIMITS = Indicator(
    name="api_rate_limited_ratio",
    alert="PlatformApiRateLimited",
    title="API rate limits",
    meaning="Share of the calls to an external API that exceeded its rate limit (429).",
    scope=APP_API,
    value=f"app_api:{LIMITED}:ratio5m",
    members=f"app_api:{CALLS}:sum",
    bands={"medium": Band(0.05, "1m", "5m"), "high": Band(0.25, "1m", "5m")},
    summary="{{ $labels.api }} rate-limits {{ $value | humanizePercentage }} of the calls of {{ $labels.app }}",
    text="{{ $labels.api }} answered {{ $value | humanizePercentage }} of the calls of {{ $labels.app }} "
    "with 429, too many requests, over 5 minutes",
    subject="apis",
)
LATENCY = Indicator(
    name="api_latency_seconds",
    alert="PlatformApiLatencyHigh",
    title="API duration",
    meaning="Mean time of the calls of 5 minutes to an external API.",
    scope=APP_API,
    value=f"app_api:{SECONDS}:mean5m",
    members=f"app_api:{DURATIONS}:sum",
    bands={"medium": Band(5.0, "1m", "2m"), "high": Band(15.0, "1m", "2m")},
    summary="{{ $labels.api }} takes {{ $value | humanizeDuration }} to answer {{ $labels.app }}",
    text="Calls of {{ $labels.app }} to {{ $labels.api }} took {{ $value | humanizeDuration }} on average over 5 minutes",
    shown="humanizeDuration",
    subject="apis",
)
SLOW = Indicator(
    name="api_slow_ratio",
    alert="PlatformApiSlowCalls",
    title="Slow API calls",
    meaning="Share of the calls of 5 minutes to an external API that took more than 10 s.",
    scope=APP_API,
    value="app_api:platform_api_slow_calls:ratio5m",
    members=f"app_api:{DURATIONS}:sum",
    bands={"medium": Band(0.05, "1m", "2m"), "high": Band(0.25, "1m", "2m")},
    summary="{{ $value | humanizePercentage }} of the calls of {{ $labels.app }} to {{ $labels.api }} take more than 10 s",
    text="{{ $value | humanizePercentage }} of the calls of {{ $labels.app }} to {{ $labels.api }} took more than 10 s over 5 minutes",
    subject="apis",
    covered_by=LATENCY.alert,
)

FILE = RuleFile(
    "api",
    "Calls to external APIs per app and api: shares of successes (lower is worse), of bans and of exceeded rate limits, and mean "
    "durations. Quotas are in api_quota.yml, quantiles and costs in api_usage.yml.",
    (
        Group(
            "platform_api",
            "15s",
            (
                total(APP_API, CALLS, "platform_api_calls_total"),
                part(
                    *(APP_API, FAILURES, f'{FAILED}{{reason!="cancelled"}}', CALLS),
                    "A call that the application itself cancelled, for example because a client left, is not a failure of the API.",
                ),
                part(
                    *(APP_API, FORBIDDEN, f'{FAILED}{{reason=~"forbidden|blocked"}}', CALLS),
                    "A ban is a 403, or a page that says so.",
                ),
                part(APP_API, LIMITED, f'{FAILED}{{reason="rate_limited"}}', CALLS),
                *increases(APP_API, CALLS, FAILURES, FORBIDDEN, LIMITED),
                # (calls - failures) / calls, because 1 - ratio has a rounding error exactly at the boundaries.
                share(
                    *(APP_API, FAILURES, CALLS, "platform_api_call_successes"),
                    f"(app_api:{CALLS}:increase5m - app_api:{FAILURES}:increase5m)",
                ),
                share(APP_API, FORBIDDEN, CALLS),
                share(APP_API, LIMITED, CALLS),
                total(APP_API, DURATIONS, f"{SECONDS}_count"),
                total(APP_API, SECONDS, f"{SECONDS}_sum"),
                *increases(APP_API, DURATIONS, SECONDS),
                mean(APP_API, SECONDS, DURATIONS),
                slow(APP_API, SECONDS, SLOW.value, "10.0"),
                SUCCESS,
                BANS,
                RATE_LIMITS,
                LATENCY,
                SLOW,
                health_of_apps(APP_API),
            ),
        ),
    ),
)
