"""The ledger of the SDK: events that it produced, and events that it dropped."""

from exporter.indicators.declaration import APP, Band, Group, Indicator, Record, RuleFile
from exporter.indicators.promql import MINIMUM, increases, part, total

EVENTS, DROPPED = "platform_sdk_events", "platform_sdk_events_dropped"

DROPPED_RATIO = Indicator(
    name="sdk_dropped_ratio",
    alert="PlatformSdkDroppingEvents",
    title="Dropped events",
    meaning="Share of an app's events that the SDK had to drop.",
    scope=APP,
    value=f"app:{DROPPED}:ratio5m",
    members=f"app:{EVENTS}:sum",
    bands={"medium": Band(0.0, "1m", "5m"), "high": Band(0.01, "1m", "5m")},
    inclusive=False,
    enough=f"app:{EVENTS}:increase5m >= on (app) {MINIMUM}",
    summary="The SDK in {{ $labels.app }} drops {{ $value | humanizePercentage }} of its events",
    text="{{ $value | humanizePercentage }} of the events of {{ $labels.app }} were dropped over 5 minutes",
    subject="monitoring",
    comment="A dropped event is a fact, however few there are. No drop among too few events is unknown. "
    "High only where there is a share.",
    state=f"""\
(app:{DROPPED}:ratio5m > on (app) app:platform_threshold:effective{{indicator="sdk_dropped_ratio", severity="medium"}}) * 0 + 1
or on (app)
0 * (app:{EVENTS}:increase5m >= on (app) {MINIMUM})
  and on (app) app:platform_threshold:effective{{indicator="sdk_dropped_ratio", severity="medium"}}
or on (app)
-1 * group by (app) (last_over_time(app:{EVENTS}:sum[1h]))""",
)

FILE = RuleFile(
    "sdk",
    "The ledger of the SDK: events that it produced, and events that it dropped.",
    (
        Group(
            "platform_sdk",
            "15s",
            (
                total(APP, EVENTS, f"{EVENTS}_total"),
                part(APP, DROPPED, f'{DROPPED}_total{{reason!="before_send"}}', EVENTS),
                *increases(APP, EVENTS, DROPPED, before="1h"),
                Record(
                    DROPPED_RATIO.value,
                    f"app:{DROPPED}:increase5m / "
                    f"(app:{EVENTS}:increase5m > 0 and on (app) app:{EVENTS}:increase5m >= app:{DROPPED}:increase5m)\n"
                    f"or on (app)\n(app:{DROPPED}:increase5m > 0) * 0 + 1",
                    comment="Events dropped late, from a full spool, were produced before: the ratio is at most 1.",
                ),
                DROPPED_RATIO,
            ),
        ),
    ),
)
