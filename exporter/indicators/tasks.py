"""Finished attempts at background tasks: the share that failed."""

from exporter.indicators.clues import NEW_ERROR, RELEASE
from exporter.indicators.declaration import Band, Group, Indicator, RuleFile, Scope
from exporter.indicators.promql import health_of_apps, increases, part, share, total

APP_TASK = Scope("app_task", ("app", "task"), ("app",))
TASKS, FAILURES = "platform_background_tasks", "platform_background_task_failures"

FAILURE_RATIO = Indicator(
    name="task_failure_ratio",
    alert="PlatformTaskFailuresHigh",
    title="Task failures",
    meaning="Share of the attempts at a background task ended in 5 minutes that failed; those that are tried again are not among them.",
    scope=APP_TASK,
    value=f"app_task:{FAILURES}:ratio5m",
    members=f"app_task:{TASKS}:sum",
    bands={"medium": Band(0.10, "1m", "2m"), "high": Band(0.50, "1m", "2m")},
    summary="{{ $labels.app }} fails {{ $value | humanizePercentage }} of its tasks {{ $labels.task }}",
    text="{{ $value | humanizePercentage }} of the tasks {{ $labels.task }} of {{ $labels.app }} failed over 5 minutes",
    subject="scraping",
    column="jobs",
    clues=(NEW_ERROR, RELEASE),
)

FILE = RuleFile(
    "tasks",
    "Finished attempts at background tasks per app and task: the share that failed. Tasks that must succeed on a schedule are in jobs.yml.",
    (
        Group(
            "platform_tasks",
            "15s",
            (
                total(APP_TASK, TASKS, "platform_background_tasks_total"),
                part(APP_TASK, FAILURES, 'platform_background_tasks_total{outcome="failure"}', TASKS),
                *increases(APP_TASK, TASKS, FAILURES),
                share(APP_TASK, FAILURES, TASKS),
                FAILURE_RATIO,
                health_of_apps(APP_TASK),
            ),
        ),
    ),
)
