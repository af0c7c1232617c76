"""What is usual at this hour of the week: bands of requests, calls, logins and durations, and alerts outside of them.

The method is that of robust anomaly detection with recorded rules (median and median absolute deviation, compare
Grafana's promql-anomaly-detection), with three differences: the past is the same hour of earlier weeks, so that nights
and weekends are part of the band; counts have the noise of counts, sqrt(n); and each edge is a series of one sample a
minute and subject, made of ten instant look-ups, so that nothing reads weeks of raw series.
"""

from collections.abc import Iterator

from exporter.indicators.declaration import APP, APP_API, Band, Group, Indicator, Record, RuleFile, Scope
from exporter.indicators.promql import MINIMUM, increase
from exporter.indicators.sources import RECENTLY_UNREADABLE

REQUESTS, CALLS, LOGINS = "platform_http_requests", "platform_api_calls", "platform_logins"
REQUEST_SECONDS, CALL_SECONDS = "platform_http_request_duration_seconds", "platform_api_call_duration_seconds"
SHORTEST_SECONDS = 0.05
WEEKS = {f"{week}w": f"{168 * week - 1}h30m" for week in (1, 2, 3, 4)}
DAYS = {f"{day}d": f"{24 * day - 1}h30m" for day in (1, 2, 3, 4, 5, 6)}


def fall(
    name: str, alert: str, title: str, what: str, scope: Scope, of: str, does: str, things: str, subject: str
) -> Indicator:
    """Return the indicator of counts below their band."""
    return Indicator(
        name=name,
        alert=alert,
        title=title,
        meaning=f"{what} of 15 minutes as a share of the least that is usual at this hour.",
        scope=scope,
        value=f"{scope.level}:{of}:of_least_usual",
        members=f"{scope.level}:{of}:sum",
        bands={"medium": Band(0.5, "5m", "5m"), "high": Band(0.2, "5m", "5m")},
        lower_is_worse=True,
        summary=f"{{{{ $labels.app }}}} {does} only {{{{ $value | humanizePercentage }}}} of the {things} that are usual at this hour",
        text=f"{what} of 15 minutes: {{{{ $value | humanizePercentage }}}} of the least that {{{{ $labels.app }}}} "
        "usually has at this hour",
        subject=subject,
        column="traffic" if subject == "http" else "",
    )


def rise(
    name: str, alert: str, title: str, what: str, scope: Scope, of: str, does: str, things: str, subject: str
) -> Indicator:
    """Return the indicator of counts above their band."""
    return Indicator(
        name=name,
        alert=alert,
        title=title,
        meaning=f"{what} of 15 minutes as a multiple of the most that is usual at this hour.",
        scope=scope,
        value=f"{scope.level}:{of}:of_most_usual",
        members=f"{scope.level}:{of}:sum",
        bands={"low": Band(2.0, "5m", "15m")},
        summary=f"{{{{ $labels.app }}}} {does} {{{{ $value | humanize }}}} times the {things} that are usual at this hour",
        text=f"{what} of 15 minutes: {{{{ $value | humanize }}}} times the most that {{{{ $labels.app }}}} "
        "usually has at this hour",
        shown="humanize",
        times=" times",
        subject=subject,
        column="traffic" if subject == "http" else "",
    )


def slower(
    name: str, alert: str, title: str, what: str, scope: Scope, of: str, who: str, subject: str, covered_by: str
) -> Indicator:
    """Return the indicator of durations above their band."""
    return Indicator(
        name=name,
        alert=alert,
        title=title,
        meaning=f"Mean duration of {what} as a multiple of the most that is usual at this hour; below "
        f"{SHORTEST_SECONDS:g} s that counts as {SHORTEST_SECONDS:g} s.",
        scope=scope,
        value=f"{scope.level}:{of}:of_most_usual",
        members=f"{scope.level}:{of}:sum",
        bands={"medium": Band(1.5, "5m", "5m")},
        summary=f"{who} {{{{ $value | humanize }}}} times as long as usual",
        text=f"The mean duration of {what} is {{{{ $value | humanize }}}} times the most that is usual at this hour",
        shown="humanize",
        times=" times",
        subject=subject,
        column="latency" if subject == "http" else "",
        covered_by=covered_by,
    )


REQUESTS_LOW = fall(
    *("http_requests_fall_ratio", "PlatformHttpRequestsLow", "Fewer requests", "Requests", APP, REQUESTS),
    *("serves", "requests", "http"),
)
REQUESTS_HIGH = rise(
    *("http_requests_rise_ratio", "PlatformHttpRequestsHigh", "More requests", "Requests", APP, REQUESTS),
    *("serves", "requests", "http"),
)
CALLS_LOW = fall(
    *("api_calls_fall_ratio", "PlatformApiCallsLow", "Fewer API calls", "Calls to an external API", APP_API, CALLS),
    *("makes", "calls to {{ $labels.api }}", "apis"),
)
CALLS_HIGH = rise(
    *("api_calls_rise_ratio", "PlatformApiCallsHigh", "More API calls", "Calls to an external API", APP_API, CALLS),
    *("makes", "calls to {{ $labels.api }}", "apis"),
)
LOGINS_LOW = fall(
    *("logins_fall_ratio", "PlatformLoginsLow", "Fewer logins", "Logins", APP, LOGINS),
    *("has", "logins", "users"),
)
LOGINS_HIGH = rise(
    *("logins_rise_ratio", "PlatformLoginsHigh", "More logins", "Logins", APP, LOGINS),
    *("has", "logins", "users"),
)
REQUESTS_SLOW = slower(
    *("http_latency_rise_ratio", "PlatformHttpLatencyUnusual", "Unusual response time", "requests", APP),
    *(REQUEST_SECONDS, "Requests to {{ $labels.app }} take", "http", "PlatformHttp(LatencyHigh|SlowRequests)"),
)
CALLS_SLOW = slower(
    *(
        "api_latency_rise_ratio",
        "PlatformApiLatencyUnusual",
        "Unusual API duration",
        "calls to an external API",
        APP_API,
    ),
    *(
        CALL_SECONDS,
        "Calls of {{ $labels.app }} to {{ $labels.api }} take",
        "apis",
        "PlatformApi(LatencyHigh|SlowCalls)",
    ),
)


def past(scope: Scope, name: str, now: str) -> Iterator[Record]:
    """Yield the recordings of an hour's median, of the same hour of earlier weeks and days, and what is usual of it."""
    series, labels = f"{scope.level}:{name}", ", ".join(scope.labels)
    yield Record(f"{series}:median1h", f"quantile_over_time(0.5, {now}[1h])")
    for unit, offsets in (("weeks", WEEKS), ("days", DAYS)):
        found = (
            f'label_replace({series}:median1h offset {ago}, "before", "{n}", "", "")' for n, ago in offsets.items()
        )
        yield Record(f"{scope.level}_before:{name}:{unit}", "\nor\n".join(found))
    weeks = f"{scope.level}_before:{name}:weeks"
    yield Record(
        f"{series}:usual",
        f"quantile by ({labels}) (0.5, {weeks})\nand on ({labels})\ncount by ({labels}) ({weeks}) >= 2",
    )
    deviations = f"abs({weeks} - on ({labels}) group_left () {series}:usual)"
    yield Record(f"{series}:deviation", f"1.4826 * quantile by ({labels}) (0.5, {deviations})")


def counts(scope: Scope, name: str) -> Iterator[Record]:
    """Yield the recordings of the band of counts of 15 minutes, and of the counts as shares of its edges."""
    series, labels = f"{scope.level}:{name}", ", ".join(scope.labels)
    now, days = f"{series}:increase15m", f"{scope.level}_before:{name}:days"
    yield increase(series, "15m", "1m")
    yield from past(scope, name, now)
    noise = f"3 * ({series}:deviation > sqrt({series}:usual) or sqrt({series}:usual))"
    known = f"and on ({labels})\n  count by ({labels}) ({days}) >= 2"
    for edge, worst, sign in (("least", "min", "-"), ("most", "max", "+")):
        recent = f'label_replace({worst}_over_time({now}[1h] offset 1h), "before", "1h", "", "")'
        of_days = f"{worst} by ({labels}) ({days} or {recent})"
        yield Record(
            f"{series}:{edge}_usual",
            f"clamp_min({series}:usual {sign} {noise}, 0)\nor\n"
            f"clamp_min({of_days} {sign} 3 * sqrt({of_days}), 0)\n  {known}",
        )
    on_app = "on (app)" if scope == APP else "on (app) group_left ()"
    yield Record(
        f"{series}:of_least_usual",
        f"{now} / ({series}:least_usual > 0)\nand on ({labels})\n{series}:most_usual >= {on_app} 2 * {MINIMUM}\n"
        f"{RECENTLY_UNREADABLE}",
    )
    yield Record(
        f"{series}:of_most_usual",
        f"{now} / ({series}:most_usual > 0)\nand on ({labels})\n{now} >= {on_app} {MINIMUM}\n{RECENTLY_UNREADABLE}",
    )


def durations(scope: Scope, name: str, count: str) -> Iterator[Record]:
    """Yield the recordings of the band of mean durations; where 5 minutes have too few events, an hour is judged."""
    series, labels = f"{scope.level}:{name}", ", ".join(scope.labels)
    on_app = "on (app)" if scope == APP else "on (app) group_left ()"
    hour = f"{scope.level}:{count}:increase1h"
    yield increase(series, "1h", "1m")
    yield increase(f"{scope.level}:{count}", "1h", "1m")
    yield Record(f"{series}:mean", f"{series}:mean5m\nor\n{series}:increase1h / ({hour} >= {on_app} {MINIMUM})")
    yield from past(scope, name, f"{series}:mean")
    days = f"{scope.level}_before:{name}:days"
    yield Record(
        f"{series}:most_usual",
        f"{series}:usual + 3 * {series}:deviation\nor\n"
        f"max by ({labels}) ({days}) and on ({labels}) count by ({labels}) ({days}) >= 2\nor\n"
        f"quantile_over_time(0.75, {series}:mean[6h] offset 15m) and {series}:mean offset 45m",
    )
    yield Record(f"{series}:of_most_usual", f"{series}:mean / clamp_min({series}:most_usual, {SHORTEST_SECONDS:g})")


FILE = RuleFile(
    "usual",
    "What is usual at this hour of the week, and what is outside of it: requests, calls to external APIs, logins, durations.\n\n"
    "The band is the median of the same hour of the last four weeks, plus and minus three deviations; a deviation is the "
    "median absolute one (times 1.4826), for counts at least sqrt(n). With fewer than two weeks known (Prometheus keeps 15 "
    "days by default) it reaches from the least to the most of the same hour of earlier days and of the hour before the last one, for "
    "durations of the last 6 hours if no two days are known. The hour is centred, so that a rhythm that shifts by some minutes is "
    "no anomaly. Unknown, without an alert: fewer than minimum_events, counts of an app that is younger than two days, and "
    "counts while a source cannot be read, or 20 minutes later.",
    (
        Group(
            "platform_usual",
            "1m",
            (
                *counts(APP, REQUESTS),
                *counts(APP_API, CALLS),
                *counts(APP, LOGINS),
                *durations(APP, REQUEST_SECONDS, "platform_http_request_durations"),
                *durations(APP_API, CALL_SECONDS, "platform_api_call_durations"),
                *(
                    REQUESTS_LOW,
                    REQUESTS_HIGH,
                    CALLS_LOW,
                    CALLS_HIGH,
                    LOGINS_LOW,
                    LOGINS_HIGH,
                    REQUESTS_SLOW,
                    CALLS_SLOW,
                ),
            ),
        ),
    ),
)
