"""PostgreSQL servers: transactions that stay open."""

from exporter.indicators.declaration import SERVER, Band, Group, Indicator, Record, RuleFile

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

FILE = RuleFile(
    "postgresql",
    "PostgreSQL servers: transactions that stay open.\n\n"
    "PlatformComponentDown of the same component and name is the cause of all of these.",
    (Group("platform_postgresql", "15s", (AGE, TRANSACTION_AGE)),),
)
