"""Jobs that the configuration schedules: a run that was expected and has not succeeded."""

from exporter.indicators.declaration import Alert, Group, RuleFile

ONE = "{app=%q,scraper=%q,task=%q}` $labels.app $labels.scraper $labels.task) }}"
NAME = "{{ or $labels.scraper $labels.task }} of {{ $labels.app }}"
EXPECTED = (
    "{{ with query (printf `max(platform_job_expected_timestamp_seconds%[1]s)"
    " + max(platform_job_utc_offset_seconds%[1]s)` (printf `{app=%q,scraper=%q,task=%q}`"
    ' $labels.app $labels.scraper $labels.task)) }}{{ (. | first | value | toTime).Format "Mon 2 Jan 15:04" }}{{ end }}'
    "{{ with query (printf `platform_job_schedule_info" + ONE + ' ({{ . | first | label "time_zone" }}){{ end }}'
)
SUCCEEDED = (
    "{{ with query (printf `time() - max(platform_job_last_success_timestamp_seconds"
    + ONE.replace("}` ", "})` ")
    + "last succeeded {{ . | first | value | humanizeDuration }} ago{{ else }}never succeeded{{ end }}"
)
SCHEDULE = "{{ with query (printf `platform_job_schedule_info" + ONE + '{{ . | first | label "schedule" }}{{ end }}'

MISSED = Alert(
    name="PlatformJobMissed",
    severity="high",
    expr="time() - max by (app, scraper, task) (platform_job_deadline_timestamp_seconds) > 0",
    hold="1m",
    keep_firing="5m",
    labels=("app", "scraper"),
    summary=NAME + " was expected at " + EXPECTED + ", " + SUCCEEDED,
    text="A run of "
    + NAME
    + " (schedule "
    + SCHEDULE
    + ") was expected at\n"
    + EXPECTED
    + ";\nit has not succeeded, {{ $value | humanizeDuration }} after its grace ended. It "
    + SUCCEEDED
    + ".",
    subject="scraping",
    column="jobs",
    comment="The first run counts as well: the exporter knows since when a job has its schedule. While the source of a job "
    "cannot be read it exposes no deadline, and PlatformSourceDown fires. The newest success that any replica knows counts.",
)

FILE = RuleFile(
    "jobs",
    "Jobs that the configuration schedules: a run that was expected and has not succeeded. Per app and scraper or task.\n\n"
    "The exporter evaluates schedules, time zones and daylight saving time; a rule only compares with the deadline.",
    (Group("platform_jobs", "15s", (MISSED,)),),
)
