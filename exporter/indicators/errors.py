"""Errors that applications recorded: rates, bursts, new issues and regressions."""

from exporter.indicators.clues import NEW_ERROR, RELEASE
from exporter.indicators.declaration import APP, Alert, Band, Group, Indicator, Record, RuleFile, Scope
from exporter.indicators.promql import MINIMUM, increase, increases_from_0, rate, replicas, total

ERRORS, CREATED, REGRESSIONS = "platform_errors", "platform_error_issues_created", "platform_error_regressions"
APP_SEVERITY = Scope("app_severity", ("app", "severity"))
MEAN = f"app:{ERRORS}:increase5m_avg1d"

BURST = Indicator(
    name="error_burst_factor",
    alert="PlatformErrorBurst",
    title="Error bursts",
    meaning="Errors of 5 minutes as a multiple of the mean of 5 minutes over the day before.",
    scope=APP,
    value=f"app:{ERRORS}:burst5m",
    members=MINIMUM,
    bands={"medium": Band(5.0, "1m", "5m"), "high": Band(20.0, "1m", "5m")},
    summary="{{ $labels.app }} records {{ $value | humanize }} times as many errors as usual",
    text="{{ $labels.app }} recorded {{ $value | humanize }} times as many errors in 5 minutes as on average over the day "
    "before",
    shown="humanize",
    times=" times",
    subject="errors",
    clues=(NEW_ERROR, RELEASE),
    comment="Few errors are healthy if other events show that the app works, and unknown otherwise.",
    state=f"""\
(app:{ERRORS}:burst5m >= bool on (app) app:platform_threshold:effective{{indicator="error_burst_factor", severity="medium"}})
or on (app)
0 * (
  app:platform_http_requests:increase5m >= on (app) {MINIMUM}
  or sum by (app) (app_api:platform_api_calls:increase5m) >= on (app) {MINIMUM}
  or sum by (app) (app_scraper:platform_scraping_runs:increase5m) >= on (app) {MINIMUM}
  or app:platform_sdk_events:increase5m >= on (app) {MINIMUM}
) and on (app) {MEAN} unless on (app) app:{ERRORS}:burst5m
or on (app)
-1 * group by (app) (last_over_time(app:{ERRORS}:sum[1h]))""",
)


def issues(change: str, matcher: str = "") -> str:
    """Return the query of an app's newest issues, new or regressed, the newest first; %q is the app."""
    selector = f'app=%q,change="{change}"{matcher and f",severity{matcher}"}'
    found = replicas(f"platform_error_issue_changed_timestamp_seconds{{{selector}}}")
    return f"sort_desc({found} > time() - 900)"


def named(change: str, matcher: str = "") -> str:
    """Return the template that names the newest issues: their types, and the release of the newest."""
    query = f"query (printf `{issues(change, matcher)}` $labels.app)"
    types = "{{ range $i, $one := . }}{{ if $i }}, {{ end }}{{ $one.Labels.error_type }}{{ end }}"
    release = '{{ with . | first | label "release" }} in release {{ . }}{{ end }}'
    return f"{{{{ with {query} }}}}: {types}{release}{{{{ end }}}}"


def page(change: str, matcher: str = "") -> str:
    """Return the template of the path to the newest issue, or to the app's errors where it is not known."""
    app = "var-app={{ $labels.app | urlquery }}"
    found = f"/d/platform-error/error?{app}&var-fingerprint="
    return (
        f"{{{{ with query (printf `{issues(change, matcher)}` $labels.app) }}}}"
        f'{found}{{{{ . | first | label "fingerprint" | urlquery }}}}'
        f"{{{{ else }}}}/d/platform-errors/errors?{app}{{{{ end }}}}"
    )


def new_issue(severity: str, matcher: str, comment: str = "") -> Alert:
    """Return the alert of new kinds of error, of some of the severities that errors have."""
    return Alert(
        name="PlatformNewErrorIssue",
        severity=severity,
        expr=f"sum by (app) (app_severity:{CREATED}:increase5m{{severity{matcher}}}) > 0",
        hold="15s",
        keep_firing="15m",
        labels=("app",),
        summary="{{ $labels.app }} has {{ $value }} new {{ if eq $value 1.0 }}kind{{ else }}kinds{{ end }} of error"
        + named("created", matcher),
        text="New kinds of error in {{ $labels.app }} within 5 minutes: {{ $value }}, expected 0." + RELEASE,
        subject="errors",
        page=page("created", matcher),
        comment=comment,
    )


FILE = RuleFile(
    "errors",
    "Errors that applications recorded: rates, bursts, new issues and regressions.\n\n"
    "A known app without errors is at 0, so that its first error counts. The value 5 minutes ago is the greatest of the "
    "hour before: a source that was away for a while and returns is not a burst.",
    (
        Group(
            "platform_errors",
            "15s",
            (
                Record(
                    f"app:{ERRORS}:sum",
                    f"{total(APP, ERRORS, f'{ERRORS}_total').expr}\nor\n0 * group by (app) ({MINIMUM})",
                ),
                total(APP_SEVERITY, ERRORS, f"{ERRORS}_total"),
                total(APP_SEVERITY, CREATED, f"{CREATED}_total"),
                total(APP, REGRESSIONS, f"{REGRESSIONS}_total"),
                increase(f"app:{ERRORS}", "5m", "1h"),
                *increases_from_0(APP_SEVERITY, ERRORS, ERRORS, CREATED),
                *increases_from_0(APP, ERRORS, REGRESSIONS),
                rate(APP_SEVERITY, ERRORS),
                Record(
                    BURST.value,
                    f"app:{ERRORS}:increase5m / clamp_min({MEAN}, 1)\nand on (app)\n"
                    f"app:{ERRORS}:increase5m >= on (app) {MINIMUM}",
                    comment="Errors of 5 minutes against the mean of 5 minutes over the day before, as far as that day is "
                    "known. A mean below 1 counts as 1: after a day without errors, the first few are not an infinite burst.",
                ),
                BURST,
                new_issue(
                    *("low", '!~"high|critical"'),
                    "Single events: they fire while they are within the last 5 minutes; more within 15 minutes belong to the "
                    "same alert.",
                ),
                new_issue("medium", '=~"high|critical"'),
                Alert(
                    name="PlatformErrorRegression",
                    severity="medium",
                    expr=f"app:{REGRESSIONS}:increase5m > 0",
                    hold="15s",
                    keep_firing="15m",
                    labels=("app",),
                    summary="{{ $value }} resolved {{ if eq $value 1.0 }}error of {{ $labels.app }} occurs"
                    "{{ else }}errors of {{ $labels.app }} occur{{ end }} again" + named("regressed"),
                    text="Resolved error issues of {{ $labels.app }} that occurred again within 5 minutes: {{ $value }}, "
                    "expected 0." + RELEASE,
                    subject="errors",
                    page=page("regressed"),
                ),
            ),
        ),
        Group(
            "platform_errors_baseline",
            "1m",
            (
                Record(
                    MEAN,
                    f"avg_over_time(app:{ERRORS}:increase5m[1d] offset 5m)\nand on (app)\n"
                    f"last_over_time(app:{ERRORS}:increase5m[5m] offset 10m)",
                    comment="It reads a day of samples. In its first 10 minutes an app has no mean: it began without errors.",
                ),
            ),
        ),
    ),
)
