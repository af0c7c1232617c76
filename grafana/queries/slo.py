"""Ask for service level objectives and their error budgets."""

# The objective in force per app: its own, or the one for all.
_OWN = 'max by (app) (platform_objective{slo="http_availability", app=~"$app"})'
_FOR_ALL = 'scalar(max(platform_objective{slo="http_availability", app=""}))'
_APPS = 'group by (app) (app:platform_http_requests:sum{app=~"$app"})'
AVAILABILITY_OBJECTIVE = f"({_OWN} or {_APPS} * {_FOR_ALL})"

_REQUESTS = 'increase(app:platform_http_requests:sum{app=~"$app"}[$__range])'
_ERRORS = 'increase(app:platform_http_request_errors:sum{app=~"$app"}[$__range])'
# 1 is the pace that uses up a budget of 30 days in 30 days.
AVAILABILITY_BURN = f"sum by (app) ({_ERRORS} / ({_REQUESTS} > 0)) / on (app) (1 - {AVAILABILITY_OBJECTIVE})"
