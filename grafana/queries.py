"""
Hold every PromQL query of the dashboards, each written once.

What rules record is read from there. $app is the dashboard's variable, a regular expression.
"""

UNKNOWN = "or vector(-1)"


def replica_safe(metric: str) -> str:
    """Return the metric with all replicas of the exporter taken for one; to be summed afterwards."""
    return f"max without (instance, pod, node) ({metric})"


def rate(metric: str, by: str, window: str = "$__rate_interval") -> str:
    """Return the metric's rate per second by some labels."""
    return f"sum by ({by}) ({replica_safe(f'rate({metric}[{window}])')})"


def threshold(indicator: str) -> str:
    """Return the default thresholds of an indicator, one series per severity."""
    return f'max by (severity) (platform_threshold{{indicator="{indicator}", severity!="", app="", api=""}})'


def indicator_health(indicator: str) -> str:
    """Return the worst state of one indicator over the chosen apps."""
    return f'max(app_indicator:platform_health:state{{indicator="{indicator}", app=~"$app"}}) {UNKNOWN}'


def firing(severity: str) -> str:
    """Return how many alerts of a severity fire."""
    return f'count(ALERTS{{alertstate="firing", severity="{severity}"}}) or vector(0)'


OVERALL_HEALTH = "global:platform_health:max"
COMPONENT_HEALTH = "component:platform_health:state"
WORST_COMPONENT = f"max(component:platform_health:state) {UNKNOWN}"
FIRING_ALERTS = 'ALERTS{alertstate="firing", alertname!="PlatformWatchdog"}'

HTTP_RATE = rate('platform_http_requests_total{app=~"$app"}', "app")
HTTP_ERROR_RATIO = 'app:platform_http_request_errors:ratio5m{app=~"$app"}'
HTTP_MEAN = 'app:platform_http_request_duration_seconds:mean5m{app=~"$app"}'
HTTP_P95 = (
    "histogram_quantile(0.95, "
    + rate('platform_http_request_duration_seconds_bucket{app=~"$app"}', "app, le", "5m")
    + ")"
)

API_SUCCESS = 'app_api:platform_api_call_successes:ratio5m{app=~"$app"}'
API_RATE = rate('platform_api_calls_total{app=~"$app"}', "app, api")
API_FAILURES = rate('platform_api_call_failures_total{app=~"$app"}', "app, api, reason")

SCRAPING_RUNS = "60 * " + rate('platform_scraping_runs_total{app=~"$app"}', "app, scraper", "5m")
SCRAPING_FAILURES = 'app_scraper:platform_scraping_run_failures:ratio5m{app=~"$app"}'
SCRAPING_ITEMS = "60 * " + rate('platform_scraping_items_total{app=~"$app"}', "app, scraper", "5m")
SCRAPING_JOBS = 'max by (app, scraper, status) (platform_scraping_jobs{app=~"$app"})'
QUEUES = "max by (name, queue) (platform_queue_length)"

PROBE_SECONDS = "max by (component, name) (platform_component_probe_duration_seconds)"
SOURCE_LAG = "max by (source) (platform_exporter_source_lag_seconds)"
SOURCE_UP = "max by (source) (platform_exporter_source_up)"
EVENTS = rate("platform_exporter_events_total", "source")
FOLDED = f"sum by (source, metric) ({replica_safe('increase(platform_exporter_series_folded_total[1h])')})"
REJECTED = f"sum by (source, reason) ({replica_safe('increase(platform_exporter_rows_rejected_total[1h])')})"
SCRAPE_SECONDS = 'scrape_duration_seconds{job="platform-exporter"}'

APPS = (
    'label_values({__name__=~"platform_http_requests_total|platform_api_calls_total|platform_scraping_runs_total'
    '|platform_open_alerts"}, app)'
)
