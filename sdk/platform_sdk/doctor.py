"""Check what the SDK needs, from its options to a row in each table, and say what to do.

Nothing is left behind: the test rows are rolled back, so no poll ever counts them. The role of an application may read
no event, so that a row was accepted is all that can be known.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from platform_sdk import client, stores
from platform_sdk import options as settings
from platform_sdk.delivery.redaction import Redactor
from platform_sdk.delivery.spool import BatchSpool, destination, owner
from platform_sdk.delivery.store import connection_string, load_driver, quoted
from platform_sdk.errors import ConnectionBrokenError, OptionError, ServerError
from platform_sdk.events import EVENTS
from platform_sdk.events.base import Column, EventKind
from platform_sdk.options import Options

OK, FAIL, TO_DO, UNKNOWN = "ok", "FAIL", "to do", "?"

OLDEST_SERVER = 130000
MOST_SKEW_SECONDS = 30.0
WRITTEN = (*(kind.name for kind in EVENTS), "batch", "sdk_ledger", "scraping_job")
"""The tables that a writer adds to."""

NOT_CHECKED = "not checked: there are no tables"

_FACTS = """BEGIN READ ONLY; SELECT json_build_object(
'user', current_user, 'database', current_database(), 'version', current_setting('server_version_num')::int,
'standby', pg_is_in_recovery(), 'now', extract(epoch FROM clock_timestamp()),
'day', to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD'),
'usage', (SELECT has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = 'monitoring'),
'tables', (SELECT json_object_agg(relname, json_build_object('insert', has_table_privilege(c.oid, 'INSERT'),
    'columns', (SELECT json_agg(attname) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped)))
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'monitoring' AND relkind IN ('r', 'p'))
); COMMIT"""


class Finding(NamedTuple):
    """One check: its subject, how it came out, and what was found or is to do."""

    subject: str
    verdict: str
    text: str


Run = Callable[[str], list[tuple[str | None, ...]]]


def examine(**given: Any) -> tuple[int, list[Finding]]:
    """Return the exit status (0 fine, 1 something is to do, 2 invalid options) and the findings."""
    try:
        options = settings.read(given)
        client.checked(options)
    except OptionError as error:
        return 2, [Finding("options", FAIL, str(error))]
    findings = list(_all(options))
    hide = Redactor((*options.redact_keys,)).text
    shown = [finding._replace(text=hide(" ".join(finding.text.split()))) for finding in findings]
    return int(any(finding.verdict != OK for finding in findings)), shown


def _all(options: Options) -> Iterator[Finding]:
    yield Finding("options", OK, f"app {options.app}, release {options.release or 'not set: set PLATFORM_SDK_RELEASE'}")
    for unknown in settings.unknown_variables():
        yield Finding("environment", TO_DO, f"nothing reads {unknown}")
    for mistake in options.left_out:
        yield Finding("options", TO_DO, f"left out: {mistake}")
    if options.other_dsns:
        others = ", ".join(map(stores.name, options.other_dsns))
        yield Finding("store", OK, f"{stores.name(options.dsn)} is that of this app and host; others have {others}")
    if not options.enabled:
        yield Finding("enabled", TO_DO, "recording is switched off: set enabled=True or PLATFORM_SDK_ENABLED=true")
    yield _spool(options)
    yield from _database(options)
    yield _integrations(options)


def _spool(options: Options) -> Finding:
    """Check that the folder can be written to, and whose batches wait there."""
    if not options.spool_folder:
        return Finding("spool", OK, "switched off: what the database does not take in time is dropped")
    folder = Path(options.spool_folder)
    try:
        spool = BatchSpool(options)
        spool.claim()
        spool.close(keep=False)
        mine = {destination(options, dsn) for dsn in (options.dsn, *options.other_dsns)}
        files = [path.parent for path in folder.glob("*/*/*.batch")]
        owners = {base: owner(base)[0] for base in {parent.parent for parent in files}}
        others = Counter(app for app in (owners[parent.parent] for parent in files) if app not in (None, options.app))
        files = [parent for parent in files if owners[parent.parent] in (None, options.app)]
        waiting = [parent.parent.name in mine for parent in files if parent.name != "corrupt"]
        corrupt = len(files) - len(waiting)
    except OSError as error:
        return Finding("spool", FAIL, f"{error}: make {folder} a folder of this user's that no other may write to")
    if stranded := waiting.count(False):
        text = f"{stranded} batches of another application or database"
        return Finding("spool", TO_DO, f"{folder} holds {text}: they wait for a process with its app and DSN")
    if corrupt:
        return Finding("spool", TO_DO, f"{folder}/*/corrupt holds {corrupt} files that could not be read: remove them")
    held = f"; {waiting.count(True)} batches wait for a process to store them" if any(waiting) else ""
    held += "".join(
        f"; {count} {'batch' if count == 1 else 'batches'} of app {app} waiting for a process of it"
        for app, count in others.items()
    )
    return Finding("spool", OK, f"{folder} can be written to{held}")


def _database(options: Options) -> Iterator[Finding]:
    end = time.monotonic() + options.connect_timeout_seconds + options.statement_timeout_seconds
    try:
        load_driver()
        from platform_sdk.libpq import LibpqConnection

        connection = LibpqConnection(
            connection_string(options), lambda: min(end, time.monotonic() + options.connect_timeout_seconds)
        )
    except ImportError as error:
        yield Finding("driver", FAIL, f"psycopg cannot be loaded ({error}): pip install 'psycopg[binary]'")
        return
    except (OptionError, OSError, ConnectionBrokenError, ServerError, TimeoutError) as error:
        yield Finding("connection", FAIL, _why(error))
        return
    try:
        yield from _store(options, lambda sql: connection.run(sql, lambda: end))
    except (ConnectionBrokenError, ServerError, TimeoutError) as error:
        yield Finding("connection", FAIL, f"it broke: {error}")
    finally:
        connection.close()


def _why(error: Exception) -> str:
    """Return why there is no connection, and what to do."""
    text = f"{type(error).__name__}: {error}" if isinstance(error, OSError) else str(error)
    hints = (
        ("SSL was required", "the server has no TLS: switch it on there, or set sslmode=prefer in the DSN"),
        ("sslmode", "set sslmode in the DSN to disable, allow, prefer, require, verify-ca or verify-full"),
        ("certificate", "set sslrootcert in the DSN to the file of the authority that signed the server's"),
        ("password", "set PLATFORM_SDK_PASSWORD_FILE, or the password in the DSN"),
        ("does not exist", "create the role or database, or correct the DSN"),
        ("pg_hba", "allow this host in the server's pg_hba.conf"),
        ("too many", "raise max_connections, or connect through a pooler"),
        ("invalid value for dsn", ""),
    )
    hint = next((hint for word, hint in hints if word in text), "check host and port in the DSN, and that it runs")
    return f"{text}: {hint}" if hint else text


def _store(options: Options, run: Run) -> Iterator[Finding]:
    began, clock = time.monotonic(), time.time()
    facts: dict[str, Any] = json.loads(run(_FACTS)[0][0] or "{}")
    took = time.monotonic() - began
    place = f"user {facts['user']}, database {facts['database']}, PostgreSQL {facts['version'] // 10000}"
    yield Finding("connection", OK, f"{place}, answered in {1000 * took:.0f} ms")
    if facts["version"] < OLDEST_SERVER:
        yield Finding("server", FAIL, f"it is older than {OLDEST_SERVER // 10000}: upgrade it")
    if facts["standby"]:
        text = "it is a standby, which takes no rows: add target_session_attrs=read-write to the DSN"
        yield Finding("server", FAIL, text)
    yield _clock(facts["now"] - clock - took / 2)
    tables = facts["tables"] or {}
    schema = _schema(tables)
    yield schema
    rights = _rights(facts, tables)
    yield rights
    yield _partitions(tables, facts["day"]) if tables else Finding("partitions", UNKNOWN, NOT_CHECKED)
    if {schema.verdict, rights.verdict} == {OK} and not facts["standby"]:
        yield _test_rows(options, run)


def _clock(skew_seconds: float) -> Finding:
    if abs(skew_seconds) > MOST_SKEW_SECONDS:
        text = f"this machine's clock is {-skew_seconds:+.0f} s from the database's: synchronise both (chrony, ntpd)"
        return Finding("clock", FAIL, text)
    return Finding("clock", OK, f"{abs(skew_seconds):.1f} s from the database's")


def _schema(tables: dict[str, Any]) -> Finding:
    """Check that there is each table, with each column that this SDK names."""
    apply = "run `platform-exporter schema apply` of this version"
    if missing := [name for name in WRITTEN if name not in tables]:
        what = "is missing" if len(missing) == len(WRITTEN) else f"lacks {', '.join(missing)}"
        return Finding("schema", FAIL, f"schema monitoring {what}: {apply}")
    lacking = [
        f"{kind.name}.{column.name}"
        for kind in EVENTS
        for column in kind.all_columns
        if column.name not in tables[kind.name]["columns"]
    ]
    if lacking:
        return Finding("schema", FAIL, f"it is older than this SDK, and lacks {', '.join(lacking)}: {apply}")
    return Finding("schema", OK, "it has each table and column")


def _rights(facts: dict[str, Any], tables: dict[str, Any]) -> Finding:
    grant = f'run: GRANT platform_writer TO "{facts["user"]}";'
    if facts["usage"] is False:
        return Finding("rights", FAIL, f"user {facts['user']} may not use schema monitoring: {grant}")
    refused = [name for name in WRITTEN if name in tables and not tables[name]["insert"]]
    if refused:
        return Finding("rights", FAIL, f"user {facts['user']} may not add to {', '.join(refused)}: {grant}")
    if not tables:
        return Finding("rights", UNKNOWN, NOT_CHECKED)
    return Finding("rights", OK, f"user {facts['user']} may add events")


def _partitions(tables: dict[str, Any], day: str) -> Finding:
    missing = [kind.name for kind in EVENTS if kind.name in tables and f"{kind.name}_{day}" not in tables]
    if missing:
        text = f"none of today for {', '.join(missing)}: start the exporter, which makes them each day, or run"
        return Finding("partitions", TO_DO, f"{text} `platform-exporter schema apply`")
    return Finding("partitions", OK, "there is one of today for each kind")


def _test_rows(options: Options, run: Run) -> Finding:
    """Add a row to each table, and roll it back."""
    statements = [_insert(kind, options.app) for kind in EVENTS]
    values = f"{quoted(options.app)}, 'doctor', 0, 0, 0, '{{}}', now(), now()"
    columns = "app, process, produced, stored, spooled, dropped, started_at, updated_at"
    statements += [
        "INSERT INTO monitoring.batch (id) VALUES (md5(random()::text)::uuid)",
        f"INSERT INTO monitoring.sdk_ledger ({columns}) VALUES ({values})",
    ]
    try:
        run(f"BEGIN; {'; '.join(statements)}; ROLLBACK")
    except ServerError as error:
        return Finding("test rows", FAIL, f"the database refuses them: {error} ({error.sqlstate})")
    return Finding("test rows", OK, f"one of each of {len(EVENTS)} kinds was accepted, and rolled back")


def _insert(kind: EventKind, app: str) -> str:
    at = datetime.now(UTC).isoformat()
    known = {"at": quoted(at), "app": quoted(app)}
    named = {column.name: known.get(column.name) or _value(column) for column in kind.all_columns if column.required}
    return f"INSERT INTO monitoring.{kind.name} ({', '.join(named)}) VALUES ({', '.join(named.values())})"


def _value(column: Column) -> str:
    return quoted(column.values[0] if column.values else "doctor") if column.type == "text" else "'0'"


def _integrations(options: Options) -> Finding:
    integrations = import_module("platform_sdk.integrations")
    found = [each.name for each in integrations.INTEGRATIONS if integrations.installed(each)]
    chosen = integrations.wanted(options.integrations)
    on = [name for name in found if name in chosen]
    rest = [name for name in found if name not in chosen]
    text = f"init() switches on {', '.join(on)}" if on else 'init() switches on none: integrations="auto" does'
    return Finding("integrations", OK, f"{text}{'; installed, too: ' + ', '.join(rest) if rest else ''}")
