"""Queues that the Redis probe watches: whether anything takes entries out of them, and how long the oldest one has waited."""

from exporter.indicators.declaration import QUEUE, Alert, Band, Group, Indicator, Record, RuleFile

LENGTH = Record("queue:platform_queue_length:max", "max by (name, queue, group) (platform_queue_length)")
AGE = Record(
    "queue:platform_queue_age:seconds",
    "clamp_min(time() - max by (name, queue, group) (platform_queue_oldest_timestamp_seconds), 0)",
)
WHICH = "{{ $labels.queue }}{{ with $labels.group }} (group {{ . }}){{ end }} of redis {{ $labels.name }}"

OLD = Indicator(
    name="queue_age_seconds",
    alert="PlatformQueueOld",
    title="Old entries",
    meaning="Time that the oldest entry of a queue has waited; only of Redis streams, and of Celery's lists whose publishers use "
    "the SDK's hook.",
    scope=QUEUE,
    value=AGE.name,
    bands={"medium": Band(900.0, "1m", "1m"), "high": Band(3600.0, "1m", "1m")},
    inclusive=False,
    about={"component": "redis"},
    summary="An entry in the queue " + WHICH + " has waited for {{ $value | humanizeDuration }}",
    text="The oldest entry of the queue " + WHICH + " was added {{ $value | humanizeDuration }} ago",
    shown="humanizeDuration",
    subject="components",
    state=None,
    few="a single entry is enough",
)

MORE = (
    "{{ with query (printf `queue:platform_queue_length:max%[1]s - queue:platform_queue_length:max%[1]s offset 10m`"
    " (printf `{name=%q,queue=%q,group=%q}` $labels.name $labels.queue $labels.group)) }}{{ . | first | value }}{{ end }}"
)

STAYS = Alert(
    name="PlatformQueueNotConsumed",
    severity="high",
    expr="""\
queue:platform_queue_length:max
and min_over_time(queue:platform_queue_length:max[10m]) > 0
and resets(queue:platform_queue_length:max[10m]) == 0
and queue:platform_queue_length:max offset 10m > 0
and count_over_time(present_over_time(queue:platform_queue_length:max[1m])[10m:1m]) >= 9""",
    hold="1m",
    keep_firing="1m",
    labels=("name",),
    about={"component": "redis"},
    summary="The queue " + WHICH + " has not become shorter for 10 minutes",
    text="{{ $value }} entries wait in the queue "
    + WHICH
    + ", "
    + MORE
    + " more than 10 minutes ago, and in between it never became "
    "shorter (expected: it does, or is empty): nothing takes entries out of it, or less than is added.",
    subject="components",
    comment="Never empty and never shorter than before in ten minutes, of which nine are known: in a longer gap an entry may "
    "have been taken. A constant length is not consumption: with a worker that keeps up the queue gets shorter now and "
    "then. A length does not say whether anything is taken: where more is added in every interval, that is not seen.",
)
FLOOR = Record(
    "queue:platform_queue_length:min15m",
    "min_over_time(queue:platform_queue_length:max[15m])",
    comment="What is left of a queue between bursts.",
)
GROWS = Alert(
    name="PlatformQueueGrowing",
    severity="medium",
    expr="""\
queue:platform_queue_length:min15m - queue:platform_queue_length:min15m offset 45m > 20
and queue:platform_queue_length:min15m > queue:platform_queue_length:min15m offset 15m
and queue:platform_queue_length:min15m offset 15m > queue:platform_queue_length:min15m offset 30m
and queue:platform_queue_length:min15m offset 30m > queue:platform_queue_length:min15m offset 45m
and queue:platform_queue_length:min15m > 1.5 * queue:platform_queue_length:min15m offset 45m
and resets(queue:platform_queue_length:max[10m]) > 0""",
    hold="1m",
    keep_firing="15m",
    labels=("name",),
    about={"component": "redis"},
    summary="The queue " + WHICH + " grows although it is consumed: by {{ $value }} in 45 minutes",
    text="{{ $value }} more entries than 45 minutes ago are left in the queue "
    + WHICH
    + " when it is shortest, and in every quarter of an hour more than before "
    "(expected: it is emptied between bursts). At this rate it is never empty.",
    subject="components",
    comment="The shortest length of each quarter of an hour: bursts that are worked off do not raise it.",
)

FILE = RuleFile(
    "queues",
    "Queues that the Redis probe watches: whether anything takes entries out of them, whether they grow all the same, and "
    "how long the oldest one has waited.\n\n"
    "All follow from PlatformComponentDown of the same component and name, and PlatformQueueOld from "
    "PlatformQueueNotConsumed of the same name, queue and group. Of a Redis stream each consumer group is a queue of its "
    "own, without what it has acknowledged. Only streams report when an entry was added, and Celery's lists by what the SDK's hook "
    "stamps; the newest value of all replicas "
    "counts.",
    (Group("platform_queues", "15s", (LENGTH, FLOOR, AGE, STAYS, GROWS, OLD)),),
)
