"""Requests served: mean response time, share of slow ones, and share of 5xx."""

from exporter.indicators.clues import FAILING_ROUTE, NEW_ERROR, RELEASE, SLOWEST_ROUTE
from exporter.indicators.declaration import APP, Alert, Band, Group, Indicator, Record, RuleFile
from exporter.indicators.promql import MINIMUM, increases, mean, or_0, part, rate, replicas, share, slow, total

REQUESTS, ERRORS, DURATIONS, SECONDS = (
    "platform_http_requests",
    "platform_http_request_errors",
    "platform_http_request_durations",
    "platform_http_request_duration_seconds",
)
CODES = "route, method, code"
BY_CODE = f"app_code:{REQUESTS}:sum"
MATCHED = 'route!="(unmatched)"'

LATENCY = Indicator(
    name="http_latency_seconds",
    alert="PlatformHttpLatencyHigh",
    title="Response time",
    meaning="Mean time an app took to answer its requests of 5 minutes.",
    scope=APP,
    value=f"app:{SECONDS}:mean5m",
    members=f"app:{DURATIONS}:sum",
    bands={"medium": Band(0.5, "1m", "2m"), "critical": Band(1.0, "30s", "1m")},
    summary="{{ $labels.app }} answers slowly: {{ $value | humanizeDuration }} on average",
    text="Requests to {{ $labels.app }} took {{ $value | humanizeDuration }} on average over 5 minutes",
    shown="humanizeDuration",
    subject="http",
    column="latency",
    clues=(SLOWEST_ROUTE, RELEASE),
)
ERROR_RATIO = Indicator(
    name="http_error_ratio",
    alert="PlatformHttpErrorsHigh",
    title="HTTP errors",
    meaning="Share of an app's requests of 5 minutes answered with a status of 500 or more.",
    scope=APP,
    value=f"app:{ERRORS}:ratio5m",
    members=f"app:{REQUESTS}:sum",
    bands={"medium": Band(0.02, "1m", "2m"), "critical": Band(0.05, "30s", "1m")},
    summary="{{ $labels.app }} fails {{ $value | humanizePercentage }} of its requests",
    text="{{ $value | humanizePercentage }} of the requests to {{ $labels.app }} ended with a 5xx status over 5 minutes",
    subject="http",
    clues=(FAILING_ROUTE, NEW_ERROR, RELEASE),
)
SLOW = Indicator(
    name="http_slow_ratio",
    alert="PlatformHttpSlowRequests",
    title="Slow requests",
    meaning="Share of an app's requests of 5 minutes that took more than 2.5 s.",
    scope=APP,
    value="app:platform_http_slow_requests:ratio5m",
    members=f"app:{DURATIONS}:sum",
    bands={"medium": Band(0.05, "1m", "2m"), "high": Band(0.25, "1m", "2m")},
    summary="{{ $value | humanizePercentage }} of the requests to {{ $labels.app }} take more than 2.5 s",
    text="{{ $value | humanizePercentage }} of the requests to {{ $labels.app }} took more than 2.5 s over 5 minutes",
    subject="http",
    column="latency",
    covered_by=LATENCY.alert,
)
ROUTES = "app_route:platform_http_request_errors"
FAILING_ROUTES = Record(
    "app:platform_http_failing_routes:count",
    f"""\
count by (app) (
  {ROUTES}:increase5m >= on (app) group_left () {MINIMUM}
  and {ROUTES}:ratio5m > 0.5
  unless {ROUTES}:ratio5m offset 1d > 0.5
)""",
    comment="What one of many routes fails is a small share of the app's requests. What always fails, such as a check of readiness on a "
    "standby, is not news after a day.",
)
ROUTE_FAILING = Alert(
    name="PlatformHttpRouteFailing",
    severity="high",
    expr=f"{FAILING_ROUTES.name} > 0",
    hold="1m",
    keep_firing="5m",
    summary="{{ $labels.app }} fails most requests of a route, but few of all",
    text="Routes of {{ $labels.app }} that ended more than half of their requests with a 5xx status over 5 minutes, "
    f"and did not a day ago: {{{{ $value }}}}, expected 0.{FAILING_ROUTE}",
    subject="http",
    labels=("app",),
)
REJECTIONS = "platform_http_rejections"
RATIO = f"app:{REJECTIONS}:ratio5m"
REJECTED = Alert(
    name="PlatformHttpRejectionsHigh",
    severity="high",
    expr=f"""\
{RATIO} > 0.5
and on (app) (
  {RATIO} > 2 * max_over_time({RATIO}[1d] offset 1h)
  or ALERTS{{alertname="PlatformHttpRejectionsHigh", alertstate="firing"}}
)""",
    hold="5m",
    keep_firing="5m",
    summary="{{ $labels.app }} rejects {{ $value | humanizePercentage }} of its requests",
    text="{{ $value | humanizePercentage }} of the requests to {{ $labels.app }} ended with a 4xx status over 5 minutes, more than twice "
    f"as many as at any time of the day before; requests that no route takes are not among them.{RELEASE}",
    subject="http",
    labels=("app",),
    comment="Sessions that all are invalid, or a form that nobody can send, are not 5xx. Scanners ask for what no route takes.",
)

FILE = RuleFile(
    "http",
    "Requests served: mean response time, shares of slow ones and of 5xx per app. Quantiles and routes are in http_durations.yml and http_routes.yml.",
    (
        Group(
            "platform_http",
            "15s",
            (
                Record(
                    BY_CODE,
                    f"sum by (app, code) ({replicas('sum without (route, method) (platform_http_requests_total)')})",
                    comment="All routes are read once, for requests and errors.",
                ),
                Record(f"app:{REQUESTS}:sum", f"sum by (app) ({BY_CODE})"),
                Record(
                    f"app:{ERRORS}:sum",
                    or_0(f'sum by (app) ({BY_CODE}{{code=~"5.."}})', f"app:{ERRORS}:sum", f"app:{REQUESTS}:sum"),
                ),
                *increases(APP, REQUESTS, ERRORS),
                rate(APP, REQUESTS),
                share(APP, ERRORS, REQUESTS),
                ERROR_RATIO,
            ),
        ),
        Group(
            "platform_http_latency",
            "30s",
            (
                total(APP, DURATIONS, f"{SECONDS}_count", "route"),
                total(APP, SECONDS, f"{SECONDS}_sum", "route"),
                *increases(APP, DURATIONS, SECONDS),
                mean(APP, SECONDS, DURATIONS),
                slow(APP, SECONDS, SLOW.value, "2.5"),
                LATENCY,
                SLOW,
            ),
        ),
        Group(
            "platform_http_parts",
            "1m",
            (
                FAILING_ROUTES,
                ROUTE_FAILING,
                part(APP, REJECTIONS, f'platform_http_requests_total{{code=~"4..", {MATCHED}}}', REQUESTS, many=CODES),
                *increases(APP, REJECTIONS, before="2m"),
                Record(RATIO, f"app:{REJECTIONS}:increase5m / (app:{REQUESTS}:increase5m >= on (app) 3 * {MINIMUM})"),
                REJECTED,
            ),
        ),
    ),
)
