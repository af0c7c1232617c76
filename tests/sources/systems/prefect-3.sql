-- Prefect 3.9.1: three tables of its server, and what it wrote for two runs each of a flow with a task that is retried and of one
-- that fails.

CREATE TYPE public.state_type AS ENUM ('SCHEDULED', 'PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED', 'CRASHED', 'PAUSED', 'CANCELLING');
CREATE TABLE public.flow (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    created timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL,
    updated timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL,
    name character varying NOT NULL,
    tags jsonb DEFAULT '[]'::jsonb NOT NULL,
    labels jsonb
);
CREATE TABLE public.flow_run (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    created timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL,
    updated timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL,
    name character varying NOT NULL,
    state_type public.state_type,
    run_count integer DEFAULT 0 NOT NULL,
    expected_start_time timestamp with time zone,
    next_scheduled_start_time timestamp with time zone,
    start_time timestamp with time zone,
    end_time timestamp with time zone,
    total_run_time interval DEFAULT '00:00:00'::interval NOT NULL,
    flow_version character varying,
    parameters jsonb DEFAULT '{}'::jsonb NOT NULL,
    idempotency_key character varying,
    context jsonb DEFAULT '{}'::jsonb NOT NULL,
    empirical_policy jsonb DEFAULT '{}'::jsonb NOT NULL,
    tags jsonb DEFAULT '[]'::jsonb NOT NULL,
    auto_scheduled boolean DEFAULT false NOT NULL,
    flow_id uuid NOT NULL,
    deployment_id uuid,
    parent_task_run_id uuid,
    state_id uuid,
    state_name character varying,
    infrastructure_document_id uuid,
    work_queue_name character varying,
    state_timestamp timestamp with time zone,
    created_by jsonb,
    infrastructure_pid character varying,
    work_queue_id uuid,
    job_variables jsonb DEFAULT '{}'::jsonb,
    deployment_version character varying,
    labels jsonb
);
CREATE TABLE public.task_run (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    created timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL,
    updated timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL,
    name character varying NOT NULL,
    state_type public.state_type,
    run_count integer DEFAULT 0 NOT NULL,
    expected_start_time timestamp with time zone,
    next_scheduled_start_time timestamp with time zone,
    start_time timestamp with time zone,
    end_time timestamp with time zone,
    total_run_time interval DEFAULT '00:00:00'::interval NOT NULL,
    task_key character varying NOT NULL,
    dynamic_key character varying NOT NULL,
    cache_key character varying,
    cache_expiration timestamp with time zone,
    task_version character varying,
    empirical_policy jsonb DEFAULT '{}'::jsonb NOT NULL,
    task_inputs jsonb DEFAULT '{}'::jsonb NOT NULL,
    tags jsonb DEFAULT '[]'::jsonb NOT NULL,
    flow_run_id uuid,
    state_id uuid,
    state_name character varying,
    state_timestamp timestamp with time zone,
    flow_run_run_count integer DEFAULT 0 NOT NULL,
    labels jsonb
);
ALTER TABLE ONLY public.flow ADD CONSTRAINT pk_flow PRIMARY KEY (id);
ALTER TABLE ONLY public.flow_run ADD CONSTRAINT pk_flow_run PRIMARY KEY (id);
ALTER TABLE ONLY public.task_run ADD CONSTRAINT pk_task_run PRIMARY KEY (id);
ALTER TABLE ONLY public.flow ADD CONSTRAINT uq_flow__name UNIQUE (name);

-- writes
INSERT INTO public.flow (id, name) VALUES ('3c52476f-64b4-48b8-8021-488644728079', 'orders');
BEGIN; INSERT INTO public.flow_run (id, updated, name, run_count, total_run_time, flow_id) VALUES ('c84d3f10-b2f7-46b4-b5e9-61157fccf69e', '2024-11-30T06:39:46.335378+00:00', 'fascinating-worm', 0, '00:00:00', '3c52476f-64b4-48b8-8021-488644728079');
  UPDATE public.flow_run SET updated = '2024-11-30T06:39:46.318191+00:00', state_type = 'PENDING', state_timestamp = '2024-11-30T06:39:46.309417+00:00', expected_start_time = '2024-11-30T06:39:46.309417+00:00' WHERE id = 'c84d3f10-b2f7-46b4-b5e9-61157fccf69e'; COMMIT;
UPDATE public.flow_run SET updated = '2024-11-30T06:39:46.532538+00:00', run_count = 1, start_time = '2024-11-30T06:39:46.530601+00:00', state_type = 'RUNNING', state_timestamp = '2024-11-30T06:39:46.530601+00:00' WHERE id = 'c84d3f10-b2f7-46b4-b5e9-61157fccf69e';
UPDATE public.flow_run SET updated = '2024-11-30T06:39:47.609453+00:00', end_time = '2024-11-30T06:39:47.59757+00:00', state_type = 'COMPLETED', total_run_time = '00:00:01.066969', state_timestamp = '2024-11-30T06:39:47.59757+00:00' WHERE id = 'c84d3f10-b2f7-46b4-b5e9-61157fccf69e';
INSERT INTO public.task_run (id, updated, name, state_type, run_count, total_run_time, task_key, dynamic_key, state_timestamp) VALUES ('01a22b2e-586a-7315-b289-3cd011e46e80', '2024-11-30T06:39:47.658359+00:00', 'fine-614', 'PENDING', 0, '00:00:00', 'fine-31cd2acf', '614f4e12-08dd-48da-ba1b-6f62ddea441c', '2024-11-30T06:39:47.306892+00:00');
UPDATE public.task_run SET updated = '2024-11-30T06:39:47.738035+00:00', end_time = '2024-11-30T06:39:47.327769+00:00', run_count = 1, start_time = '2024-11-30T06:39:47.308483+00:00', state_type = 'COMPLETED', total_run_time = '00:00:00.019286', state_timestamp = '2024-11-30T06:39:47.327769+00:00' WHERE id = '01a22b2e-586a-7315-b289-3cd011e46e80';
INSERT INTO public.task_run (id, updated, name, state_type, run_count, total_run_time, task_key, dynamic_key, state_timestamp) VALUES ('01a22b2e-5891-7ea2-96d7-f0b7df055a6b', '2024-11-30T06:39:47.765997+00:00', 'flaky-dbe', 'PENDING', 0, '00:00:00', 'flaky-554ba630', 'dbec0009-a87b-48fc-9895-b5682130b175', '2024-11-30T06:39:47.34591+00:00');
UPDATE public.task_run SET updated = '2024-11-30T06:39:47.787019+00:00', run_count = 1, start_time = '2024-11-30T06:39:47.346797+00:00', state_type = 'RUNNING', state_timestamp = '2024-11-30T06:39:47.346797+00:00' WHERE id = '01a22b2e-5891-7ea2-96d7-f0b7df055a6b';
UPDATE public.task_run SET updated = '2024-11-30T06:39:47.799451+00:00', run_count = 2, total_run_time = '00:00:00.00139', state_timestamp = '2024-11-30T06:39:47.348187+00:00' WHERE id = '01a22b2e-5891-7ea2-96d7-f0b7df055a6b';
UPDATE public.task_run SET updated = '2024-11-30T06:39:47.802171+00:00', end_time = '2024-11-30T06:39:47.367454+00:00', state_type = 'COMPLETED', total_run_time = '00:00:00.020657', state_timestamp = '2024-11-30T06:39:47.367454+00:00' WHERE id = '01a22b2e-5891-7ea2-96d7-f0b7df055a6b';
INSERT INTO public.flow (id, name) VALUES ('6d38cde8-ce3c-4f27-a889-4eda2f338ac3', 'bad');
BEGIN; INSERT INTO public.flow_run (id, updated, name, run_count, total_run_time, flow_id) VALUES ('216c1f87-fe34-4a1f-866f-32a698d34528', '2024-11-30T06:39:48.385493+00:00', 'vermilion-heron', 0, '00:00:00', '6d38cde8-ce3c-4f27-a889-4eda2f338ac3');
  UPDATE public.flow_run SET updated = '2024-11-30T06:39:48.379656+00:00', state_type = 'PENDING', state_timestamp = '2024-11-30T06:39:48.377905+00:00', expected_start_time = '2024-11-30T06:39:48.377905+00:00' WHERE id = '216c1f87-fe34-4a1f-866f-32a698d34528'; COMMIT;
UPDATE public.flow_run SET updated = '2024-11-30T06:39:48.460932+00:00', run_count = 1, start_time = '2024-11-30T06:39:48.454259+00:00', state_type = 'RUNNING', state_timestamp = '2024-11-30T06:39:48.454259+00:00' WHERE id = '216c1f87-fe34-4a1f-866f-32a698d34528';
INSERT INTO public.task_run (id, updated, name, state_type, run_count, total_run_time, task_key, dynamic_key, state_timestamp) VALUES ('01a22b2e-5d3a-707e-881c-dde1a03e65e6', '2024-11-30T06:39:48.549639+00:00', 'broken-816', 'PENDING', 0, '00:00:00', 'broken-4791c718', '816a2268-8571-409d-8b28-b8d6a25dbd52', '2024-11-30T06:39:48.538336+00:00');
UPDATE public.task_run SET updated = '2024-11-30T06:39:48.565571+00:00', run_count = 1, start_time = '2024-11-30T06:39:48.539221+00:00', state_type = 'RUNNING', state_timestamp = '2024-11-30T06:39:48.539221+00:00' WHERE id = '01a22b2e-5d3a-707e-881c-dde1a03e65e6';
UPDATE public.task_run SET updated = '2024-11-30T06:39:48.619521+00:00', end_time = '2024-11-30T06:39:48.543644+00:00', state_type = 'FAILED', total_run_time = '00:00:00.004423', state_timestamp = '2024-11-30T06:39:48.543644+00:00' WHERE id = '01a22b2e-5d3a-707e-881c-dde1a03e65e6';
UPDATE public.flow_run SET updated = '2024-11-30T06:39:49.55379+00:00', end_time = '2024-11-30T06:39:49.551787+00:00', state_type = 'FAILED', total_run_time = '00:00:01.097528', state_timestamp = '2024-11-30T06:39:49.551787+00:00' WHERE id = '216c1f87-fe34-4a1f-866f-32a698d34528';
BEGIN; INSERT INTO public.flow_run (id, updated, name, run_count, total_run_time, flow_id) VALUES ('4a6033d2-dc4c-4a8e-9f59-f080a63b46ae', '2024-11-30T06:39:49.743757+00:00', 'colossal-hawk', 0, '00:00:00', '3c52476f-64b4-48b8-8021-488644728079');
  UPDATE public.flow_run SET updated = '2024-11-30T06:39:49.74247+00:00', state_type = 'PENDING', state_timestamp = '2024-11-30T06:39:49.741053+00:00', expected_start_time = '2024-11-30T06:39:49.741053+00:00' WHERE id = '4a6033d2-dc4c-4a8e-9f59-f080a63b46ae'; COMMIT;
UPDATE public.flow_run SET updated = '2024-11-30T06:39:49.805612+00:00', run_count = 1, start_time = '2024-11-30T06:39:49.802441+00:00', state_type = 'RUNNING', state_timestamp = '2024-11-30T06:39:49.802441+00:00' WHERE id = '4a6033d2-dc4c-4a8e-9f59-f080a63b46ae';
INSERT INTO public.task_run (id, updated, name, state_type, run_count, total_run_time, task_key, dynamic_key, state_timestamp) VALUES ('01a22b2e-62ba-7645-8b97-4af200135ac2', '2024-11-30T06:39:49.959338+00:00', 'fine-74f', 'PENDING', 0, '00:00:00', 'fine-31cd2acf', '74f126bc-132f-4dad-8385-2ba8985128a8', '2024-11-30T06:39:49.946964+00:00');
UPDATE public.task_run SET updated = '2024-11-30T06:39:49.975781+00:00', run_count = 1, start_time = '2024-11-30T06:39:49.949355+00:00', state_type = 'RUNNING', state_timestamp = '2024-11-30T06:39:49.949355+00:00' WHERE id = '01a22b2e-62ba-7645-8b97-4af200135ac2';
UPDATE public.task_run SET updated = '2024-11-30T06:39:50.057883+00:00', end_time = '2024-11-30T06:39:49.951755+00:00', state_type = 'COMPLETED', total_run_time = '00:00:00.0024', state_timestamp = '2024-11-30T06:39:49.951755+00:00' WHERE id = '01a22b2e-62ba-7645-8b97-4af200135ac2';
INSERT INTO public.task_run (id, updated, name, state_type, run_count, total_run_time, task_key, dynamic_key, state_timestamp) VALUES ('01a22b2e-62c2-7c03-8aa8-c44e769324a8', '2024-11-30T06:39:50.098036+00:00', 'flaky-ca6', 'PENDING', 0, '00:00:00', 'flaky-554ba630', 'ca641594-0d31-41b3-a4a3-4e6d5ba00912', '2024-11-30T06:39:49.954711+00:00');
UPDATE public.task_run SET updated = '2024-11-30T06:39:50.105212+00:00', run_count = 1, start_time = '2024-11-30T06:39:49.955961+00:00', state_type = 'RUNNING', state_timestamp = '2024-11-30T06:39:49.955961+00:00' WHERE id = '01a22b2e-62c2-7c03-8aa8-c44e769324a8';
UPDATE public.task_run SET updated = '2024-11-30T06:39:50.165478+00:00', run_count = 2, total_run_time = '00:00:00.002083', state_timestamp = '2024-11-30T06:39:49.958044+00:00' WHERE id = '01a22b2e-62c2-7c03-8aa8-c44e769324a8';
UPDATE public.task_run SET updated = '2024-11-30T06:39:50.174003+00:00', end_time = '2024-11-30T06:39:49.961379+00:00', state_type = 'COMPLETED', total_run_time = '00:00:00.005418', state_timestamp = '2024-11-30T06:39:49.961379+00:00' WHERE id = '01a22b2e-62c2-7c03-8aa8-c44e769324a8';
UPDATE public.flow_run SET updated = '2024-11-30T06:39:50.07418+00:00', end_time = '2024-11-30T06:39:50.030084+00:00', state_type = 'COMPLETED', total_run_time = '00:00:00.227643', state_timestamp = '2024-11-30T06:39:50.030084+00:00' WHERE id = '4a6033d2-dc4c-4a8e-9f59-f080a63b46ae';
BEGIN; INSERT INTO public.flow_run (id, updated, name, run_count, total_run_time, flow_id) VALUES ('65674e67-7f2a-4d10-95d0-8796c378e5b7', '2024-11-30T06:39:51.091576+00:00', 'nocturnal-sunfish', 0, '00:00:00', '6d38cde8-ce3c-4f27-a889-4eda2f338ac3');
  UPDATE public.flow_run SET updated = '2024-11-30T06:39:51.089846+00:00', state_type = 'PENDING', state_timestamp = '2024-11-30T06:39:51.083629+00:00', expected_start_time = '2024-11-30T06:39:51.083629+00:00' WHERE id = '65674e67-7f2a-4d10-95d0-8796c378e5b7'; COMMIT;
UPDATE public.flow_run SET updated = '2024-11-30T06:39:51.138557+00:00', run_count = 1, start_time = '2024-11-30T06:39:51.137145+00:00', state_type = 'RUNNING', state_timestamp = '2024-11-30T06:39:51.137145+00:00' WHERE id = '65674e67-7f2a-4d10-95d0-8796c378e5b7';
INSERT INTO public.task_run (id, updated, name, state_type, run_count, total_run_time, task_key, dynamic_key, state_timestamp) VALUES ('01a22b2e-67b5-74d7-9bd8-c45ef3fc18d0', '2024-11-30T06:39:51.242731+00:00', 'broken-8dd', 'PENDING', 0, '00:00:00', 'broken-4791c718', '8dd1626c-d5bc-4a5f-9e1b-8804527a2763', '2024-11-30T06:39:51.221936+00:00');
UPDATE public.task_run SET updated = '2024-11-30T06:39:51.25338+00:00', run_count = 1, start_time = '2024-11-30T06:39:51.224577+00:00', state_type = 'RUNNING', state_timestamp = '2024-11-30T06:39:51.224577+00:00' WHERE id = '01a22b2e-67b5-74d7-9bd8-c45ef3fc18d0';
UPDATE public.task_run SET updated = '2024-11-30T06:39:51.279346+00:00', end_time = '2024-11-30T06:39:51.245667+00:00', state_type = 'FAILED', total_run_time = '00:00:00.02109', state_timestamp = '2024-11-30T06:39:51.245667+00:00' WHERE id = '01a22b2e-67b5-74d7-9bd8-c45ef3fc18d0';
UPDATE public.flow_run SET updated = '2024-11-30T06:39:52.253991+00:00', end_time = '2024-11-30T06:39:52.249319+00:00', state_type = 'FAILED', total_run_time = '00:00:01.112174', state_timestamp = '2024-11-30T06:39:52.249319+00:00' WHERE id = '65674e67-7f2a-4d10-95d0-8796c378e5b7';

-- = background_task_attempts_count{queue=flow_run, task=bad} 2
-- = background_task_attempts_count{queue=flow_run, task=orders} 2
-- = background_task_attempts_count{queue=task_run, task=broken} 2
-- = background_task_attempts_count{queue=task_run, task=fine} 2
-- = background_task_attempts_count{queue=task_run, task=flaky} 2
-- = background_task_attempts_sum{queue=flow_run, task=bad} 2
-- = background_task_attempts_sum{queue=flow_run, task=orders} 2
-- = background_task_attempts_sum{queue=task_run, task=broken} 2
-- = background_task_attempts_sum{queue=task_run, task=fine} 2
-- = background_task_attempts_sum{queue=task_run, task=flaky} 4
-- = background_task_duration_seconds_count{queue=flow_run, task=bad} 2
-- = background_task_duration_seconds_count{queue=flow_run, task=orders} 2
-- = background_task_duration_seconds_count{queue=task_run, task=broken} 2
-- = background_task_duration_seconds_count{queue=task_run, task=fine} 2
-- = background_task_duration_seconds_count{queue=task_run, task=flaky} 2
-- = background_task_duration_seconds_sum{queue=flow_run, task=bad} 2.2097
-- = background_task_duration_seconds_sum{queue=flow_run, task=orders} 1.29461
-- = background_task_duration_seconds_sum{queue=task_run, task=broken} 0.025513
-- = background_task_duration_seconds_sum{queue=task_run, task=fine} 0.021686
-- = background_task_duration_seconds_sum{queue=task_run, task=flaky} 0.026075
-- = background_task_wait_seconds_count{queue=flow_run, task=bad} 2
-- = background_task_wait_seconds_count{queue=flow_run, task=orders} 2
-- = background_task_wait_seconds_sum{queue=flow_run, task=bad} 0.12987
-- = background_task_wait_seconds_sum{queue=flow_run, task=orders} 0.282572
-- = background_tasks_total{outcome=failure, queue=flow_run, task=bad} 2
-- = background_tasks_total{outcome=failure, queue=task_run, task=broken} 2
-- = background_tasks_total{outcome=success, queue=flow_run, task=orders} 2
-- = background_tasks_total{outcome=success, queue=task_run, task=fine} 2
-- = background_tasks_total{outcome=success, queue=task_run, task=flaky} 2
