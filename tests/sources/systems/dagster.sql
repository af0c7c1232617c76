-- Dagster 1.13.27 with dagster-postgres 0.29.27: two tables of its storage, and what it wrote for a run whose mapped step is
-- retried and one that failed; of the events those of steps and runs, without their text.

CREATE TABLE public.event_logs (
    id bigint NOT NULL,
    run_id character varying(255),
    event text NOT NULL,
    dagster_event_type text,
    "timestamp" timestamp without time zone,
    step_key text,
    asset_key text,
    partition text
);
CREATE SEQUENCE public.event_logs_id_seq START WITH 1 INCREMENT BY 1 NO MINVALUE NO MAXVALUE CACHE 1;
ALTER SEQUENCE public.event_logs_id_seq OWNED BY public.event_logs.id;
CREATE TABLE public.runs (
    id bigint NOT NULL,
    run_id character varying(255),
    snapshot_id character varying(255),
    pipeline_name text,
    mode text,
    status character varying(63),
    run_body text,
    partition text,
    partition_set text,
    create_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP,
    update_timestamp timestamp without time zone DEFAULT CURRENT_TIMESTAMP,
    start_time double precision,
    end_time double precision,
    backfill_id character varying(255)
);
CREATE SEQUENCE public.runs_id_seq START WITH 1 INCREMENT BY 1 NO MINVALUE NO MAXVALUE CACHE 1;
ALTER SEQUENCE public.runs_id_seq OWNED BY public.runs.id;
ALTER TABLE ONLY public.event_logs ALTER COLUMN id SET DEFAULT nextval('public.event_logs_id_seq'::regclass);
ALTER TABLE ONLY public.runs ALTER COLUMN id SET DEFAULT nextval('public.runs_id_seq'::regclass);
ALTER TABLE ONLY public.event_logs ADD CONSTRAINT event_logs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.runs ADD CONSTRAINT runs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.runs ADD CONSTRAINT runs_run_id_key UNIQUE (run_id);

-- writes
INSERT INTO public.runs (id, run_id, pipeline_name, status, create_timestamp, update_timestamp) VALUES (6, '45ab9e1d-7f40-431b-be20-61b71c21877e', 'orders', 'NOT_STARTED', '2024-11-30T07:04:33.726095', '2024-11-30T07:04:34.168691');
INSERT INTO public.event_logs (id, run_id, event, dagster_event_type, timestamp) VALUES (52, '45ab9e1d-7f40-431b-be20-61b71c21877e', '{}', 'PIPELINE_START', '2024-11-30T07:04:34.22722');
UPDATE public.runs SET status = 'STARTED', start_time = 1732950274.22722, update_timestamp = '2024-11-30T07:04:34.22722' WHERE id = 6;
INSERT INTO public.event_logs (id, run_id, event, dagster_event_type, timestamp, step_key) VALUES (57, '45ab9e1d-7f40-431b-be20-61b71c21877e', '{}', 'STEP_START', '2024-11-30T07:04:34.877146', 'pages');
INSERT INTO public.event_logs (id, run_id, event, dagster_event_type, timestamp, step_key) VALUES (58, '45ab9e1d-7f40-431b-be20-61b71c21877e', '{}', 'STEP_OUTPUT', '2024-11-30T07:04:34.984941', 'pages');
INSERT INTO public.event_logs (id, run_id, event, dagster_event_type, timestamp, step_key) VALUES (60, '45ab9e1d-7f40-431b-be20-61b71c21877e', '{}', 'STEP_OUTPUT', '2024-11-30T07:04:35.090853', 'pages');
INSERT INTO public.event_logs (id, run_id, event, dagster_event_type, timestamp, step_key) VALUES (62, '45ab9e1d-7f40-431b-be20-61b71c21877e', '{}', 'STEP_SUCCESS', '2024-11-30T07:04:35.16845', 'pages');
INSERT INTO public.event_logs (id, run_id, event, dagster_event_type, timestamp, step_key) VALUES (63, '45ab9e1d-7f40-431b-be20-61b71c21877e', '{}', 'STEP_START', '2024-11-30T07:04:35.240385', 'load[0]');
INSERT INTO public.event_logs (id, run_id, event, dagster_event_type, timestamp, step_key) VALUES (65, '45ab9e1d-7f40-431b-be20-61b71c21877e', '{}', 'STEP_INPUT', '2024-11-30T07:04:35.343038', 'load[0]');
INSERT INTO public.event_logs (id, run_id, event, dagster_event_type, timestamp, step_key) VALUES (66, '45ab9e1d-7f40-431b-be20-61b71c21877e', '{}', 'STEP_UP_FOR_RETRY', '2024-11-30T07:04:35.390706', 'load[0]');
INSERT INTO public.event_logs (id, run_id, event, dagster_event_type, timestamp, step_key) VALUES (67, '45ab9e1d-7f40-431b-be20-61b71c21877e', '{}', 'STEP_START', '2024-11-30T07:04:35.434206', 'load[1]');
INSERT INTO public.event_logs (id, run_id, event, dagster_event_type, timestamp, step_key) VALUES (69, '45ab9e1d-7f40-431b-be20-61b71c21877e', '{}', 'STEP_INPUT', '2024-11-30T07:04:35.546801', 'load[1]');
INSERT INTO public.event_logs (id, run_id, event, dagster_event_type, timestamp, step_key) VALUES (70, '45ab9e1d-7f40-431b-be20-61b71c21877e', '{}', 'STEP_OUTPUT', '2024-11-30T07:04:35.599303', 'load[1]');
INSERT INTO public.event_logs (id, run_id, event, dagster_event_type, timestamp, step_key) VALUES (72, '45ab9e1d-7f40-431b-be20-61b71c21877e', '{}', 'STEP_SUCCESS', '2024-11-30T07:04:35.712997', 'load[1]');
INSERT INTO public.event_logs (id, run_id, event, dagster_event_type, timestamp, step_key) VALUES (73, '45ab9e1d-7f40-431b-be20-61b71c21877e', '{}', 'STEP_RESTARTED', '2024-11-30T07:04:35.787214', 'load[0]');
INSERT INTO public.event_logs (id, run_id, event, dagster_event_type, timestamp, step_key) VALUES (75, '45ab9e1d-7f40-431b-be20-61b71c21877e', '{}', 'STEP_INPUT', '2024-11-30T07:04:35.875748', 'load[0]');
INSERT INTO public.event_logs (id, run_id, event, dagster_event_type, timestamp, step_key) VALUES (76, '45ab9e1d-7f40-431b-be20-61b71c21877e', '{}', 'STEP_OUTPUT', '2024-11-30T07:04:35.922069', 'load[0]');
INSERT INTO public.event_logs (id, run_id, event, dagster_event_type, timestamp, step_key) VALUES (78, '45ab9e1d-7f40-431b-be20-61b71c21877e', '{}', 'STEP_SUCCESS', '2024-11-30T07:04:36.026792', 'load[0]');
INSERT INTO public.event_logs (id, run_id, event, dagster_event_type, timestamp) VALUES (80, '45ab9e1d-7f40-431b-be20-61b71c21877e', '{}', 'PIPELINE_SUCCESS', '2024-11-30T07:04:36.174951');
UPDATE public.runs SET status = 'SUCCESS', end_time = 1732950276.174951, update_timestamp = '2024-11-30T07:04:36.174951' WHERE id = 6;
INSERT INTO public.runs (id, run_id, pipeline_name, status, create_timestamp, update_timestamp) VALUES (7, '9df0e039-4e46-4904-aedb-105fff57f06c', 'broken', 'NOT_STARTED', '2024-11-30T07:04:36.697446', '2024-11-30T07:04:36.801484');
INSERT INTO public.event_logs (id, run_id, event, dagster_event_type, timestamp) VALUES (81, '9df0e039-4e46-4904-aedb-105fff57f06c', '{}', 'PIPELINE_START', '2024-11-30T07:04:36.82976');
UPDATE public.runs SET status = 'STARTED', start_time = 1732950276.82976, update_timestamp = '2024-11-30T07:04:36.82976' WHERE id = 7;
INSERT INTO public.event_logs (id, run_id, event, dagster_event_type, timestamp, step_key) VALUES (86, '9df0e039-4e46-4904-aedb-105fff57f06c', '{}', 'STEP_START', '2024-11-30T07:04:37.478981', 'fails');
INSERT INTO public.event_logs (id, run_id, event, dagster_event_type, timestamp, step_key) VALUES (87, '9df0e039-4e46-4904-aedb-105fff57f06c', '{}', 'STEP_FAILURE', '2024-11-30T07:04:37.624192', 'fails');
INSERT INTO public.event_logs (id, run_id, event, dagster_event_type, timestamp) VALUES (89, '9df0e039-4e46-4904-aedb-105fff57f06c', '{}', 'PIPELINE_FAILURE', '2024-11-30T07:04:37.949106');
UPDATE public.runs SET status = 'FAILURE', end_time = 1732950277.949106, update_timestamp = '2024-11-30T07:04:37.949106' WHERE id = 7;

-- = background_task_duration_seconds_count{queue=run, task=broken} 1
-- = background_task_duration_seconds_count{queue=run, task=orders} 1
-- = background_task_duration_seconds_count{queue=step, task=broken.fails} 1
-- = background_task_duration_seconds_count{queue=step, task=orders.load} 3
-- = background_task_duration_seconds_count{queue=step, task=orders.pages} 1
-- = background_task_duration_seconds_sum{queue=run, task=broken} 1.11935
-- = background_task_duration_seconds_sum{queue=run, task=orders} 1.94773
-- = background_task_duration_seconds_sum{queue=step, task=broken.fails} 0.145211
-- = background_task_duration_seconds_sum{queue=step, task=orders.load} 0.66869
-- = background_task_duration_seconds_sum{queue=step, task=orders.pages} 0.291304
-- = background_task_wait_seconds_count{queue=run, task=broken} 1
-- = background_task_wait_seconds_count{queue=run, task=orders} 1
-- = background_task_wait_seconds_sum{queue=run, task=broken} 0.132314
-- = background_task_wait_seconds_sum{queue=run, task=orders} 0.501125
-- = background_tasks_total{outcome=failure, queue=run, task=broken} 1
-- = background_tasks_total{outcome=failure, queue=step, task=broken.fails} 1
-- = background_tasks_total{outcome=retry, queue=step, task=orders.load} 1
-- = background_tasks_total{outcome=success, queue=run, task=orders} 1
-- = background_tasks_total{outcome=success, queue=step, task=orders.load} 2
-- = background_tasks_total{outcome=success, queue=step, task=orders.pages} 1
