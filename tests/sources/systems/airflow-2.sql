-- Airflow 2.10.5: two tables of its metadata database, and what its scheduler and tasks wrote for a run with a retry and a skipped
-- task, a run that failed, and the first run again after `airflow tasks clear`.

CREATE TABLE public.dag_run (
    id integer NOT NULL,
    dag_id character varying(250) NOT NULL,
    queued_at timestamp with time zone,
    execution_date timestamp with time zone NOT NULL,
    start_date timestamp with time zone,
    end_date timestamp with time zone,
    state character varying(50),
    run_id character varying(250) NOT NULL,
    creating_job_id integer,
    external_trigger boolean,
    run_type character varying(50) NOT NULL,
    conf bytea,
    data_interval_start timestamp with time zone,
    data_interval_end timestamp with time zone,
    last_scheduling_decision timestamp with time zone,
    dag_hash character varying(32),
    log_template_id integer,
    updated_at timestamp with time zone,
    clear_number integer DEFAULT 0 NOT NULL
);
CREATE SEQUENCE public.dag_run_id_seq
    AS integer START WITH 1 INCREMENT BY 1 NO MINVALUE NO MAXVALUE CACHE 1;
ALTER SEQUENCE public.dag_run_id_seq OWNED BY public.dag_run.id;
CREATE TABLE public.task_instance (
    task_id character varying(250) NOT NULL,
    dag_id character varying(250) NOT NULL,
    run_id character varying(250) NOT NULL,
    map_index integer DEFAULT '-1'::integer NOT NULL,
    start_date timestamp with time zone,
    end_date timestamp with time zone,
    duration double precision,
    state character varying(20),
    try_number integer,
    max_tries integer DEFAULT '-1'::integer,
    hostname character varying(1000),
    unixname character varying(1000),
    job_id integer,
    pool character varying(256) NOT NULL,
    pool_slots integer NOT NULL,
    queue character varying(256),
    priority_weight integer,
    operator character varying(1000),
    custom_operator_name character varying(1000),
    queued_dttm timestamp with time zone,
    queued_by_job_id integer,
    pid integer,
    executor character varying(1000),
    executor_config bytea,
    updated_at timestamp with time zone,
    rendered_map_index character varying(250),
    external_executor_id character varying(250),
    trigger_id integer,
    trigger_timeout timestamp without time zone,
    next_method character varying(1000),
    next_kwargs json,
    task_display_name character varying(2000)
);
ALTER TABLE ONLY public.dag_run ALTER COLUMN id SET DEFAULT nextval('public.dag_run_id_seq'::regclass);
ALTER TABLE ONLY public.dag_run ADD CONSTRAINT dag_run_dag_id_execution_date_key UNIQUE (dag_id, execution_date);
ALTER TABLE ONLY public.dag_run ADD CONSTRAINT dag_run_dag_id_run_id_key UNIQUE (dag_id, run_id);
ALTER TABLE ONLY public.dag_run ADD CONSTRAINT dag_run_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.task_instance ADD CONSTRAINT task_instance_pkey PRIMARY KEY (dag_id, task_id, run_id, map_index);

-- writes
BEGIN; INSERT INTO public.dag_run (id, dag_id, queued_at, execution_date, state, run_id, run_type, clear_number) VALUES (1, 'orders', '2024-11-30T06:40:26.494362+00:00', '2024-11-30T06:40:26+00:00', 'queued', 'manual__2024-11-30T06:40:26+00:00', 'manual', 0);
  INSERT INTO public.task_instance (task_id, dag_id, run_id, map_index, try_number, hostname, pool, pool_slots, queue) VALUES ('extract', 'orders', 'manual__2024-11-30T06:40:26+00:00', -1, 0, '', 'default_pool', 1, 'default');
  INSERT INTO public.task_instance (task_id, dag_id, run_id, map_index, try_number, hostname, pool, pool_slots, queue) VALUES ('load', 'orders', 'manual__2024-11-30T06:40:26+00:00', -1, 0, '', 'default_pool', 1, 'default');
  INSERT INTO public.task_instance (task_id, dag_id, run_id, map_index, try_number, hostname, pool, pool_slots, queue) VALUES ('skip', 'orders', 'manual__2024-11-30T06:40:26+00:00', -1, 0, '', 'default_pool', 1, 'default'); COMMIT;
UPDATE public.dag_run SET state = 'running', start_date = '2024-11-30T06:40:27.553215+00:00' WHERE id = 1;
BEGIN; UPDATE public.task_instance SET state = 'scheduled', try_number = 1 WHERE task_id = 'extract' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1;
  UPDATE public.task_instance SET state = 'scheduled', try_number = 1 WHERE task_id = 'skip' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1; COMMIT;
BEGIN; UPDATE public.task_instance SET state = 'queued', queued_dttm = '2024-11-30T06:40:27.626477+00:00' WHERE task_id = 'extract' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1;
  UPDATE public.task_instance SET state = 'queued', queued_dttm = '2024-11-30T06:40:27.626477+00:00' WHERE task_id = 'skip' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1; COMMIT;
UPDATE public.task_instance SET state = 'running', hostname = 'vm', start_date = '2024-11-30T06:40:28.13311+00:00' WHERE task_id = 'skip' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1;
UPDATE public.task_instance SET state = 'running', hostname = 'vm', start_date = '2024-11-30T06:40:28.161772+00:00' WHERE task_id = 'extract' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1;
UPDATE public.task_instance SET state = 'skipped' WHERE task_id = 'skip' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1;
UPDATE public.task_instance SET state = 'success', end_date = '2024-11-30T06:40:28.786664+00:00' WHERE task_id = 'extract' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1;
UPDATE public.task_instance SET end_date = '2024-11-30T06:40:28.803005+00:00' WHERE task_id = 'skip' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1;
UPDATE public.task_instance SET state = 'scheduled', try_number = 1 WHERE task_id = 'load' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1;
UPDATE public.task_instance SET state = 'queued', queued_dttm = '2024-11-30T06:40:30.715029+00:00' WHERE task_id = 'load' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1;
UPDATE public.task_instance SET state = 'running', hostname = 'vm', start_date = '2024-11-30T06:40:31.157758+00:00' WHERE task_id = 'load' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1;
UPDATE public.task_instance SET state = 'up_for_retry', end_date = '2024-11-30T06:40:31.382069+00:00' WHERE task_id = 'load' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1;
BEGIN; INSERT INTO public.dag_run (id, dag_id, queued_at, execution_date, state, run_id, run_type, clear_number) VALUES (2, 'broken', '2024-11-30T06:40:32.405779+00:00', '2024-11-30T06:40:32+00:00', 'queued', 'manual__2024-11-30T06:40:32+00:00', 'manual', 0);
  INSERT INTO public.task_instance (task_id, dag_id, run_id, map_index, try_number, hostname, pool, pool_slots, queue) VALUES ('fails', 'broken', 'manual__2024-11-30T06:40:32+00:00', -1, 0, '', 'default_pool', 1, 'default');
  INSERT INTO public.task_instance (task_id, dag_id, run_id, map_index, try_number, hostname, pool, pool_slots, queue) VALUES ('after', 'broken', 'manual__2024-11-30T06:40:32+00:00', -1, 0, '', 'default_pool', 1, 'default'); COMMIT;
UPDATE public.dag_run SET state = 'running', start_date = '2024-11-30T06:40:32.940373+00:00' WHERE id = 2;
BEGIN; UPDATE public.task_instance SET state = 'scheduled', try_number = 1 WHERE task_id = 'fails' AND dag_id = 'broken' AND run_id = 'manual__2024-11-30T06:40:32+00:00' AND map_index = -1;
  UPDATE public.task_instance SET state = 'scheduled', try_number = 2 WHERE task_id = 'load' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1; COMMIT;
BEGIN; UPDATE public.task_instance SET state = 'queued', queued_dttm = '2024-11-30T06:40:32.976971+00:00' WHERE task_id = 'fails' AND dag_id = 'broken' AND run_id = 'manual__2024-11-30T06:40:32+00:00' AND map_index = -1;
  UPDATE public.task_instance SET state = 'queued', queued_dttm = '2024-11-30T06:40:32.976971+00:00' WHERE task_id = 'load' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1; COMMIT;
UPDATE public.task_instance SET state = 'running', hostname = 'vm', start_date = '2024-11-30T06:40:33.362405+00:00' WHERE task_id = 'fails' AND dag_id = 'broken' AND run_id = 'manual__2024-11-30T06:40:32+00:00' AND map_index = -1;
UPDATE public.task_instance SET state = 'running', end_date = NULL, start_date = '2024-11-30T06:40:33.393783+00:00' WHERE task_id = 'load' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1;
UPDATE public.task_instance SET state = 'failed', end_date = '2024-11-30T06:40:33.659029+00:00' WHERE task_id = 'fails' AND dag_id = 'broken' AND run_id = 'manual__2024-11-30T06:40:32+00:00' AND map_index = -1;
UPDATE public.task_instance SET state = 'success', end_date = '2024-11-30T06:40:33.711666+00:00' WHERE task_id = 'load' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1;
UPDATE public.task_instance SET state = 'upstream_failed', end_date = '2024-11-30T06:40:33.763085+00:00', start_date = '2024-11-30T06:40:33.763085+00:00' WHERE task_id = 'after' AND dag_id = 'broken' AND run_id = 'manual__2024-11-30T06:40:32+00:00' AND map_index = -1;
BEGIN; UPDATE public.dag_run SET state = 'failed', end_date = '2024-11-30T06:40:34.732474+00:00' WHERE id = 2;
  UPDATE public.dag_run SET state = 'success', end_date = '2024-11-30T06:40:34.737937+00:00' WHERE id = 1; COMMIT;
BEGIN; UPDATE public.dag_run SET state = 'queued', end_date = NULL, queued_at = '2024-11-30T06:43:39.343838+00:00', start_date = NULL, clear_number = 1 WHERE id = 1;
  UPDATE public.task_instance SET state = NULL WHERE task_id = 'extract' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1;
  UPDATE public.task_instance SET state = NULL WHERE task_id = 'load' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1; COMMIT;
UPDATE public.dag_run SET state = 'running', start_date = '2024-11-30T06:43:39.556473+00:00' WHERE id = 1;
UPDATE public.task_instance SET state = 'scheduled', try_number = 2 WHERE task_id = 'extract' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1;
UPDATE public.task_instance SET state = 'queued', queued_dttm = '2024-11-30T06:43:39.629603+00:00' WHERE task_id = 'extract' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1;
UPDATE public.task_instance SET state = 'running', end_date = NULL, start_date = '2024-11-30T06:43:40.830438+00:00' WHERE task_id = 'extract' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1;
UPDATE public.task_instance SET state = 'success', end_date = '2024-11-30T06:43:41.694659+00:00' WHERE task_id = 'extract' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1;
UPDATE public.task_instance SET state = 'scheduled', try_number = 3 WHERE task_id = 'load' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1;
UPDATE public.task_instance SET state = 'queued', queued_dttm = '2024-11-30T06:43:43.212422+00:00' WHERE task_id = 'load' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1;
UPDATE public.task_instance SET state = 'running', end_date = NULL, start_date = '2024-11-30T06:43:44.829179+00:00' WHERE task_id = 'load' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1;
UPDATE public.task_instance SET state = 'success', end_date = '2024-11-30T06:43:46.001813+00:00' WHERE task_id = 'load' AND dag_id = 'orders' AND run_id = 'manual__2024-11-30T06:40:26+00:00' AND map_index = -1;
UPDATE public.dag_run SET state = 'success', end_date = '2024-11-30T06:43:47.359846+00:00' WHERE id = 1;

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
-- = background_task_duration_seconds_sum{queue=dag_run, task=broken} 1.7921
-- = background_task_duration_seconds_sum{queue=dag_run, task=orders} 14.9881
-- = background_task_duration_seconds_sum{queue=default, task=broken.fails} 0.296624
-- = background_task_duration_seconds_sum{queue=default, task=orders.extract} 1.48911
-- = background_task_duration_seconds_sum{queue=default, task=orders.load} 1.71483
-- = background_task_wait_seconds_count{queue=dag_run, task=broken} 1
-- = background_task_wait_seconds_count{queue=dag_run, task=orders} 2
-- = background_task_wait_seconds_count{queue=default, task=broken.fails} 1
-- = background_task_wait_seconds_count{queue=default, task=orders.extract} 2
-- = background_task_wait_seconds_count{queue=default, task=orders.load} 3
-- = background_task_wait_seconds_sum{queue=dag_run, task=broken} 0.534594
-- = background_task_wait_seconds_sum{queue=dag_run, task=orders} 1.27149
-- = background_task_wait_seconds_sum{queue=default, task=broken.fails} 0.385434
-- = background_task_wait_seconds_sum{queue=default, task=orders.extract} 1.73613
-- = background_task_wait_seconds_sum{queue=default, task=orders.load} 2.4763
-- = background_tasks_total{outcome=failure, queue=dag_run, task=broken} 1
-- = background_tasks_total{outcome=failure, queue=default, task=broken.fails} 1
-- = background_tasks_total{outcome=retry, queue=default, task=orders.load} 1
-- = background_tasks_total{outcome=success, queue=dag_run, task=orders} 2
-- = background_tasks_total{outcome=success, queue=default, task=orders.extract} 2
-- = background_tasks_total{outcome=success, queue=default, task=orders.load} 2
