-- Airflow 3.3.2: two tables of its metadata database, and what its scheduler and tasks wrote for a run with a retry and a skipped
-- task, a run that failed, and the first run again after `airflow tasks clear`.

CREATE TABLE public.dag_run (
    id integer NOT NULL,
    dag_id character varying(250) NOT NULL,
    queued_at timestamp with time zone,
    logical_date timestamp with time zone,
    start_date timestamp with time zone,
    end_date timestamp with time zone,
    state character varying(50),
    run_id character varying(250) NOT NULL,
    creating_job_id integer,
    run_type character varying(50) NOT NULL,
    triggered_by character varying(50),
    triggering_user_name character varying(512),
    conf jsonb,
    data_interval_start timestamp with time zone,
    data_interval_end timestamp with time zone,
    run_after timestamp with time zone NOT NULL,
    last_scheduling_decision timestamp with time zone,
    log_template_id integer,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    clear_number integer DEFAULT 0 NOT NULL,
    backfill_id integer,
    bundle_version character varying(250),
    scheduled_by_job_id integer,
    context_carrier jsonb,
    span_status character varying(250) DEFAULT 'not_started'::character varying NOT NULL,
    created_dag_version_id uuid,
    partition_key character varying(250),
    partition_date timestamp with time zone
);
CREATE SEQUENCE public.dag_run_id_seq
    AS integer START WITH 1 INCREMENT BY 1 NO MINVALUE NO MAXVALUE CACHE 1;
ALTER SEQUENCE public.dag_run_id_seq OWNED BY public.dag_run.id;
CREATE TABLE public.task_instance (
    id uuid NOT NULL,
    task_id character varying(250) NOT NULL,
    dag_id character varying(250) NOT NULL,
    run_id character varying(250) NOT NULL,
    map_index integer DEFAULT '-1'::integer NOT NULL,
    start_date timestamp with time zone,
    end_date timestamp with time zone,
    duration double precision,
    state character varying(20),
    try_number integer NOT NULL,
    max_tries integer DEFAULT '-1'::integer NOT NULL,
    hostname character varying(1000),
    unixname character varying(1000),
    pool character varying(256) NOT NULL,
    pool_slots integer NOT NULL,
    queue character varying(256),
    priority_weight integer,
    operator character varying(1000),
    custom_operator_name character varying(1000),
    queued_dttm timestamp with time zone,
    scheduled_dttm timestamp with time zone,
    queued_by_job_id integer,
    last_heartbeat_at timestamp with time zone,
    pid integer,
    executor character varying(1000),
    executor_config bytea,
    updated_at timestamp with time zone,
    rendered_map_index character varying(250),
    context_carrier jsonb,
    span_status character varying(250) DEFAULT 'not_started'::character varying NOT NULL,
    external_executor_id text,
    trigger_id integer,
    trigger_timeout timestamp with time zone,
    next_method character varying(1000),
    next_kwargs jsonb,
    task_display_name character varying(2000),
    dag_version_id uuid,
    retry_delay_override double precision,
    retry_reason character varying(500)
);
ALTER TABLE ONLY public.dag_run ALTER COLUMN id SET DEFAULT nextval('public.dag_run_id_seq'::regclass);
ALTER TABLE ONLY public.dag_run ADD CONSTRAINT dag_run_dag_id_logical_date_key UNIQUE (dag_id, logical_date);
ALTER TABLE ONLY public.dag_run ADD CONSTRAINT dag_run_dag_id_run_id_key UNIQUE (dag_id, run_id);
ALTER TABLE ONLY public.dag_run ADD CONSTRAINT dag_run_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.task_instance ADD CONSTRAINT task_instance_composite_key UNIQUE (dag_id, task_id, run_id, map_index);
ALTER TABLE ONLY public.task_instance ADD CONSTRAINT task_instance_pkey PRIMARY KEY (id);

-- writes
BEGIN; INSERT INTO public.dag_run (id, dag_id, queued_at, state, run_id, run_type, run_after, clear_number) VALUES (1, 'orders', '2024-11-30T06:40:48.882881+00:00', 'queued', 'manual__2024-11-30T06:40:48.869781+00:00', 'manual', '2024-11-30T06:40:48.869781+00:00', 0);
  INSERT INTO public.task_instance (id, task_id, dag_id, run_id, map_index, try_number, hostname, pool, pool_slots, queue) VALUES ('01a22b2f-4908-7cdc-95c2-cb8a1c2d988f', 'extract', 'orders', 'manual__2024-11-30T06:40:48.869781+00:00', -1, 0, '', 'default_pool', 1, 'default');
  INSERT INTO public.task_instance (id, task_id, dag_id, run_id, map_index, try_number, hostname, pool, pool_slots, queue) VALUES ('01a22b2f-4909-7e29-a851-26030c7028df', 'load', 'orders', 'manual__2024-11-30T06:40:48.869781+00:00', -1, 0, '', 'default_pool', 1, 'default');
  INSERT INTO public.task_instance (id, task_id, dag_id, run_id, map_index, try_number, hostname, pool, pool_slots, queue) VALUES ('01a22b2f-490a-70a3-80a2-e093273bc4e1', 'skip', 'orders', 'manual__2024-11-30T06:40:48.869781+00:00', -1, 0, '', 'default_pool', 1, 'default'); COMMIT;
UPDATE public.dag_run SET state = 'running', start_date = '2024-11-30T06:40:49.088531+00:00' WHERE id = 1;
BEGIN; UPDATE public.task_instance SET state = 'scheduled', try_number = 1 WHERE id = '01a22b2f-4908-7cdc-95c2-cb8a1c2d988f';
  UPDATE public.task_instance SET state = 'scheduled', try_number = 1 WHERE id = '01a22b2f-490a-70a3-80a2-e093273bc4e1'; COMMIT;
BEGIN; UPDATE public.task_instance SET state = 'queued', queued_dttm = '2024-11-30T06:40:49.160112+00:00' WHERE id = '01a22b2f-4908-7cdc-95c2-cb8a1c2d988f';
  UPDATE public.task_instance SET state = 'queued', queued_dttm = '2024-11-30T06:40:49.160112+00:00' WHERE id = '01a22b2f-490a-70a3-80a2-e093273bc4e1'; COMMIT;
UPDATE public.task_instance SET state = 'running', hostname = 'vm', start_date = '2024-11-30T06:40:49.609047+00:00' WHERE id = '01a22b2f-490a-70a3-80a2-e093273bc4e1';
UPDATE public.task_instance SET state = 'running', hostname = 'vm', start_date = '2024-11-30T06:40:49.676223+00:00' WHERE id = '01a22b2f-4908-7cdc-95c2-cb8a1c2d988f';
UPDATE public.task_instance SET state = 'success', end_date = '2024-11-30T06:40:59.609948+00:00' WHERE id = '01a22b2f-4908-7cdc-95c2-cb8a1c2d988f';
UPDATE public.task_instance SET state = 'skipped', end_date = '2024-11-30T06:40:59.674457+00:00' WHERE id = '01a22b2f-490a-70a3-80a2-e093273bc4e1';
UPDATE public.task_instance SET state = 'scheduled', try_number = 1 WHERE id = '01a22b2f-4909-7e29-a851-26030c7028df';
UPDATE public.task_instance SET state = 'queued', queued_dttm = '2024-11-30T06:41:00.985839+00:00' WHERE id = '01a22b2f-4909-7e29-a851-26030c7028df';
UPDATE public.task_instance SET state = 'running', hostname = 'vm', start_date = '2024-11-30T06:41:01.029689+00:00' WHERE id = '01a22b2f-4909-7e29-a851-26030c7028df';
BEGIN; UPDATE public.task_instance SET state = 'up_for_retry', end_date = '2024-11-30T06:41:01.561672+00:00' WHERE id = '01a22b2f-4909-7e29-a851-26030c7028df';
  UPDATE public.task_instance SET id = '01a22b2f-7ab5-79e0-b59e-5d9086a82096' WHERE id = '01a22b2f-4909-7e29-a851-26030c7028df'; COMMIT;
BEGIN; INSERT INTO public.dag_run (id, dag_id, queued_at, state, run_id, run_type, run_after, clear_number) VALUES (2, 'broken', '2024-11-30T06:41:02.126134+00:00', 'queued', 'manual__2024-11-30T06:41:02.095775+00:00', 'manual', '2024-11-30T06:41:02.095775+00:00', 0);
  INSERT INTO public.task_instance (id, task_id, dag_id, run_id, map_index, try_number, hostname, pool, pool_slots, queue) VALUES ('01a22b2f-7cce-75f1-b60d-f8acc179fe48', 'fails', 'broken', 'manual__2024-11-30T06:41:02.095775+00:00', -1, 0, '', 'default_pool', 1, 'default');
  INSERT INTO public.task_instance (id, task_id, dag_id, run_id, map_index, try_number, hostname, pool, pool_slots, queue) VALUES ('01a22b2f-7ccf-7f07-a959-f9a0f7d2bfe2', 'after', 'broken', 'manual__2024-11-30T06:41:02.095775+00:00', -1, 0, '', 'default_pool', 1, 'default'); COMMIT;
UPDATE public.dag_run SET state = 'running', start_date = '2024-11-30T06:41:02.28068+00:00' WHERE id = 2;
UPDATE public.task_instance SET state = 'scheduled', try_number = 1 WHERE id = '01a22b2f-7cce-75f1-b60d-f8acc179fe48';
UPDATE public.task_instance SET state = 'queued', queued_dttm = '2024-11-30T06:41:02.34598+00:00' WHERE id = '01a22b2f-7cce-75f1-b60d-f8acc179fe48';
UPDATE public.task_instance SET state = 'running', hostname = 'vm', start_date = '2024-11-30T06:41:02.388136+00:00' WHERE id = '01a22b2f-7cce-75f1-b60d-f8acc179fe48';
UPDATE public.task_instance SET state = 'scheduled', try_number = 2 WHERE id = '01a22b2f-7ab5-79e0-b59e-5d9086a82096';
UPDATE public.task_instance SET state = 'queued', queued_dttm = '2024-11-30T06:41:02.634936+00:00' WHERE id = '01a22b2f-7ab5-79e0-b59e-5d9086a82096';
UPDATE public.task_instance SET state = 'running', end_date = NULL, start_date = '2024-11-30T06:41:06.714669+00:00' WHERE id = '01a22b2f-7ab5-79e0-b59e-5d9086a82096';
UPDATE public.task_instance SET state = 'success', end_date = '2024-11-30T06:41:06.966339+00:00' WHERE id = '01a22b2f-7ab5-79e0-b59e-5d9086a82096';
UPDATE public.dag_run SET state = 'success', end_date = '2024-11-30T06:41:07.178222+00:00' WHERE id = 1;
UPDATE public.task_instance SET state = 'failed', end_date = '2024-11-30T06:41:07.965036+00:00' WHERE id = '01a22b2f-7cce-75f1-b60d-f8acc179fe48';
UPDATE public.task_instance SET state = 'upstream_failed', end_date = '2024-11-30T06:41:08.253777+00:00', start_date = '2024-11-30T06:41:08.253777+00:00' WHERE id = '01a22b2f-7ccf-7f07-a959-f9a0f7d2bfe2';
UPDATE public.dag_run SET state = 'failed', end_date = '2024-11-30T06:41:09.3081+00:00' WHERE id = 2;
BEGIN; UPDATE public.dag_run SET state = 'queued', end_date = NULL, queued_at = '2024-11-30T06:43:58.505389+00:00', start_date = NULL, clear_number = 1 WHERE id = 1;
  UPDATE public.task_instance SET id = '01a22b32-2d42-707c-8090-049e0ae18c05', state = NULL WHERE id = '01a22b2f-4908-7cdc-95c2-cb8a1c2d988f';
  UPDATE public.task_instance SET id = '01a22b32-2d57-7fff-ac6c-11c474c6b8f9', state = NULL WHERE id = '01a22b2f-7ab5-79e0-b59e-5d9086a82096'; COMMIT;
UPDATE public.dag_run SET state = 'running', start_date = '2024-11-30T06:43:59.402875+00:00' WHERE id = 1;
UPDATE public.task_instance SET state = 'scheduled', try_number = 2 WHERE id = '01a22b32-2d42-707c-8090-049e0ae18c05';
UPDATE public.task_instance SET state = 'queued', queued_dttm = '2024-11-30T06:43:59.563552+00:00' WHERE id = '01a22b32-2d42-707c-8090-049e0ae18c05';
UPDATE public.task_instance SET state = 'running', end_date = NULL, start_date = '2024-11-30T06:43:59.787259+00:00' WHERE id = '01a22b32-2d42-707c-8090-049e0ae18c05';
UPDATE public.task_instance SET state = 'success', end_date = '2024-11-30T06:44:01.266855+00:00' WHERE id = '01a22b32-2d42-707c-8090-049e0ae18c05';
UPDATE public.task_instance SET state = 'scheduled', try_number = 3 WHERE id = '01a22b32-2d57-7fff-ac6c-11c474c6b8f9';
UPDATE public.task_instance SET state = 'queued', queued_dttm = '2024-11-30T06:44:01.992857+00:00' WHERE id = '01a22b32-2d57-7fff-ac6c-11c474c6b8f9';
UPDATE public.task_instance SET state = 'running', end_date = NULL, start_date = '2024-11-30T06:44:02.099955+00:00' WHERE id = '01a22b32-2d57-7fff-ac6c-11c474c6b8f9';
UPDATE public.task_instance SET state = 'success', end_date = '2024-11-30T06:44:03.441498+00:00' WHERE id = '01a22b32-2d57-7fff-ac6c-11c474c6b8f9';
UPDATE public.dag_run SET state = 'success', end_date = '2024-11-30T06:44:04.395911+00:00' WHERE id = 1;

-- = background_task_attempts_count{queue=default, task=broken.fails} 1
-- = background_task_attempts_count{queue=default, task=orders.extract} 2
-- = background_task_attempts_count{queue=default, task=orders.load} 2
-- = background_task_attempts_sum{queue=default, task=broken.fails} 1
-- = background_task_attempts_sum{queue=default, task=orders.extract} 3
-- = background_task_attempts_sum{queue=default, task=orders.load} 5
-- = background_task_duration_seconds_count{queue=dag_run, task=broken} 1
-- = background_task_duration_seconds_count{queue=dag_run, task=orders} 2
-- = background_task_duration_seconds_count{queue=default, task=broken.fails} 1
-- = background_task_duration_seconds_count{queue=default, task=orders.extract} 2
-- = background_task_duration_seconds_count{queue=default, task=orders.load} 3
-- = background_task_duration_seconds_sum{queue=dag_run, task=broken} 7.02742
-- = background_task_duration_seconds_sum{queue=dag_run, task=orders} 23.0827
-- = background_task_duration_seconds_sum{queue=default, task=broken.fails} 5.5769
-- = background_task_duration_seconds_sum{queue=default, task=orders.extract} 11.4133
-- = background_task_duration_seconds_sum{queue=default, task=orders.load} 2.1252
-- = background_task_wait_seconds_count{queue=dag_run, task=broken} 1
-- = background_task_wait_seconds_count{queue=dag_run, task=orders} 2
-- = background_task_wait_seconds_count{queue=default, task=broken.fails} 1
-- = background_task_wait_seconds_count{queue=default, task=orders.extract} 2
-- = background_task_wait_seconds_count{queue=default, task=orders.load} 3
-- = background_task_wait_seconds_sum{queue=dag_run, task=broken} 0.154546
-- = background_task_wait_seconds_sum{queue=dag_run, task=orders} 1.10314
-- = background_task_wait_seconds_sum{queue=default, task=broken.fails} 0.042156
-- = background_task_wait_seconds_sum{queue=default, task=orders.extract} 0.739818
-- = background_task_wait_seconds_sum{queue=default, task=orders.load} 4.23068
-- = background_tasks_total{outcome=failure, queue=dag_run, task=broken} 1
-- = background_tasks_total{outcome=failure, queue=default, task=broken.fails} 1
-- = background_tasks_total{outcome=retry, queue=default, task=orders.load} 1
-- = background_tasks_total{outcome=success, queue=dag_run, task=orders} 2
-- = background_tasks_total{outcome=success, queue=default, task=orders.extract} 2
-- = background_tasks_total{outcome=success, queue=default, task=orders.load} 2
