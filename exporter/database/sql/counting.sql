-- Needed in every database that holds a source: cursors, rollups, what is captured, and functions.

CREATE SCHEMA IF NOT EXISTS monitoring;

CREATE TABLE IF NOT EXISTS monitoring.schema_version (
    part text PRIMARY KEY,
    version integer NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- The cluster that a row was written in. After a dump is restored elsewhere, the transaction ids in old rows mean nothing;
-- this distinguishes them from new ones. IMMUTABLE although it reads the control file: it cannot change under a running
-- server, and is then evaluated once a statement rather than once a row (a COPY of 300,000 rows costs the same
-- with and without it; called per row it costs 4 us each). It runs as its owner, because EXECUTE on pg_control_system()
-- may be revoked from those who write rows.
CREATE OR REPLACE FUNCTION monitoring.cluster_id() RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'SELECT system_identifier FROM pg_catalog.pg_control_system()';

-- JSON stored as text may be malformed. It is returned as a JSON string then, which the check for `malformed` rejects.
CREATE OR REPLACE FUNCTION monitoring.try_jsonb(input text) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
    AS $$
BEGIN
    RETURN input::jsonb;
EXCEPTION WHEN OTHERS THEN
    RETURN to_jsonb('malformed'::text);
END $$;

-- Text that should be a number may not be one. It is returned as NaN then, which the check for `not_finite` rejects.
CREATE OR REPLACE FUNCTION monitoring.try_number(input text) RETURNS double precision
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
    AS $$
BEGIN
    RETURN input::double precision;
EXCEPTION WHEN OTHERS THEN
    RETURN 'NaN';
END $$;

-- A text that UTF-8 cannot have: SQL_ASCII holds whatever was sent, and other encodings have letters that UTF-8 lacks. Here
-- all of its letters beyond ASCII are question marks. Only called where the database is not UTF-8.
CREATE OR REPLACE FUNCTION monitoring.readable(input text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
    AS $$
BEGIN
    IF input !~ '[^\u0001-\u007f]' OR convert_to(input, 'UTF8') IS NOT NULL THEN
        RETURN input;
    END IF;
EXCEPTION WHEN untranslatable_character OR character_not_in_repertoire THEN
    RETURN regexp_replace(input, '[^\u0001-\u007f]', '?', 'g');
END $$;

-- The rows of a window that make a mapping's own expressions fail. Only called after one did: it tries row by row.
-- `window_query` gives (table's oid, ctid); `row_query` reads one row, named by $1 and $2, as the mapping reads it.
CREATE OR REPLACE FUNCTION monitoring.failing_rows(window_query text, row_query text) RETURNS SETOF text
    LANGUAGE plpgsql
    AS $$
DECLARE
    place record;
BEGIN
    FOR place IN EXECUTE window_query LOOP
        BEGIN
            EXECUTE row_query USING place.tableoid, place.ctid;
        EXCEPTION WHEN data_exception OR feature_not_supported OR program_limit_exceeded THEN
            RETURN NEXT place.tableoid::text || place.ctid::text;
        END;
    END LOOP;
END $$;

-- One row a source. The replica that locks it advances the source; the others only read.
CREATE TABLE IF NOT EXISTS monitoring.source (
    name text PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- How far each table of a source is counted: everything visible in `snapshot`, in the cluster named.
CREATE TABLE IF NOT EXISTS monitoring.cursor (
    source text NOT NULL,
    stream text NOT NULL,
    relation text NOT NULL,
    system_identifier bigint NOT NULL,
    snapshot pg_snapshot NOT NULL,
    advanced_at timestamptz NOT NULL,
    PRIMARY KEY (source, stream)
);

-- Clusters a stream was counted in before, and the last transaction there that any of its rows can have. Where the
-- database returns to one of them, only what is written after that is new.
CREATE TABLE IF NOT EXISTS monitoring.former_cluster (
    source text NOT NULL,
    stream text NOT NULL,
    system_identifier bigint NOT NULL,
    last_tx xid8 NOT NULL,
    PRIMARY KEY (source, stream, system_identifier)
);

-- The counters themselves. `value` is a counter's or gauge's value, or a histogram's count; `total` a histogram's
-- sum; `buckets` its cumulative counts without +Inf; `at` when a gauge's value was taken, in Unix seconds.
CREATE TABLE IF NOT EXISTS monitoring.rollup (
    source text NOT NULL,
    stream text NOT NULL,
    budget text,
    metric text NOT NULL,
    type text NOT NULL,
    labels jsonb NOT NULL,
    value double precision NOT NULL,
    total double precision,
    buckets double precision[],
    at double precision,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (source, stream, metric, type, labels)
) WITH (fillfactor = 70);
-- What is shown is greatest(value - base, held), and the same of `total` and `buckets`; both columns hold these in one
-- array and are NULL but for: `held`, the highest that was shown before this database went back (a failover that lost
-- commits, a restored backup); `base`, where the series began again (exporter/aggregation/shown.py).
ALTER TABLE monitoring.rollup
    ADD COLUMN IF NOT EXISTS held double precision[],
    ADD COLUMN IF NOT EXISTS base double precision[];
-- When its newest event was counted: a series without events makes room for others (exporter/aggregation/label_sets.py).
ALTER TABLE monitoring.rollup ADD COLUMN IF NOT EXISTS counted_at timestamptz NOT NULL DEFAULT now();
-- Of a histogram the newest events with a trace, by the bucket's place from 0: {"3": [value, Unix seconds, trace id]}.
ALTER TABLE monitoring.rollup ADD COLUMN IF NOT EXISTS exemplars jsonb;
-- The history of a database: it is another one after a failover, a restore or a copy. See snapshot.py.
ALTER TABLE monitoring.cursor ADD COLUMN IF NOT EXISTS history text;
-- Of a table that may only be read: the time up to which its rows are counted. Its snapshot says nothing of them then.
ALTER TABLE monitoring.cursor ADD COLUMN IF NOT EXISTS position timestamptz;

-- What the rows that retention removed had added to each metric, less what series had counted that ended: counters are
-- the rows there are and these. The row without a source says since when removals are recorded.
CREATE TABLE IF NOT EXISTS monitoring.removed (
    source text NOT NULL,
    stream text NOT NULL,
    metric text NOT NULL,
    detail text NOT NULL,
    value double precision NOT NULL,
    total double precision NOT NULL,
    buckets double precision NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, stream, metric, detail)
) WITH (fillfactor = 70);
INSERT INTO monitoring.removed VALUES ('', '', '', '', 0, 0, 0) ON CONFLICT DO NOTHING;

-- Values that are not understood: an example of each column's, and how many rows had one, for `doctor`.
CREATE TABLE IF NOT EXISTS monitoring.unknown_value (
    source text NOT NULL,
    stream text NOT NULL,
    name text NOT NULL,
    example text NOT NULL,
    rows bigint NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_seen timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, stream, name)
);

-- When each user and session, as a hash, was last active: only for counting distinct users and sessions in the last days.
CREATE TABLE IF NOT EXISTS monitoring.actor (
    source text NOT NULL,
    app text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('user', 'session')),
    id bigint NOT NULL,
    last_seen timestamptz NOT NULL,
    PRIMARY KEY (source, app, kind, id)
) WITH (fillfactor = 70);
CREATE INDEX IF NOT EXISTS actor_last_seen ON monitoring.actor (source, last_seen);

-- Occurrences of one error, grouped. A resolved issue that occurs again is a regression.
CREATE TABLE IF NOT EXISTS monitoring.error_issue (
    app text NOT NULL,
    fingerprint text NOT NULL,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'resolved', 'ignored')),
    severity text NOT NULL,
    error_type text NOT NULL,
    message text,
    endpoint text,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    events bigint NOT NULL,
    regressions bigint NOT NULL DEFAULT 0,
    first_release text,
    last_release text,
    resolved_by text,
    resolved_at timestamptz,
    resolved_release text,
    PRIMARY KEY (app, fingerprint)
);
-- `id` names an issue in commands and addresses; two may share one, by accident or malice: nothing relies on it being
-- unique. `changed_*`: the last change of status, whose history is in `audit`. Ignored until that time or until `events`
-- is that high, whichever comes first; forever where both are NULL. `assignee`: who takes care of it; NULL is nobody.
ALTER TABLE monitoring.error_issue
    ADD COLUMN IF NOT EXISTS id text GENERATED ALWAYS AS (left(md5(app || E'\n' || fingerprint), 16)) STORED,
    ADD COLUMN IF NOT EXISTS changed_by text,
    ADD COLUMN IF NOT EXISTS changed_at timestamptz,
    ADD COLUMN IF NOT EXISTS ignored_until timestamptz,
    ADD COLUMN IF NOT EXISTS ignored_until_events bigint,
    ADD COLUMN IF NOT EXISTS assignee text;
CREATE INDEX IF NOT EXISTS error_issue_id ON monitoring.error_issue (id text_pattern_ops);
CREATE INDEX IF NOT EXISTS error_issue_seen ON monitoring.error_issue (last_seen);
CREATE INDEX IF NOT EXISTS error_issue_ignored ON monitoring.error_issue (ignored_until) WHERE status = 'ignored';

-- The fingerprints of each issue, with what was counted of each: more than one where people merged issues, or where the
-- SDK's rules changed. `former`: only known as what an earlier version of the rules would have made of an issue's events.
CREATE TABLE IF NOT EXISTS monitoring.error_fingerprint (
    app text NOT NULL,
    fingerprint text NOT NULL,
    issue text NOT NULL,
    former boolean NOT NULL DEFAULT false,
    severity text,
    error_type text,
    message text,
    endpoint text,
    first_seen timestamptz,
    last_seen timestamptz,
    events bigint NOT NULL DEFAULT 0,
    first_release text,
    last_release text,
    PRIMARY KEY (app, fingerprint)
);
CREATE INDEX IF NOT EXISTS error_fingerprint_issue ON monitoring.error_fingerprint (app, issue);

-- When each app's releases were first seen: for a resolved issue the order of releases.
CREATE TABLE IF NOT EXISTS monitoring.release (
    app text NOT NULL,
    release text NOT NULL,
    first_seen timestamptz NOT NULL,
    PRIMARY KEY (app, release)
);

-- Since when a job has the schedule that it has: it is expected from then on, also if it never succeeded.
CREATE TABLE IF NOT EXISTS monitoring.job_schedule (
    app text NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    schedule text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (app, kind, name)
);

-- Who did what. `object` is `error_issue/ID` for an issue; `actor` is `exporter` for what happened automatically.
CREATE TABLE IF NOT EXISTS monitoring.audit (
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL,
    object text NOT NULL,
    details jsonb
);
CREATE INDEX IF NOT EXISTS audit_at ON monitoring.audit (at);
CREATE INDEX IF NOT EXISTS audit_object ON monitoring.audit (object, at);

-- What earlier versions wrote of texts that cannot be read stopped their source for ever: it was never shown.
DO $$ BEGIN
    IF getdatabaseencoding() <> 'UTF8' THEN
        DELETE FROM monitoring.rollup WHERE monitoring.readable(labels::text) <> labels::text;
        DELETE FROM monitoring.release WHERE monitoring.readable(app || release) <> app || release;
        DELETE FROM monitoring.actor WHERE monitoring.readable(app) <> app;
        DELETE FROM monitoring.error_issue i WHERE monitoring.readable(i::text) <> i::text;
    END IF;
END $$;

-- Whether `child`, a partition of `parent`, may hold a row that some source has not counted. Where no source counts
-- yet, or the cursors are still those of another cluster, every row may be one.
CREATE OR REPLACE FUNCTION monitoring.has_uncounted(child text, parent text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    c monitoring.cursor;
    counted boolean := false;
    waiting boolean;
BEGIN
    FOR c IN SELECT * FROM monitoring.cursor WHERE relation = 'monitoring.' || parent LOOP
        counted := true;
        IF c.system_identifier <> monitoring.cluster_id() THEN
            RETURN true;
        END IF;
        EXECUTE format('SELECT EXISTS (SELECT FROM monitoring.%I WHERE cluster = %L AND tx >= pg_snapshot_xmin(%L) '
            'AND tx < pg_snapshot_xmax(pg_current_snapshot()) AND NOT pg_visible_in_snapshot(tx, %L))', child, c.system_identifier, c.snapshot, c.snapshot)
            INTO waiting;
        IF waiting THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN NOT counted;
END $$;

-- What `adopt` captures of the tables of applications: number N has the function capture_N, its triggers on the table
-- and its partitions, and the table captured_N, whose n1 ... hold `columns` as text and whose o1 ... hold what `watched`
-- held before a change. `events`: which changes, of I(nsert), U(pdate), D(elete), T(runcate).
CREATE TABLE IF NOT EXISTS monitoring.capture (
    number integer PRIMARY KEY,
    source text NOT NULL,
    stream text NOT NULL,
    relation text NOT NULL,
    mapping jsonb NOT NULL,
    columns text[] NOT NULL,
    types text[] NOT NULL,
    watched text[] NOT NULL,
    key text[] NOT NULL,
    events text NOT NULL,
    adopted_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (source, stream)
);

-- Partitions that came with rows in them: the next poll counts those that were not captured.
CREATE TABLE IF NOT EXISTS monitoring.capture_pending (
    number integer NOT NULL REFERENCES monitoring.capture ON DELETE CASCADE,
    relation regclass NOT NULL,
    PRIMARY KEY (number, relation)
);

-- Rows that were counted and do not meet their condition now: they are not counted when they meet it again.
CREATE TABLE IF NOT EXISTS monitoring.counted_key (
    number integer NOT NULL REFERENCES monitoring.capture ON DELETE CASCADE,
    key text NOT NULL,
    PRIMARY KEY (number, key)
);

-- Whether a table's column is no virtual one (PostgreSQL 18), which triggers cannot read. IMMUTABLE although a column may be
-- made again: statements that call it are planned again when their table has changed.
CREATE OR REPLACE FUNCTION monitoring.is_stored(relation text, name text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$
SELECT NOT EXISTS (SELECT FROM pg_attribute
    WHERE attrelid = to_regclass(relation) AND attname = name AND attgenerated = 'v')
$$;

-- The tables of capture N: the one named, its partitions and its children; and whether all triggers are there, and work.
CREATE OR REPLACE FUNCTION monitoring.captured_tables(number integer) RETURNS TABLE (relation regclass, complete boolean)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
WITH RECURSIVE tree AS (
    SELECT to_regclass(c.relation) AS relation, c.events, true AS root FROM monitoring.capture c WHERE c.number = $1
    UNION SELECT i.inhrelid::regclass, tree.events, false FROM pg_inherits i JOIN tree ON i.inhparent = tree.relation
)
SELECT tree.relation, length(CASE WHEN tree.root THEN tree.events ELSE translate(tree.events, 'T', '') END) <= (
    SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = tree.relation AND t.tgenabled = 'A'
        AND t.tgfoid = to_regproc(format('monitoring.capture_%s', $1)))
FROM tree WHERE tree.relation IS NOT NULL
$$;

-- Make the triggers of capture N on a table or partition; rows that a partition holds already are counted by the next
-- poll. It runs as its owner, so that the exporter, which finds new partitions, needs no right to them.
CREATE OR REPLACE FUNCTION monitoring.capture_table(number integer, relation regclass) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    event text;
    clause text;
    made text;
    filled boolean;
    known boolean := EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = $2
        AND t.tgfoid = to_regproc(format('monitoring.capture_%s', $1)));
    capture monitoring.capture;
BEGIN
    SELECT * INTO STRICT capture FROM monitoring.capture c WHERE c.number = $1;
    IF NOT EXISTS (SELECT FROM monitoring.captured_tables($1) t WHERE t.relation = $2) THEN
        RAISE EXCEPTION '% is not a table of capture %', $2, $1;
    END IF;
    FOREACH event IN ARRAY string_to_array(capture.events, NULL) LOOP
        CONTINUE WHEN event = 'T' AND $2 <> to_regclass(capture.relation);  -- emptying one partition empties no other
        clause := CASE event
            WHEN 'I' THEN 'INSERT ON %s REFERENCING NEW TABLE AS new_rows'
            WHEN 'U' THEN 'UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows'
            WHEN 'D' THEN 'DELETE ON %s REFERENCING OLD TABLE AS old_rows'
            ELSE 'TRUNCATE ON %s' END;
        made := format('platform_capture_%s_%s', $1, lower(event));
        IF NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = $2 AND t.tgname = made) THEN
            EXECUTE format('CREATE TRIGGER %I AFTER ' || clause
                || ' FOR EACH STATEMENT EXECUTE FUNCTION monitoring.capture_%s()', made, $2, $1);
        END IF;
        -- In every session, one in the role of a replica too. And what disables all triggers of a table for a while
        -- (pg_restore --disable-triggers) leaves them enabled otherwise: so it is found.
        EXECUTE format('ALTER TABLE ONLY %s ENABLE ALWAYS TRIGGER %I', $2, made);
    END LOOP;
    IF $2 <> to_regclass(capture.relation) THEN
        EXECUTE format('GRANT SELECT ON %s TO platform_exporter', $2);
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', $2) INTO filled;
        IF filled AND NOT known THEN
            INSERT INTO monitoring.capture_pending VALUES ($1, $2) ON CONFLICT DO NOTHING;
        END IF;
    END IF;
    RETURN filled;
END $$;

-- Empty the changes of the day before yesterday, by this server's clock, if every one of them is counted. False means:
-- nothing to do, or not yet. Applications wait for nothing: no change of today or yesterday is in that partition.
CREATE OR REPLACE FUNCTION monitoring.trim_captured(number integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    parent text := format('captured_%s', $1);
    child text := format('%s_%s', parent, (floor(date_part('epoch', now()) / 86400)::bigint + 1) % 3);
    filled boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM monitoring.%I)', child) INTO filled;
    -- What a partition without triggers holds is distinguished by the keys in these rows.
    IF NOT filled OR EXISTS (SELECT FROM monitoring.capture_pending p WHERE p.number = $1)
        OR EXISTS (SELECT FROM monitoring.captured_tables($1) t WHERE NOT t.complete) THEN
        RETURN false;
    END IF;
    EXECUTE format('LOCK TABLE monitoring.%I IN ACCESS EXCLUSIVE MODE NOWAIT', child);
    IF monitoring.has_uncounted(child, parent) THEN
        RETURN false;
    END IF;
    EXECUTE format('TRUNCATE monitoring.%I', child);
    RETURN true;
END $$;
