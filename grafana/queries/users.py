"""Ask for what users do."""

from grafana.queries.shared import rate

ACTIVE = 'max by (app, window) (platform_active_users{app=~"$app"})'
ACTIVITY = "60 * " + rate('platform_user_activity_total{app=~"$app"}', "activity", "5m")
