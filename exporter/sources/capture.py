"""What is captured of an application's table: the columns that a mapping reads, and the SQL of the triggers' function.

Statement-level triggers write what the mapping reads, as text, into a narrow table of ours. No SQL of the mapping
runs in the application's transactions, and nothing there depends on one of its columns: the poll evaluates conditions.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from exporter.database import schema
from exporter.errors import MappingError
from exporter.sources import checks
from exporter.sources.mapping import Relation, StreamMapping, quoted

SLOTS = 3
"""Partitions of a captured table: a day's changes go to the day's number modulo three, and that of the day before
yesterday is emptied. So no partition has to be made while applications write, and none can be missing."""


@dataclass(frozen=True, slots=True)
class Reads:
    """The columns of a table that a mapping reads, with their types; those that `counted_when` reads; and the key.

    The key is empty where nobody asks which row a change is of. `settings` are what the text of these types depends on.
    `table` is named where the server has virtual columns, which triggers cannot read.
    """

    columns: tuple[str, ...]
    types: tuple[str, ...]
    watched: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    table: Relation | None = None


def events(stream: StreamMapping) -> str:
    """Return what is captured: I(nsert), U(pdate), D(elete), T(runcate)."""
    if stream.counted == "deleted":
        return "D"
    if not stream.counted_when:
        return "I"
    return "IU" if stream.counted == "every_change" else "IUDT"


def learn(connection: psycopg.Connection, stream: StreamMapping) -> Reads:
    """Ask PostgreSQL which columns a mapping reads; nothing stays changed. Raises psycopg.ProgrammingError.

    A view's dependencies name them, whatever the SQL looks like.
    """
    with connection.transaction(force_rollback=True):
        if checks.relation_kind(connection, Relation("monitoring.rollup")) is None:
            connection.execute(schema.counting_sql().encode())  # mappings may call its functions
        types = checks.column_types(connection, stream.table)
        every = [f"({text})" for text in stream.columns.values()]
        conditions = [stream.where, *([stream.counted_when] if stream.counted_when else [])]
        read = _columns(connection, stream, every, conditions, types)
        watched = _columns(connection, stream, [], conditions[1:], types, join=False) if stream.counted_when else ()
        key = key_of(connection, stream) if _needs_key(connection, stream) else ()
        if virtual := [f"t.{quoted(name)}" for name in dict.fromkeys([*read, *key]) if name not in types]:
            raise MappingError(
                f"{', '.join(virtual)} of {stream.table} is computed when it is read, so that no trigger sees it: "
                "expected stored columns; write the column's expression in the mapping, or make it STORED"
            )
        chosen = ", ".join(quoted(name) for name in read) or "1 AS nothing"
        # A change holds these columns only: SQL that needs the whole row's type, or a hidden column, fails here.
        connection.execute(
            f"SELECT {', '.join(every)} FROM (SELECT {chosen} FROM {stream.table}) t {stream.join} "
            f"WHERE {' AND '.join(f'({text})' for text in conditions)} LIMIT 0".encode()
        )
        settings = _settings(connection, stream.table, read, key)
        table = stream.table if connection.info.server_version >= 180_000 else None
        return Reads(read, tuple(types[name] for name in read), watched, key, settings, table)


def _columns(
    connection: psycopg.Connection, stream: StreamMapping, selected: list[str], conditions: list[str],
    types: dict[str, str], *, join: bool = True,
) -> tuple[str, ...]:  # fmt: skip
    named = ", ".join(f"{text} AS c{index}" for index, text in enumerate(selected)) or "1 AS c0"
    where = " AND ".join(f"({text})" for text in conditions) or "true"
    connection.execute(
        f"CREATE TEMP VIEW platform_reads AS SELECT {named} FROM {stream.table} t "
        f"{stream.join if join else ''} WHERE {where}".encode()
    )
    rows = connection.execute(
        """SELECT a.attname FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
        JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE r.ev_class = 'pg_temp.platform_reads'::regclass AND d.refclassid = 'pg_class'::regclass
            AND d.refobjid = to_regclass(%s) AND d.refobjsubid > 0 ORDER BY a.attnum""",
        [stream.table],
    ).fetchall()
    if not join:
        _require_stable(connection, stream.table)
    whole = connection.execute("SELECT pg_get_viewdef('pg_temp.platform_reads'::regclass) LIKE '%t.*%'").fetchone()
    connection.execute("DROP VIEW pg_temp.platform_reads")
    return tuple(types) if whole == (True,) else tuple(dict.fromkeys(name for (name,) in rows))


def _require_stable(connection: psycopg.Connection, table: Relation) -> None:
    """Raise MappingError where a condition reads more than a row of its table: no change of that would be seen."""
    row = connection.execute(
        """SELECT pg_get_viewdef('pg_temp.platform_reads'::regclass), (
            SELECT string_agg(DISTINCT refobjid::regclass::text, ', ') FROM pg_depend d JOIN pg_rewrite r
                ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
            WHERE r.ev_class = 'pg_temp.platform_reads'::regclass AND d.refclassid = 'pg_class'::regclass
                AND d.refobjid NOT IN (r.ev_class, to_regclass(%s)))""",
        [table],
    ).fetchone()
    definition, other = row or ("", None)
    words = re.findall(r"\b(CURRENT_\w+|LOCALTIME\w*)|\b(\w+)\(", re.sub(r"'[^']*'", "", definition))
    varying = connection.execute(
        """SELECT string_agg(DISTINCT proname, ', ') FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
        AND proname = ANY(%s) AND (provolatile = 'v' OR proname = ANY(
            '{now,transaction_timestamp,statement_timestamp}'))""",
        [[name for _, name in words]],
    ).fetchone()
    clock = ", ".join(dict.fromkeys(word for word, _ in words if word))
    if found := other or clock or (varying and varying[0]):
        raise MappingError(f"`counted_when` reads {found}: expected a condition over columns of {table} alone")


def _settings(
    connection: psycopg.Connection, table: Relation, read: tuple[str, ...], key: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the settings that make one text of one value, by the types in a key and in other columns, at any depth.

    A time with its offset and bytes in either form are read as what they are, but two texts would be two keys. What
    `regclass` shows depends on the search path, and so may a type of the application's own.
    """
    rows = connection.execute(
        """WITH RECURSIVE used AS (
            SELECT atttypid AS type, attname = ANY(%(key)s) AS in_key FROM pg_attribute
            WHERE attrelid = to_regclass(%(table)s) AND attname = ANY(%(key)s || %(read)s)
            UNION SELECT part.type, used.in_key FROM used JOIN pg_type t ON t.oid = used.type CROSS JOIN LATERAL (
                SELECT t.typelem UNION ALL SELECT t.typbasetype
                UNION ALL SELECT rngsubtype FROM pg_range r
                    WHERE t.oid IN (rngtypid, (to_jsonb(r)->>'rngmultitypid')::oid)
                UNION ALL SELECT atttypid FROM pg_attribute
                    WHERE attrelid = t.typrelid AND attnum > 0 AND NOT attisdropped) part(type))
        SELECT DISTINCT CASE
            WHEN type = 'money'::regtype THEN 'lc_monetary = ' || quote_literal('C')
            WHEN in_key AND type = 'timestamptz'::regtype THEN 'timezone = ' || quote_literal('UTC')
            WHEN in_key AND type = 'bytea'::regtype THEN 'bytea_output = ' || quote_literal('hex')
            WHEN typname ~ '^reg' OR typtype = 'b' AND typelem = 0 AND typnamespace <> 'pg_catalog'::regnamespace
                THEN 'search_path = pg_catalog, pg_temp' END AS setting
        FROM used JOIN pg_type t ON t.oid = used.type ORDER BY setting""",
        {"table": table, "read": list(read), "key": list(key)},
    ).fetchall()
    return tuple(setting for (setting,) in rows if setting)


def _needs_key(connection: psycopg.Connection, stream: StreamMapping) -> bool:
    """Return whether changes of one row must be found together: to count it once, or in partitions that come later."""
    once = stream.counted == "once" and bool(stream.counted_when)
    return (
        once or checks.relation_kind(connection, stream.table) == "p" or bool(checks.children(connection, stream.table))
    )


def key_of(connection: psycopg.Connection, stream: StreamMapping) -> tuple[str, ...]:
    """Return the columns that distinguish a table's rows: those that the mapping names, or the primary key."""
    if stream.key:
        return stream.key
    rows = connection.execute(
        """SELECT a.attname FROM pg_index i
        CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY k(attnum, place)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
        WHERE i.indrelid = to_regclass(%s) AND i.indisprimary AND k.place <= i.indnkeyatts ORDER BY k.place""",
        [stream.table],
    ).fetchall()
    return tuple(name for (name,) in rows)


def key_text(columns: Sequence[str]) -> str:
    """Return SQL of a row's key as text, NULL where a part of it is NULL; `columns` are SQL."""
    if len(columns) == 1:
        return text_of(columns[0])
    none = f"pg_catalog.num_nulls({', '.join(columns)}) OPERATOR(pg_catalog.=) 0"
    return f"CASE WHEN {none} THEN {row_text(columns)} END"


def short_key(key: str) -> str:
    """Return SQL of a key's text that fits in an index: of a long one its hash."""
    hashed = f"encode(sha256(convert_to({key}, getdatabaseencoding())), 'hex')"
    return f"CASE WHEN octet_length({key}) <= 2000 THEN {key} ELSE {hashed} END"


def row_text(columns: Sequence[str]) -> str:
    """Return SQL of some columns as one text."""
    return f"pg_catalog.concat(ROW({', '.join(columns)}))"


def text_of(value: str) -> str:
    """Return SQL of a value as its type writes it, NULL for NULL.

    Not a cast: a type's owner may have made one, and its function would run with our rights. DISTINCT FROM the word
    NULL calls no operator, and a row of NULLs is not NULL to it.
    """
    return f"CASE WHEN {value} IS DISTINCT FROM NULL THEN pg_catalog.concat({value}) END"


def table_sql(number: int, reads: Reads) -> Iterator[str]:
    """Yield the statements that make the table of changes; they may run again, and add the columns that are new."""
    table = f"monitoring.captured_{number}"
    yield f"""CREATE TABLE IF NOT EXISTS {table} (
    slot smallint NOT NULL,
    lsn pg_lsn NOT NULL,  -- read while the row is locked, after its change was logged: the order of one row's changes
    tx xid8 NOT NULL,
    cluster bigint NOT NULL,
    op "char" NOT NULL,
    key text
) PARTITION BY LIST (slot)"""
    yield from (
        f"CREATE TABLE IF NOT EXISTS {table}_{slot} PARTITION OF {table} FOR VALUES IN ({slot})"
        for slot in range(SLOTS)
    )
    yield f"CREATE INDEX IF NOT EXISTS captured_{number}_tx ON {table} (cluster, tx)"
    columns = [f"n{index}" for index in range(1, len(reads.columns) + 1)]
    columns += [f"o{index}" for index in range(1, len(reads.watched) + 1)]
    if columns:
        yield f"ALTER TABLE {table} {', '.join(f'ADD COLUMN IF NOT EXISTS {name} text' for name in columns)}"
    yield f"GRANT SELECT ON {table} TO {schema.EXPORTER}"


def function_sql(number: int, reads: Reads, captured: str) -> str:
    """Return the statement that makes the triggers' function.

    It never makes a statement of the application fail, not even where someone dropped our tables. It runs as its
    owner, so that no role needs a right. Columns are named without a table: where the table has the column, that is
    meant; where it was dropped or renamed meanwhile, the NULL of `gone`, one level further out. Plans are made again
    after the table changed, because a plan depends on the transition table it reads.

    Any SET of a function costs its caller 3 to 5 us, a tenth of a bare INSERT: there is none where it can be
    avoided. The body names the schema of every function, operator, type and table: no search path is needed to find
    them, and none can replace them. The text of values depends on few settings of the session, which are changed for
    the moment where they are not the usual ones.
    """
    bodies = {"I": _inserted, "U": _updated, "D": _deleted if captured == "D" else _forgotten, "T": _truncated}
    operations = {"I": "INSERT", "U": "UPDATE", "D": "DELETE", "T": "TRUNCATE"}
    branches = "\n    ELS".join(
        f"IF TG_OP OPERATOR(pg_catalog.=) '{operations[event]}' THEN\n{bodies[event](number, reads)};"
        for event in captured
    )
    settings = "".join(f"SET {setting} " for setting in reads.settings)
    return f"""CREATE OR REPLACE FUNCTION monitoring.capture_{number}() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER {settings}AS $capture$
#variable_conflict use_column
DECLARE
    platform_slot smallint := {_SLOT};
    platform_pairs bigint;
    platform_changed boolean;
    platform_before pg_catalog.text[];
    platform_set pg_catalog.text[];
BEGIN  -- {settings}
    IF pg_catalog.to_regclass('monitoring.captured_{number}') IS NULL THEN
        RETURN NULL;
    END IF;
    IF NOT ({_USUAL}) THEN
        platform_before := ARRAY[{", ".join(f"pg_catalog.current_setting('{name}')" for name in _SETTINGS)}];
        {_set(f"'{value}'" for value in _SETTINGS.values())};
    END IF;
    {branches}
    END IF;
    IF platform_set IS NOT NULL THEN
        {_set(f"platform_before[{place}]" for place in range(1, len(_SETTINGS) + 1))};
    END IF;
    RETURN NULL;
END $capture$"""


_SETTINGS = {"datestyle": "ISO", "intervalstyle": "postgres", "extra_float_digits": "1"}
"""What the text of values depends on, whatever type a column is given later."""

_USUAL = """pg_catalog.left(pg_catalog.current_setting('datestyle'), 3) OPERATOR(pg_catalog.=) 'ISO'
        AND pg_catalog.current_setting('intervalstyle') OPERATOR(pg_catalog.=) 'postgres'
        AND pg_catalog.current_setting('extra_float_digits')::integer OPERATOR(pg_catalog.>) 0"""


def _set(values: Iterable[str]) -> str:
    """Return a statement that changes the settings: until the transaction ends, or they are set back before."""
    calls = (f"pg_catalog.set_config('{name}', {value}, true)" for name, value in zip(_SETTINGS, values, strict=True))
    return f"platform_set := ARRAY[{', '.join(calls)}]"


_SLOT = f"""pg_catalog.floor(pg_catalog.date_part('epoch', pg_catalog.statement_timestamp())
        OPERATOR(pg_catalog./) 86400)::bigint OPERATOR(pg_catalog.%) {SLOTS}"""
_FIXED = (
    "platform_slot, pg_catalog.pg_current_wal_insert_lsn(), pg_catalog.pg_current_xact_id(), monitoring.cluster_id()"
)
"""No sequence: a number drawn from one would be what the application's own `lastval()` returns."""


def _into(number: int, operation: str, columns: dict[str, str], source: str, names: Sequence[str]) -> str:
    """Return the INSERT of some columns, SQL each.

    All columns are given, in their order and with their types, so that PostgreSQL needs no second node to arrange them.
    """
    columns = {"key": "NULL::pg_catalog.text"} | columns
    listed = ", ".join(["slot", "lsn", "tx", "cluster", "op", *columns])
    return f"""        INSERT INTO monitoring.captured_{number} ({listed})
        SELECT {_FIXED}, '{operation}'::pg_catalog."char", x.*
        {_without_gone(f"SELECT {', '.join(columns.values())} {source}", names)}"""


def _without_gone(query: str, names: Sequence[str]) -> str:
    """Return what stands in FROM: the query as `x`, in which the columns that are gone are NULL."""
    gone = ", ".join(f"NULL::pg_catalog.text AS {quoted(name)}" for name in dict.fromkeys(names)) or "NULL AS nothing"
    return f"""FROM (SELECT {gone}) gone CROSS JOIN LATERAL (
            {query}
        ) x"""


def _seen(reads: Reads, names: Sequence[str]) -> list[str]:
    """Return SQL of columns as a trigger may read them.

    A virtual column in a transition table makes the statement fail, and any column may be made again as one. The
    condition is folded when the statement is planned, which it is again after the table changed.
    """
    if not reads.table:
        return [quoted(name) for name in names]
    table, *texts = (sql.Literal(text).as_string(None) for text in (str(reads.table), *names))
    return [
        f"CASE WHEN monitoring.is_stored({table}, {text}) THEN {quoted(name)} END"
        for text, name in zip(texts, names, strict=True)
    ]


def _rows(number: int, reads: Reads, operation: str, rows: str) -> str:
    columns = _key_column(_seen(reads, reads.key)) | _texts("n", _seen(reads, reads.columns))
    return _into(number, operation, columns, f"FROM {rows}", [*reads.key, *reads.columns])


def _key_column(columns: Sequence[str]) -> dict[str, str]:
    return {"key": key_text(columns)} if columns else {}


def _texts(prefix: str, columns: Sequence[str]) -> dict[str, str]:
    return {f"{prefix}{index}": text_of(column) for index, column in enumerate(columns, 1)}


def _inserted(number: int, reads: Reads) -> str:
    return _rows(number, reads, "I", "new_rows")


def _deleted(number: int, reads: Reads) -> str:
    return _rows(number, reads, "D", "old_rows")


def _forgotten(number: int, reads: Reads) -> str:
    return _into(number, "D", _key_column(_seen(reads, reads.key)), "FROM old_rows", reads.key)


def _truncated(number: int, reads: Reads) -> str:
    return _into(number, "T", {}, "", ())


def _updated(number: int, reads: Reads) -> str:
    """Capture the rows whose watched columns changed.

    Each changed row is added to both transition tables at once, by every kind of statement (also upserts, MERGE, moves
    between partitions), so that the n-th of one and the n-th of the other are the same row. A row that MERGE moves to
    another partition is in neither, but among the deleted ones (PostgreSQL 15 to 18).

    A single row, as most statements change, is compared first, which is cheaper than an INSERT of nothing. Many are
    joined in full, though none lacks its other half, because that is never done by nested loops: the plan is kept, and
    the first statement's few rows say nothing of the next one's.
    """
    names = list(dict.fromkeys([*reads.key, *reads.columns]))
    seen = dict(zip(names, _seen(reads, names), strict=True))
    raw = ", ".join(f"{text} AS r{index}" for index, text in enumerate(seen.values())) or "1 AS nothing"
    at = {name: f"r{index}" for index, name in enumerate(names)}
    old, new = ([f"{alias}.{at[name]}" for name in reads.watched] for alias in "on")
    changed = " OR ".join(map(_differ, old, new)) or "false"
    columns = _key_column([f"n.{at[name]}" for name in reads.key])
    columns |= _texts("n", [f"n.{at[name]}" for name in reads.columns]) | _texts("o", old)
    pairs = "FROM (SELECT {0} FROM old_rows{1}) o {2} (SELECT {0} FROM new_rows{1}) n{3}"
    watched = ", ".join(f"{seen[name]} AS {at[name]}" for name in reads.watched) or "1 AS nothing"
    first = f"SELECT {changed} AS changed {pairs.format(watched, ' LIMIT 2', 'CROSS JOIN', '')}"
    single = pairs.format(raw, "", "CROSS JOIN", "")
    place, on = "pg_catalog.row_number() OVER () AS place", " ON o.place OPERATOR(pg_catalog.=) n.place"
    many = pairs.format(f"{place}, {raw}", "", "FULL JOIN", f"{on} WHERE {changed}")
    return f"""        SELECT pg_catalog.count(*), pg_catalog.bool_or(x.changed) INTO platform_pairs, platform_changed
        {_without_gone(first, reads.watched)};
        IF platform_pairs OPERATOR(pg_catalog.>) 1 THEN
{_into(number, "U", columns, many, names)};
        ELSIF platform_changed THEN
{_into(number, "U", columns, single, names)};
        END IF"""


def _differ(one: str, other: str) -> str:
    """Return SQL that says whether two values have different texts; NULL is not text."""
    texts = f"pg_catalog.concat({one}) OPERATOR(pg_catalog.<>) pg_catalog.concat({other})"
    nulls = f"({one} IS DISTINCT FROM NULL) OPERATOR(pg_catalog.<>) ({other} IS DISTINCT FROM NULL)"
    return f"{texts} OR {nulls}"
