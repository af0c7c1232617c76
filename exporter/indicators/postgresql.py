"""PostgreSQL servers: transactions that stay open, standbys that are late or gone, WAL that is kept for nobody."""

from exporter.indicators.declaration import SERVER, Alert, Band, Group, Indicator, Record, RuleFile, Scope

STANDBY = Scope("name_standby", ("name", "standby"), ("name",))
SLOT = Scope("name_slot", ("name", "slot"), ("name",))
GIB = 1024.0**3

AGE = Record(
    "name:platform_postgresql_oldest_transaction_seconds:max",
    "max by (name) (platform_postgresql_oldest_transaction_seconds)",
)

TRANSACTION_AGE = Indicator(
    name="transaction_age_seconds",
    alert="PlatformPostgresqlTransactionOld",
    title="Old transactions",
    meaning="Age of the oldest open transaction of a PostgreSQL server.",
    scope=SERVER,
    value=AGE.name,
    bands={"medium": Band(900.0, "1m", "1m"), "high": Band(3600.0, "1m", "1m")},
    inclusive=False,
    about={"component": "postgresql"},
    summary="A transaction on postgresql {{ $labels.name }} has been open for {{ $value | humanizeDuration }}",
    text="The oldest transaction on postgresql {{ $labels.name }} has been open for {{ $value | humanizeDuration }}: "
    "it holds locks and keeps dead rows from being cleaned up",
    shown="humanizeDuration",
    subject="components",
    state=None,
    few="a single transaction is enough",
)

LAG = Record(
    "name_standby:platform_postgresql_lag_seconds:max",
    "max by (name, standby) (platform_postgresql_standby_lag_seconds or platform_postgresql_replay_lag_seconds)",
    comment="As a primary sees each standby, and without that label as a standby sees itself.",
)
WHO = "{{ if $labels.standby }}Standby {{ $labels.standby }} of postgresql {{ $labels.name }}{{ else }}postgresql {{ $labels.name }}, a standby,{{ end }}"
REPLICATION_LAG = Indicator(
    name="replication_lag_seconds",
    alert="PlatformPostgresqlReplicationLag",
    title="Replication lag",
    meaning="How late a PostgreSQL standby is, as its primary or it itself sees it.",
    scope=STANDBY,
    value=LAG.name,
    bands={"medium": Band(120.0, "2m", "2m"), "high": Band(900.0, "1m", "2m")},
    inclusive=False,
    about={"component": "postgresql"},
    summary=WHO + " is {{ $value | humanizeDuration }} behind",
    text=WHO
    + " has not replayed what was written {{ $value | humanizeDuration }} ago: it answers with old data, and a failover to it "
    "takes longer or loses what it has not received",
    shown="humanizeDuration",
    subject="components",
    state=None,
    few="a standby is late or not, however little is written",
)
RETAINED = Record(
    "name_slot:platform_postgresql_slot_retained_bytes:max",
    "max by (name, slot) (platform_postgresql_slot_retained_bytes)",
)
SLOT_RETAINS = Indicator(
    name="slot_retained_bytes",
    alert="PlatformPostgresqlSlotRetainsWal",
    title="WAL kept for a slot",
    meaning="WAL that a PostgreSQL server keeps for a replication slot.",
    scope=SLOT,
    value=RETAINED.name,
    bands={"medium": Band(5 * GIB, "5m", "2m"), "high": Band(20 * GIB, "1m", "2m")},
    inclusive=False,
    about={"component": "postgresql"},
    summary="postgresql {{ $labels.name }} keeps {{ $value | humanize1024 }}B of WAL for the slot {{ $labels.slot }}",
    text="postgresql {{ $labels.name }} keeps {{ $value | humanize1024 }}B of WAL, because whoever uses the replication slot "
    "{{ $labels.slot }} does not take it: that fills the disk",
    shown="humanize1024",
    times="B",
    subject="components",
    state=None,
    few="a slot that nobody reads is enough",
)
STANDBYS = Record("name:platform_postgresql_standbys:max", "max by (name) (platform_postgresql_standbys)")
STANDBY_GONE = Alert(
    name="PlatformPostgresqlStandbyGone",
    severity="high",
    expr=f"{STANDBYS.name} < quantile_over_time(0.5, {STANDBYS.name}[1d])",
    hold="5m",
    keep_firing="2m",
    summary="postgresql {{ $labels.name }} has {{ with $value }}only {{ . }} of its standbys{{ else }}no standby any more{{ end }}",
    text="Standbys that stream from postgresql {{ $labels.name }}: {{ $value }}, fewer than for most of the day before. "
    "What is written now is on fewer servers, and a failover to the one that is missing loses it.",
    subject="components",
    labels=("name",),
    about={"component": "postgresql"},
    comment="A standby that was taken away for good is usual after half a day.",
)

FILE = RuleFile(
    "postgresql",
    "PostgreSQL servers: transactions that stay open, standbys that are late or gone, WAL that is kept for nobody.\n\n"
    "PlatformComponentDown of the same component and name is the cause of all of these.",
    (
        Group("platform_postgresql", "15s", (AGE, TRANSACTION_AGE, LAG, REPLICATION_LAG)),
        Group("platform_postgresql_wal", "1m", (RETAINED, SLOT_RETAINS, STANDBYS, STANDBY_GONE)),
    ),
)
