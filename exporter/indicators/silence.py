"""Applications that write nothing although they did, kinds of events that come no more, and processes that are gone."""

from collections.abc import Iterator

from exporter.indicators.declaration import APP, Alert, Band, Group, Indicator, Record, RuleFile, Scope
from exporter.indicators.promql import MINIMUM, health_of_apps
from exporter.indicators.sources import RECENTLY_UNREADABLE, UNREADABLE

APP_KIND = Scope("app_kind", ("app", "kind"), ("app",))
EVENTS, IDLE, PROCESSES = "platform_events", "platform_events_idle", "platform_sdk_processes"
RUNNING, LOST = f"app:{PROCESSES}:running", f"app:{PROCESSES}:lost"
WEEK_AGO, DAY_AGO = "167h30m", "23h30m"
"""Of the hour around the same time."""

KINDS = {
    "requests": "app:platform_http_requests:sum",
    "API calls": "sum by (app) (app_api:platform_api_calls:sum)",
    "scraping runs": "sum by (app) (app_scraper:platform_scraping_runs:sum)",
    "activities": "sum by (app) (app_activity:platform_user_activity:sum)",
    "logins": "app:platform_logins:sum",
}

SILENT = Indicator(
    name="app_silence_ratio",
    alert="PlatformAppSilent",
    title="Silent apps",
    meaning="Time since an app's last event of any kind, as a multiple of its longest usual pause.",
    scope=APP,
    value=f"app:{IDLE}:ratio",
    members=f"app:{EVENTS}:sum",
    bands={"high": Band(5.0, "1m", "2m"), "critical": Band(15.0, "1m", "2m")},
    enough=f'app_kind:{EVENTS}:increase1h_before{{kind="requests"}} > 0',
    summary="{{ $labels.app }} writes nothing any more",
    text="{{ $labels.app }} has written no event for {{ $value | humanize }} times its longest usual pause",
    shown="humanize",
    times=" times",
    subject="overview",
    comment="Critical only for an app that served requests.",
)
MISSING = Indicator(
    name="events_missing_ratio",
    alert="PlatformEventsMissing",
    title="Missing events",
    meaning="Time since the last event of one kind, as a multiple of its longest usual pause, "
    "while the app writes others.",
    scope=APP_KIND,
    value=f"app_kind:{IDLE}:ratio",
    members=f"app_kind:{EVENTS}:sum",
    bands={"medium": Band(5.0, "1m", "2m"), "high": Band(15.0, "1m", "2m")},
    summary="{{ $labels.app }} has no {{ $labels.kind }} any more",
    text="{{ $labels.app }} has had no {{ $labels.kind }} for {{ $value | humanize }} times their longest usual "
    "pause, but other events",
    shown="humanize",
    times=" times",
    subject="overview",
)
GONE = Indicator(
    name="sdk_processes_ratio",
    alert="PlatformSdkProcessesGone",
    title="Processes",
    meaning="Processes of an app that report through the SDK, as a share of the usual number.",
    scope=APP,
    value=f"app:{PROCESSES}:ratio",
    members=RUNNING,
    bands={"medium": Band(0.6, "5m", "2m"), "high": Band(0.55, "5m", "2m")},
    lower_is_worse=True,
    enough=f"{LOST} > 0",
    summary="Only {{ $value | humanizePercentage }} of the processes of {{ $labels.app }} run",
    text="{{ $value | humanizePercentage }} of the usual processes of {{ $labels.app }} report through the SDK",
    subject="monitoring",
    few="a process is gone or not, however much it did",
    comment="High only if processes were lost: those of a service that is stopped or scaled down end in order.",
)


def silence(scope: Scope) -> Iterator[Record]:
    """Yield the recordings of pauses between events: the present one, and the longest of the hour before it.

    What is known of the hour before is held until events come again.
    """
    labels, level = ", ".join(scope.labels), scope.level
    events, idle = f"{level}:{EVENTS}:sum", f"{level}:{IDLE}:seconds"
    seen, longest = f"{level}:{EVENTS}_seen:timestamp", f"{level}:{IDLE}:longest1h_before"
    before = f"{level}:{EVENTS}:increase1h_before"
    active, exists = f"and on ({labels}) {idle} == 0", f"and on ({labels}) {events}"
    on_app = "on (app)" if scope == APP else "on (app) group_left ()"
    yield Record(
        seen,
        f"(last_over_time({seen}[5m]) and on ({labels}) {events} == {events} offset 1m)\n{UNREADABLE}\n"
        f"or {events} * 0 + time()",
        comment="A pause begins again with every event, with a gap in the data, and while a source cannot be read.",
    )
    yield Record(idle, f"time() - {seen}")
    yield Record(longest, f"max_over_time({idle}[1h]) {active}\nor last_over_time({longest}[5m]) {exists}")
    past = (f"max_over_time({idle}[1h] offset {ago})" for ago in (WEEK_AGO, DAY_AGO))
    yield Record(
        f"{level}:{IDLE}:longest_usual",
        f'max by ({labels}) (\n  label_replace({longest}, "before", "1h", "", "")\n'
        f'  or label_replace({" or ".join(past)}, "before", "1w", "", "")\n) {exists}',
        comment="The longest of the hour before, and of this hour a week ago, or yesterday if no more is known.",
    )
    yield Record(
        before,
        f"clamp_min({events} - ({events} offset 1h or min_over_time({events}[1h])), 0) {active}\n"
        f"  and on ({labels}) {events} offset 30m\nor last_over_time({before}[5m]) {exists}",
    )
    alive = "" if scope == APP else f"and on (app) app:{IDLE}:seconds < 180\n"
    yield Record(
        f"{level}:{IDLE}:ratio",
        f"{idle} / on ({labels}) clamp_min({level}:{IDLE}:longest_usual, 60)\n"
        f"and on ({labels}) {before} >= {on_app} 12 * {MINIMUM}\n{alive}"
        f"and on ({labels}) ({idle} < 43200 or max_over_time({idle}[1h] offset {WEEK_AGO}) < 3600)\n{UNREADABLE}",
        comment="Half a day of silence may be a weekend: then a week ago must have been none.",
    )


def kinds() -> Record:
    """Return the recording of the sums of all kinds of events."""
    found = (f'label_replace({series}, "kind", "{kind}", "", "")' for kind, series in KINDS.items())
    return Record(f"app_kind:{EVENTS}:sum", "\nor\n".join(found))


def processes() -> Iterator[Record]:
    """Yield the recordings of how many processes run, how many were lost, and how many usually run at this hour."""
    for name, state in ((RUNNING, "running"), (LOST, "lost")):
        yield Record(name, f'max by (app) ({PROCESSES}{{state="{state}"}})')
    earlier = f"(min_over_time({RUNNING}[3h] offset 166h30m) or min_over_time({RUNNING}[3h] offset 22h30m))"
    recent = f"quantile_over_time(0.5, {RUNNING}[6h] offset 10m) and {RUNNING} offset 30m"
    yield Record(
        f"app:{PROCESSES}:usual",
        f'min by (app) (\n  label_replace({recent}, "before", "6h", "", "")\n'
        f'  or label_replace({earlier}, "before", "1w", "", "")\n)\n'
        f"and on (app) {RUNNING} offset 30m\nand on (app) ({LOST} > 0 or {earlier})",
        comment="The fewest within 90 minutes of this time a week ago, or yesterday, if fewer than in the last 6 hours: a service that "
        "is scaled down at night is complete. Before a day is known only processes count that ended out of order.",
    )
    yield Record(
        f"app:{PROCESSES}:ratio",
        f"{RUNNING} / on (app) (app:{PROCESSES}:usual >= 1)\n{RECENTLY_UNREADABLE}",
    )


CRASHES = Alert(
    name="PlatformSdkCrashLoop",
    severity="high",
    expr=f"""\
({LOST} >= 3) > on (app) 2 * {RUNNING}
unless on (app) {LOST} < 0.9 * {LOST} offset 10m - 1
and on (app) (
  sum_over_time(({LOST} > bool {LOST} offset 1m)[1h:1m]) >= 3
  or ALERTS{{alertname="PlatformSdkCrashLoop", alertstate="firing"}}
)""",
    hold="1m",
    keep_firing="5m",
    summary="Processes of {{ $labels.app }} are killed again and again",
    text="Processes of {{ $labels.app }} that ended out of order within an hour: {{ $value }}, expected fewer than 3, "
    "and fewer than twice those that run.\n"
    "Something kills them: the kernel for want of memory, a health check, or a fault in native code.",
    subject="monitoring",
    labels=("app",),
    comment="In at least three different minutes: those of a service that is killed as a whole are lost together. An hour after the first "
    "as many leave the count as come. When it falls, the loop is over.",
)

FILE = RuleFile(
    "silence",
    "Applications that write nothing although they did, kinds of events that come no more, and processes that are gone.\n\n"
    "A silence is a pause that is several times longer than the longest of the hour before it, and than the longest at this "
    "time a week ago (yesterday, if no more is known), so that traffic which stops and starts, a batch job or a night sets its "
    "own measure. A pause of less than a minute counts as one. Unknown, without an alert: fewer than minimum_events in 5 minutes "
    "on average in the hour before, an app younger than half an hour, half a day of silence unless there was none a week ago, a source that cannot be read.",
    (
        Group(
            "platform_silence",
            "1m",
            (
                kinds(),
                Record(
                    f"app:{EVENTS}:sum",
                    f'sum by (app) (app_kind:{EVENTS}:sum{{kind!="logins"}} or label_replace(app:platform_sdk_events:sum, '
                    '"kind", "of the SDK", "", ""))',
                    comment="Logins are activities.",
                ),
                *silence(APP),
                *silence(APP_KIND),
                SILENT,
                MISSING,
                health_of_apps(APP_KIND),
                *processes(),
                GONE,
                CRASHES,
            ),
        ),
    ),
)
