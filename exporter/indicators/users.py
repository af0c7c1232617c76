"""What users do: activity, active users, and failed logins."""

from exporter.indicators.declaration import APP, Band, Group, Indicator, Record, RuleFile, Scope
from exporter.indicators.promql import MINIMUM, increase, increases_from_0, rate, replicas, total

ACTIVITY, FAILURES, LOGINS = "platform_user_activity", "platform_user_activity_failures", "platform_login_failures"
APP_ACTIVITY = Scope("app_activity", ("app", "activity"))
SIGN_IN = "(log|sign)[ _-]?(in|on)"
# Applications record a failed login as a login without success, or as an activity of its own.
FAILED_LOGINS = f'{FAILURES}_total{{activity=~"(?i:{SIGN_IN})"}}'
LOGIN_FAILURE_ACTIVITIES = (
    f'{ACTIVITY}_total{{activity=~"(?i:{SIGN_IN}[ _-]?(fail.*|error|denied)|failed[ _-]{SIGN_IN})"}}'
)

LOGIN_FAILURES = Indicator(
    name="login_failures",
    alert="PlatformLoginFailureBurst",
    title="Failed logins",
    meaning="Logins of 5 minutes that failed, as a count.",
    scope=APP,
    value=f"app:{LOGINS}:increase5m",
    members="platform_user_activity_failures_total",
    bands={"medium": Band(20.0, "30s", "5m"), "high": Band(100.0, "30s", "5m")},
    summary="{{ $value }} logins to {{ $labels.app }} failed within 5 minutes",
    text="{{ $value }} logins to {{ $labels.app }} failed within 5 minutes",
    shown="humanize",
    subject="users",
    state=f"""\
(app:{LOGINS}:increase5m >= on (app) app:platform_threshold:effective{{indicator="login_failures", severity="medium"}}) * 0 + 1
or on (app)
0 * (app:{ACTIVITY}:increase5m >= on (app) {MINIMUM})
  and on (app) app:platform_threshold:effective{{indicator="login_failures", severity="medium"}}
or on (app)
-1 * group by (app) (last_over_time(app:{LOGINS}:sum[1h]))""",
)


def of_known_apps(name: str, expr: str) -> Record:
    """Return the recording of a sum that is 0 for known apps without any, so that their first counts."""
    series = f"app:{name}:sum"
    return Record(series, f"{expr}\nor\nlast_over_time({series}[5m])\nor\n0 * group by (app) ({MINIMUM})")


FILE = RuleFile(
    "users",
    "What users do: activity, active users, and failed logins.",
    (
        Group(
            "platform_users",
            "15s",
            (
                of_known_apps(ACTIVITY, total(APP, ACTIVITY, f"{ACTIVITY}_total").expr),
                total(APP, "platform_logins", f'{ACTIVITY}_total{{activity=~"(?i:{SIGN_IN})"}}'),
                total(APP_ACTIVITY, ACTIVITY, f"{ACTIVITY}_total"),
                total(APP_ACTIVITY, FAILURES, f"{FAILURES}_total"),
                of_known_apps(
                    LOGINS,
                    f"sum by (app) (\n  {replicas(FAILED_LOGINS)}\n  or\n  {replicas(LOGIN_FAILURE_ACTIVITIES)}\n)",
                ),
                increase(f"app:{ACTIVITY}", "5m", "1h"),
                *increases_from_0(APP_ACTIVITY, ACTIVITY, ACTIVITY, FAILURES),
                increase(f"app:{LOGINS}", "5m", "1h"),
                rate(APP_ACTIVITY, ACTIVITY),
                Record("app_window:platform_active_users:max", "max by (app, window) (platform_active_users)"),
                Record("app_window:platform_active_sessions:max", "max by (app, window) (platform_active_sessions)"),
                LOGIN_FAILURES,
            ),
        ),
    ),
)
