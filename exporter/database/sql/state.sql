-- State rather than events: live jobs, the history of notifications, and the SDK's ledger.

CREATE TABLE IF NOT EXISTS monitoring.scraping_job (
    app text NOT NULL,
    job_id text NOT NULL,
    scraper text NOT NULL,
    site text,
    status text NOT NULL CHECK (status IN ('pending', 'running', 'completed', 'failed', 'cancelled')),
    progress double precision,
    total_items bigint,
    completed_items bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    heartbeat_at timestamptz,
    progressed_at timestamptz,
    finished_at timestamptz,
    PRIMARY KEY (app, job_id)
);
-- When progress, completed items or status last changed; NULL where the job's writer does not set it.
ALTER TABLE monitoring.scraping_job ADD COLUMN IF NOT EXISTS progressed_at timestamptz;
CREATE INDEX IF NOT EXISTS scraping_job_live ON monitoring.scraping_job (status)
    WHERE status IN ('pending', 'running');

CREATE TABLE IF NOT EXISTS monitoring.alert_notification (
    group_key text NOT NULL,
    fingerprint text NOT NULL,
    status text NOT NULL CHECK (status IN ('firing', 'resolved')),
    starts_at timestamptz NOT NULL,
    ends_at timestamptz,
    received_at timestamptz NOT NULL DEFAULT now(),
    receiver text NOT NULL,
    labels jsonb NOT NULL,
    annotations jsonb NOT NULL,
    PRIMARY KEY (fingerprint, starts_at, status, group_key)
);
-- A repeated notification has no row of its own: it is counted in `repeats`, and `last_received_at` is its time.
ALTER TABLE monitoring.alert_notification ADD COLUMN IF NOT EXISTS repeats bigint NOT NULL DEFAULT 0;
ALTER TABLE monitoring.alert_notification ADD COLUMN IF NOT EXISTS last_received_at timestamptz;
CREATE INDEX IF NOT EXISTS alert_notification_received_at ON monitoring.alert_notification (received_at);

-- Alerts that a person made: they fire until that or another person resolves them.
CREATE TABLE IF NOT EXISTS monitoring.manual_alert (
    id text PRIMARY KEY,
    alertname text NOT NULL,
    severity text NOT NULL CHECK (severity IN ({severities})),
    app text,
    labels jsonb NOT NULL DEFAULT '{}',
    annotations jsonb NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    resolved_by text,
    resolved_at timestamptz
);
CREATE INDEX IF NOT EXISTS manual_alert_open ON monitoring.manual_alert (created_at) WHERE resolved_at IS NULL;

CREATE TABLE IF NOT EXISTS monitoring.sdk_ledger (
    app text NOT NULL,
    process text NOT NULL,
    produced bigint NOT NULL DEFAULT 0,
    stored bigint NOT NULL DEFAULT 0,
    spooled bigint NOT NULL DEFAULT 0,
    dropped jsonb NOT NULL DEFAULT '{}',
    started_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    PRIMARY KEY (app, process)
);
ALTER TABLE monitoring.sdk_ledger ADD COLUMN IF NOT EXISTS ended_at timestamptz;
-- When the row was last written by this server's clock: `updated_at` is by the clock of the process, which may be wrong.
ALTER TABLE monitoring.sdk_ledger ADD COLUMN IF NOT EXISTS written_at timestamptz NOT NULL DEFAULT now();
CREATE OR REPLACE FUNCTION monitoring.note_written() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    NEW.written_at := now();
    RETURN NEW;
END $$;
DROP TRIGGER IF EXISTS note_written ON monitoring.sdk_ledger;
CREATE TRIGGER note_written BEFORE UPDATE ON monitoring.sdk_ledger
    FOR EACH ROW EXECUTE FUNCTION monitoring.note_written();

-- A writer that may send a batch twice (after a broken connection) first inserts the batch's id in the same
-- transaction: a second time that fails, and nothing of the batch is stored again.
CREATE TABLE IF NOT EXISTS monitoring.batch (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS batch_at ON monitoring.batch USING brin (at);

-- The schemas of the views that Grafana reads; and the salt of the hashes of users in them, which identify nobody.
CREATE SCHEMA IF NOT EXISTS monitoring_views;
CREATE SCHEMA IF NOT EXISTS monitoring_restricted;
CREATE TABLE IF NOT EXISTS monitoring.view_salt (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    salt uuid NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO monitoring.view_salt DEFAULT VALUES ON CONFLICT DO NOTHING;
