"""Ask for calls to outside APIs."""

from grafana.queries.shared import rate

SUCCESS = 'app_api:platform_api_call_successes:ratio5m{app=~"$app", api=~"$api"}'
APP_SUCCESS = 'app_api:platform_api_call_successes:ratio5m{app=~"$app"}'
RATE = rate('platform_api_calls_total{app=~"$app", api=~"$api"}', "app, api")
FAILURES = rate('platform_api_call_failures_total{app=~"$app", api=~"$api"}', "app, api, reason")
