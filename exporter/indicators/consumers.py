"""Consumers, on whose behalf an app is asked: the share of errors that each of them gets."""

from exporter.indicators.clues import FAILING_ROUTE, RELEASE
from exporter.indicators.declaration import Band, Group, Indicator, RuleFile, Scope
from exporter.indicators.promql import health_of_apps, increases, part, rate, share, total

APP_CONSUMER = Scope("app_consumer", ("app", "consumer"), ("app",))
REQUESTS, ERRORS = "platform_consumer_requests", "platform_consumer_server_errors"

ERROR_RATIO = Indicator(
    name="consumer_error_ratio",
    alert="PlatformConsumerErrors",
    title="Consumers' errors",
    meaning="Share of the requests of 5 minutes of one consumer answered with a status of 500 or more.",
    scope=APP_CONSUMER,
    value=f"app_consumer:{ERRORS}:ratio5m",
    members=f"app_consumer:{REQUESTS}:sum",
    bands={"low": Band(0.1, "5m", "5m"), "medium": Band(0.5, "5m", "5m")},
    summary="{{ $labels.app }} fails {{ $value | humanizePercentage }} of the requests of {{ $labels.consumer }}",
    text="{{ $value | humanizePercentage }} of the requests of {{ $labels.consumer }} to {{ $labels.app }} ended with a 5xx status "
    "over 5 minutes",
    subject="http",
    clues=(FAILING_ROUTE, RELEASE),
)

FILE = RuleFile(
    "consumers",
    "Consumers, on whose behalf an app is asked: the share of errors that each of them gets. What one of many gets is a small share of the "
    "app's requests. Those beyond limits.series_per_metric are one, _other_.",
    (
        Group(
            "platform_consumers",
            "1m",
            (
                total(APP_CONSUMER, REQUESTS, f"{REQUESTS}_total"),
                part(APP_CONSUMER, ERRORS, f"{ERRORS}_total", REQUESTS),
                *increases(APP_CONSUMER, REQUESTS, ERRORS, before="2m"),
                rate(APP_CONSUMER, REQUESTS),
                share(APP_CONSUMER, ERRORS, REQUESTS),
                ERROR_RATIO,
                health_of_apps(APP_CONSUMER),
            ),
        ),
    ),
)
