-- Which apps a login may write, where its administrator has said so: a login without an entry may write any.
CREATE TABLE IF NOT EXISTS monitoring.writer_app (
    login text NOT NULL,
    app text NOT NULL,
    PRIMARY KEY (login, app)
);

-- Who wrote a row: the login, whatever role it has taken. NULL in rows of earlier versions.
ALTER TABLE monitoring.scraping_job ADD COLUMN IF NOT EXISTS writer text;
ALTER TABLE monitoring.scraping_job ALTER COLUMN writer SET DEFAULT session_user;
ALTER TABLE monitoring.sdk_ledger ADD COLUMN IF NOT EXISTS writer text;
ALTER TABLE monitoring.sdk_ledger ALTER COLUMN writer SET DEFAULT session_user;

-- Whether the session may write events of this app.
CREATE OR REPLACE FUNCTION monitoring.may_write(app text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ SELECT coalesce(bool_or(entry.app = $1), true) FROM monitoring.writer_app entry WHERE login = session_user $$;

-- Whether a row of state is the session's own: of an app that is its, or where it has none, written by its login or by
-- one that it is a member of.
CREATE OR REPLACE FUNCTION monitoring.is_own(app text, writer text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    SELECT coalesce(bool_or(entry.app = $1), coalesce($2 = session_user
        OR (to_regrole(quote_ident($2)) IS NOT NULL AND pg_has_role(session_user, $2, 'MEMBER')), true))
    FROM monitoring.writer_app entry WHERE login = session_user
    $$;

-- Whether the current user has the rights of a role. Policies ask this rather than name a role, which a database that
-- a dump is restored into may lack.
CREATE OR REPLACE FUNCTION monitoring.has_role(name text) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1 AND pg_has_role(current_user, oid, 'USAGE')) $$;

-- The SDK adds to these with ON CONFLICT, which needs the right to read them. So each login sees its own rows only.
DO $$
DECLARE
    state text;
BEGIN
    FOREACH state IN ARRAY ARRAY['scraping_job', 'sdk_ledger'] LOOP
        EXECUTE format('ALTER TABLE monitoring.%I ENABLE ROW LEVEL SECURITY', state);
        EXECUTE format('DROP POLICY IF EXISTS exporter ON monitoring.%I', state);
        EXECUTE format('CREATE POLICY exporter ON monitoring.%I USING ((SELECT monitoring.has_role(''platform_exporter'')))', state);
        EXECUTE format('DROP POLICY IF EXISTS writer ON monitoring.%I', state);
        EXECUTE format('CREATE POLICY writer ON monitoring.%I USING ((SELECT monitoring.has_role(''platform_writer'')) '
            'AND monitoring.is_own(app, writer))', state);
        -- A new row without its writer would be everyone's, as those of earlier versions are.
        EXECUTE format('DROP POLICY IF EXISTS writer_known ON monitoring.%I', state);
        EXECUTE format('CREATE POLICY writer_known ON monitoring.%I AS RESTRICTIVE FOR INSERT WITH CHECK (writer IS NOT NULL)', state);
    END LOOP;
END $$;

-- Refuses events of apps that are not the login's. A trigger, as COPY does not work with row-level security. On another's
-- table a cast of its column's type would run with our rights: there it reads nothing.
CREATE OR REPLACE FUNCTION monitoring.check_app() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    other text;
BEGIN
    IF TG_TABLE_SCHEMA <> 'monitoring' THEN
        RAISE EXCEPTION 'monitoring.check_app() is for tables of schema monitoring, not for %.%', TG_TABLE_SCHEMA, TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    SELECT added.app INTO other FROM added WHERE NOT monitoring.may_write(added.app) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'login % may not write events of app %', session_user, quote_literal(left(other, 100))
            USING ERRCODE = 'insufficient_privilege', HINT = 'SELECT monitoring.bind_writer(LOGIN, APP) allows it.';
    END IF;
    RETURN NULL;
END $$;

-- The check is on the tables of events only while a login is bound, and on no other table: captured_N has no app.
CREATE OR REPLACE FUNCTION monitoring.set_checks() RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    bound boolean := EXISTS (SELECT FROM monitoring.writer_app);
    kind record;
BEGIN
    FOR kind IN SELECT relname, bound AND relname IN ({kinds}) AS to_check, EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgname = 'check_app') AS checked
        FROM pg_class c WHERE relnamespace = 'monitoring'::regnamespace AND relkind = 'p'
    LOOP
        IF kind.to_check AND NOT kind.checked THEN
            EXECUTE format('CREATE TRIGGER check_app AFTER INSERT ON monitoring.%I REFERENCING NEW TABLE AS added '
                'FOR EACH STATEMENT EXECUTE FUNCTION monitoring.check_app()', kind.relname);
        ELSIF kind.checked AND NOT kind.to_check THEN
            EXECUTE format('DROP TRIGGER check_app ON monitoring.%I', kind.relname);
        END IF;
    END LOOP;
END $$;
SELECT monitoring.set_checks();

-- Let a login write events of these apps, and of no others; without an app any again.
CREATE OR REPLACE FUNCTION monitoring.bind_writer(login text, VARIADIC apps text[] DEFAULT '{}') RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    IF to_regrole(quote_ident(login)) IS NULL THEN
        RAISE EXCEPTION 'login % does not exist', quote_literal(login) USING ERRCODE = 'undefined_object';
    ELSIF cardinality(apps) > 0 AND NOT (SELECT rolcanlogin FROM pg_roles WHERE rolname = $1) THEN
        RAISE EXCEPTION 'role % cannot sign in, and its members would not be bound: expected a login', quote_literal(login)
            USING ERRCODE = 'wrong_object_type', HINT = 'Bind each login that is a member of it.';
    END IF;
    DELETE FROM monitoring.writer_app entry WHERE entry.login = $1;
    INSERT INTO monitoring.writer_app SELECT DISTINCT $1, app FROM unnest(apps) app;
    PERFORM monitoring.set_checks();
END $$;
REVOKE EXECUTE ON FUNCTION monitoring.bind_writer(text, text[]) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION monitoring.set_checks() FROM PUBLIC;
