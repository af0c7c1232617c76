"""Ask for served requests."""

from grafana.queries.shared import quantile, rate

REQUESTS = 'platform_http_requests_total{app=~"$app"}'
RATE = rate(REQUESTS, "app")
ERROR_RATIO = 'app:platform_http_request_errors:ratio5m{app=~"$app"}'
MEAN = 'app:platform_http_request_duration_seconds:mean5m{app=~"$app"}'
P95 = quantile(0.95, 'platform_http_request_duration_seconds{app=~"$app"}', "app", "5m")
ROUTE_RATE = rate('platform_http_requests_total{app=~"$app", route=~"$route"}', "app, route")
