"""Finished background tasks, of Celery, RQ or any other queue."""

from typing import get_args

from platform_sdk.events.base import APP, Column, EventKind, Label, Rollup, outcome, reject_number
from platform_sdk.typing import TaskOutcome

OUTCOMES: tuple[str, ...] = get_args(TaskOutcome)
BOUNDS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)

_OUTCOME = outcome("how it ended; `retry`: it failed, and another attempt follows", OUTCOMES)
_LABELS = (APP, Label("task", "task"), Label("queue", "queue"))

BACKGROUND_TASK = EventKind(
    name="background_task",
    rows_are="a finished attempt at a background task",
    columns=(
        Column("task_id", "text", "the task"),
        Column("task", "text", "the task's name", required=True),
        Column("queue", "text", "the queue that it waited in"),
        _OUTCOME,
        Column("reason", "text", "why it failed: the exception's class, cancelled, killed or rejected"),
        Column("attempt", "integer", "1 for the first attempt; NULL where it is not known"),
        Column("wait_seconds", "double precision", "from publishing, or from the time it was due, to the start"),
        Column("duration_seconds", "double precision", "from start to end; NULL where it is not known"),
        Column("worker", "text", "the worker that ran it"),
    ),
    checks=(
        _OUTCOME.check,
        reject_number("attempt"),
        reject_number("wait_seconds", maximum=1e9),
        reject_number("duration_seconds", maximum=1e9),
    ),
    rollups=(
        Rollup(
            "platform_background_tasks_total",
            "Attempts at background tasks that finished.",
            (*_LABELS, Label("outcome", _OUTCOME.closed, open=False)),
            value="1",
        ),
        Rollup(
            "platform_background_task_duration_seconds",
            "Time a background task ran.",
            _LABELS,
            type="histogram",
            value="duration_seconds",
            bounds=BOUNDS,
            optional=True,
        ),
        Rollup(
            "platform_background_task_wait_seconds",
            "Time a background task waited in its queue.",
            _LABELS,
            type="histogram",
            value="wait_seconds",
            bounds=BOUNDS,
            optional=True,
        ),
        Rollup(
            "platform_background_task_attempts",
            "Attempts that a background task took until it succeeded or failed for good.",
            _LABELS,
            type="histogram",
            value=f"CASE WHEN {_OUTCOME.understood} <> 'retry' THEN attempt END",
            bounds=(1.0, 2.0, 3.0, 5.0, 10.0),
            optional=True,
        ),
        Rollup(
            "platform_background_task_last_success_timestamp_seconds",
            "When a background task last succeeded.",
            _LABELS[:2],
            type="gauge",
            value=f"CASE WHEN {_OUTCOME.understood} = 'success' THEN extract(epoch FROM at) END",
        ),
    ),
)
