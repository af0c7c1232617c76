-- Daily partitions of the event tables. The functions run with their owner's rights, so that the exporter's role
-- needs no right to create or drop anything else.

-- Times are written into statements here: as ISO and UTC, because `IST` in a session's own style means three zones.
CREATE OR REPLACE FUNCTION monitoring.ensure_partition(kind text, day date) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO' SET timezone = 'UTC'
    AS $$
DECLARE
    child text := kind || '_' || to_char(day, 'YYYYMMDD');
    starts timestamptz := day::timestamp AT TIME ZONE 'UTC';
    ends timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF to_regclass(format('monitoring.%I', child)) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- CREATE ... PARTITION OF would lock the parent against every writer; ATTACH does not.
    EXECUTE format('CREATE TABLE monitoring.%I (LIKE monitoring.%I INCLUDING ALL)', child, kind);
    -- Rows older than their partition wait in the default one. They keep their tx, so that none is counted twice.
    EXECUTE format('LOCK TABLE monitoring.%I IN ACCESS EXCLUSIVE MODE', kind || '_default');
    EXECUTE format(
        'WITH moved AS (DELETE FROM monitoring.%I WHERE at >= %L AND at < %L RETURNING *) '
        'INSERT INTO monitoring.%I SELECT * FROM moved', kind || '_default', starts, ends, child);
    EXECUTE format('ALTER TABLE monitoring.%I ATTACH PARTITION monitoring.%I FOR VALUES FROM (%L) TO (%L)',
        kind, child, starts, ends);
    RETURN true;
END $$;

-- Whether `child` holds rows that a snapshot did not see: they are missing in what was read with it.
CREATE OR REPLACE FUNCTION monitoring.has_newer(child text, as_of pg_snapshot) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    newer boolean := false;
BEGIN
    IF as_of IS NOT NULL THEN
        EXECUTE format('SELECT EXISTS (SELECT FROM monitoring.%I WHERE cluster = monitoring.cluster_id() '
            'AND tx >= pg_snapshot_xmin(%L) AND NOT pg_visible_in_snapshot(tx, %L))', child, as_of, as_of) INTO newer;
    END IF;
    RETURN newer;
END $$;

-- Drop one day if every row in it is counted, and was seen by `as_of`. False means: not yet, try again later. A day that is not over by this
-- server's clock stays, whoever asks: the clock there may be wrong.
DROP FUNCTION IF EXISTS monitoring.drop_partition(text, date);
CREATE OR REPLACE FUNCTION monitoring.drop_partition(kind text, day date, as_of pg_snapshot DEFAULT NULL) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    child text := kind || '_' || to_char(day, 'YYYYMMDD');
    today date := (now() AT TIME ZONE 'UTC')::date;
BEGIN
    IF (day < today) IS NOT TRUE THEN
        RAISE EXCEPTION 'invalid day % for a partition of monitoring.% to drop: expected a day before %', day, kind, today
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Compare this server''s clock with your host''s: SELECT now();';
    END IF;
    -- The parent first, as every reader and writer does: the other order could deadlock. Only after both are locked
    -- has every writer to this day committed or gone. Another replica may have dropped it meanwhile.
    EXECUTE format('LOCK TABLE ONLY monitoring.%I IN ACCESS EXCLUSIVE MODE', kind);
    IF to_regclass(format('monitoring.%I', child)) IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('LOCK TABLE monitoring.%I IN ACCESS EXCLUSIVE MODE', child);
    IF monitoring.has_uncounted(child, kind) OR monitoring.has_newer(child, as_of) THEN
        RETURN false;
    END IF;
    EXECUTE format('DROP TABLE monitoring.%I', child);
    RETURN true;
END $$;

-- Rows outside every daily partition are few (a writer's clock was wrong); only here rows are deleted, the oldest three
-- days of them, and none that this server's clock has not reached.
DROP FUNCTION IF EXISTS monitoring.trim_default(text, timestamptz);
CREATE OR REPLACE FUNCTION monitoring.trim_default(kind text, before timestamptz, as_of pg_snapshot DEFAULT NULL)
    RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO' SET timezone = 'UTC'
    AS $$
DECLARE
    trimmed bigint := 0;
BEGIN
    IF (before <= now()) IS NOT TRUE THEN
        RAISE EXCEPTION 'invalid time % to trim monitoring.%_default before: expected a time before %', before, kind, now()
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Compare this server''s clock with your host''s: SELECT now();';
    END IF;
    EXECUTE format('LOCK TABLE monitoring.%I IN ACCESS EXCLUSIVE MODE', kind || '_default');
    IF NOT (monitoring.has_uncounted(kind || '_default', kind) OR monitoring.has_newer(kind || '_default', as_of)) THEN
        EXECUTE format('DELETE FROM monitoring.%1$I WHERE at < %2$L '
            'AND at <= (SELECT min(at) FROM monitoring.%1$I) + make_interval(days => 3)', kind || '_default', before);
        GET DIAGNOSTICS trimmed = ROW_COUNT;
    END IF;
    RETURN trimmed;
END $$;
