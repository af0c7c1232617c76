"""Quotas of external APIs: how long the rest lasts, and whether anything is left."""

from exporter.indicators.api import CALLS
from exporter.indicators.declaration import APP_API, Alert, Band, Group, Indicator, Record, RuleFile, Scope
from exporter.indicators.promql import enough

LEFT = "app_api:platform_api_rate_limit_remaining"
RESET = "app_api:platform_api_rate_limit_reset_timestamp_seconds:max"
USED = f"{LEFT}:use_rate15m"
BUSY = enough(APP_API, CALLS)
OF_APP_API = Scope("app_api", ("app", "api", "quota"), ("api", "app"))
"""Of each quota of an API; that of calls has no name."""
NAMED = "{{ with $labels.quota }} for {{ . }}{{ end }}"

QUOTA = Indicator(
    name="api_quota_seconds",
    alert="PlatformApiQuotaRunningOut",
    title="API quotas",
    meaning="Predicted time until an external API's quota is used up.",
    scope=OF_APP_API,
    value="app_api:platform_api_quota_seconds:predicted",
    members=f"{LEFT}:max",
    bands={"medium": Band(3600.0, "5m", "5m"), "high": Band(900.0, "2m", "5m")},
    lower_is_worse=True,
    summary="The quota of {{ $labels.app }} at {{ $labels.api }}"
    + NAMED
    + " is used up in {{ $value | humanizeDuration }}",
    text="At the rate of the last 15 minutes {{ $labels.app }} will have no {{ or $labels.quota `calls` }} left at {{ $labels.api }} in "
    "{{ $value | humanizeDuration }}, before the provider's window ends",
    shown="humanizeDuration",
    subject="apis",
    comment="2 used up, 1 running out, 0 enough; unknown where no one calls, because the value is outdated then.",
    state=f"""\
({LEFT}:max <= 0 and on (app, api, quota) {RESET}) * 0 + 2
or on (app, api, quota)
(app_api:platform_api_quota_seconds:predicted <= bool on (app, api, quota) app_api:platform_threshold:effective{{indicator="api_quota_seconds", severity="medium"}})
or on (app, api, quota)
({LEFT}:max > 0) * 0
  {BUSY}
or on (app, api, quota)
-1 * group by (app, api, quota) (last_over_time({LEFT}:max[1h]))""",
)

FILE = RuleFile(
    "api_quota",
    "Quotas of external APIs: how long the rest lasts, and whether anything is left.\n\n"
    "When a provider's window ends, the remaining calls jump up, which a regression over the raw value would take for a "
    "growing quota. So the use is summed step by step, without the steps in which the window was renewed. Calls that a "
    "sliding window returns little by little count as less use. The value of a replica that lags behind is higher, never "
    "lower: the greatest of all replicas may be late by as much as PlatformSourceLagging allows.",
    (
        Group(
            "platform_api_quota",
            "15s",
            (
                Record(f"{LEFT}:max", "max by (app, api, quota) (platform_api_rate_limit_remaining)"),
                Record(
                    RESET,
                    "max by (app, api, quota) (platform_api_rate_limit_reset_timestamp_seconds) > time()",
                    comment="Only while it is in the future: some providers report it once, with a refusal, and never again.",
                ),
                Record("app_api:platform_api_rate_limit:max", "max by (app, api, quota) (platform_api_rate_limit)"),
                Record(f"{LEFT}:max1h", f"max_over_time({LEFT}:max[1h])"),
                Record(
                    f"{LEFT}:used15s",
                    f"({LEFT}:max offset 15s) - {LEFT}:max",
                    comment="The use since the last evaluation, 15 s ago; negative where the provider returned calls. Recorded "
                    "step by step: subqueries would compute the same 240 steps of an hour again every 15 s.",
                ),
                Record(
                    f"{LEFT}:renewed15s",
                    f"{LEFT}:used15s < bool -0.5 * {LEFT}:max1h",
                    comment="Whether the window was renewed: it returned more than half of the most that was left within the hour.",
                ),
                Record(f"{LEFT}:renewals1h", f"sum_over_time({LEFT}:renewed15s[1h])"),
                Record(
                    f"{LEFT}:used15s_unrenewed",
                    f"{LEFT}:used15s and on (app, api, quota) {LEFT}:renewed15s == 0",
                    comment="Calls used per second, from the steps in which the window was not renewed.",
                ),
                Record(USED, f"avg_over_time({LEFT}:used15s_unrenewed[15m]) / 15"),
                Record(
                    QUOTA.value,
                    f"""\
({LEFT}:max > 0) / ({USED} > 0)
{BUSY}
unless on (app, api, quota)
{LEFT}:max / ({USED} > 0) + time()
  >= {RESET}
and on (app, api, quota)
(
  {RESET}
  or on (app, api, quota)
  {LEFT}:renewals1h < 2
    and on (app, api, quota) last_over_time({LEFT}:max[5m] offset 1h)
)""",
                    comment="None where the window ends before the quota does. If the provider does not report the end, a "
                    "prediction needs an hour in which the window was not renewed twice: such a short window runs low all the "
                    "time, and PlatformApiRateLimited fires if that hurts.",
                ),
                QUOTA,
                Alert(
                    name="PlatformApiQuotaExhausted",
                    severity="high",
                    expr=f"{LEFT}:max <= 0\nand on (app, api, quota)\n"
                    f"({RESET} or on (app, api, quota) {LEFT}:max and on (app, api) app_api:{CALLS}:increase5m > 0)",
                    hold="1m",
                    keep_firing="2m",
                    labels=("app", "api", "quota"),
                    summary="The quota of {{ $labels.app }} at {{ $labels.api }}" + NAMED + " is used up",
                    text="{{ $labels.app }} has {{ $value }} {{ or $labels.quota `calls` }} left at {{ $labels.api }}, expected at least 1\n"
                    f"{{{{- with query (printf `{RESET}{{app=%q,api=%q,quota=%q}} - time()` $labels.app $labels.api $labels.quota) }}}}; "
                    "the provider's window ends in {{ . | first | value | humanizeDuration }}{{ end }}.",
                    subject="apis",
                    comment="If the provider does not report the end of the window, only as long as the app keeps calling. "
                    "Windows of a minute end before `for` has passed.",
                ),
            ),
        ),
    ),
)
