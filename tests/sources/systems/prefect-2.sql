-- Prefect 2.20.27: three tables of its server, and what it wrote for two runs each of a flow with a task that is retried and of one
-- that fails.

CREATE TYPE public.state_type AS ENUM ('SCHEDULED', 'PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED', 'CRASHED', 'PAUSED', 'CANCELLING');
CREATE TABLE public.flow (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    created timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL,
    updated timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL,
    name character varying NOT NULL,
    tags jsonb DEFAULT '[]'::jsonb NOT NULL
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
    deployment_version character varying
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
    flow_run_run_count integer DEFAULT 0 NOT NULL
);
ALTER TABLE ONLY public.flow ADD CONSTRAINT pk_flow PRIMARY KEY (id);
ALTER TABLE ONLY public.flow_run ADD CONSTRAINT pk_flow_run PRIMARY KEY (id);
ALTER TABLE ONLY public.task_run ADD CONSTRAINT pk_task_run PRIMARY KEY (id);
ALTER TABLE ONLY public.flow ADD CONSTRAINT uq_flow__name UNIQUE (name);

-- writes
INSERT INTO public.flow (id, name) VALUES ('9d7cabcb-d219-44ab-9702-1fd8d7fae913', 'orders');
BEGIN; INSERT INTO public.flow_run (id, updated, name, run_count, total_run_time, flow_id) VALUES ('f648f788-5c02-4556-acc0-98c8e63e1cc8', '2024-11-30T06:40:02.062923+00:00', 'amphibian-lionfish', 0, '00:00:00', '9d7cabcb-d219-44ab-9702-1fd8d7fae913');
  UPDATE public.flow_run SET updated = '2024-11-30T06:40:02.063703+00:00', state_type = 'PENDING', state_timestamp = '2024-11-30T06:40:02.058401+00:00', expected_start_time = '2024-11-30T06:40:02.058401+00:00' WHERE id = 'f648f788-5c02-4556-acc0-98c8e63e1cc8'; COMMIT;
UPDATE public.flow_run SET updated = '2024-11-30T06:40:02.119781+00:00', run_count = 1, start_time = '2024-11-30T06:40:02.117799+00:00', state_type = 'RUNNING', state_timestamp = '2024-11-30T06:40:02.117799+00:00' WHERE id = 'f648f788-5c02-4556-acc0-98c8e63e1cc8';
BEGIN; INSERT INTO public.task_run (id, updated, name, run_count, total_run_time, task_key, dynamic_key) VALUES ('b1303dbb-ae2f-4cee-a8e4-ae4064c4badf', '2024-11-30T06:40:02.149558+00:00', 'fine-0', 0, '00:00:00', 'fine-31cd2acf', '0');
  UPDATE public.task_run SET updated = '2024-11-30T06:40:02.150665+00:00', state_type = 'PENDING', state_timestamp = '2024-11-30T06:40:02.146842+00:00' WHERE id = 'b1303dbb-ae2f-4cee-a8e4-ae4064c4badf'; COMMIT;
UPDATE public.task_run SET updated = '2024-11-30T06:40:02.207838+00:00', run_count = 1, start_time = '2024-11-30T06:40:02.20367+00:00', state_type = 'RUNNING', state_timestamp = '2024-11-30T06:40:02.20367+00:00' WHERE id = 'b1303dbb-ae2f-4cee-a8e4-ae4064c4badf';
UPDATE public.task_run SET updated = '2024-11-30T06:40:02.238692+00:00', end_time = '2024-11-30T06:40:02.237847+00:00', state_type = 'COMPLETED', total_run_time = '00:00:00.034177', state_timestamp = '2024-11-30T06:40:02.237847+00:00' WHERE id = 'b1303dbb-ae2f-4cee-a8e4-ae4064c4badf';
BEGIN; INSERT INTO public.task_run (id, updated, name, run_count, total_run_time, task_key, dynamic_key) VALUES ('55745a65-3a59-4844-83f0-9df464cc8393', '2024-11-30T06:40:02.254263+00:00', 'flaky-0', 0, '00:00:00', 'flaky-554ba630', '0');
  UPDATE public.task_run SET updated = '2024-11-30T06:40:02.254509+00:00', state_type = 'PENDING', state_timestamp = '2024-11-30T06:40:02.252362+00:00' WHERE id = '55745a65-3a59-4844-83f0-9df464cc8393'; COMMIT;
UPDATE public.task_run SET updated = '2024-11-30T06:40:02.26881+00:00', run_count = 1, start_time = '2024-11-30T06:40:02.267828+00:00', state_type = 'RUNNING', state_timestamp = '2024-11-30T06:40:02.267828+00:00' WHERE id = '55745a65-3a59-4844-83f0-9df464cc8393';
UPDATE public.task_run SET updated = '2024-11-30T06:40:02.295995+00:00', state_type = 'SCHEDULED', total_run_time = '00:00:00.030315', state_timestamp = '2024-11-30T06:40:02.298143+00:00' WHERE id = '55745a65-3a59-4844-83f0-9df464cc8393';
UPDATE public.task_run SET updated = '2024-11-30T06:40:02.30859+00:00', run_count = 2, state_type = 'RUNNING', state_timestamp = '2024-11-30T06:40:02.307816+00:00' WHERE id = '55745a65-3a59-4844-83f0-9df464cc8393';
UPDATE public.task_run SET updated = '2024-11-30T06:40:02.33125+00:00', end_time = '2024-11-30T06:40:02.330488+00:00', state_type = 'COMPLETED', total_run_time = '00:00:00.052987', state_timestamp = '2024-11-30T06:40:02.330488+00:00' WHERE id = '55745a65-3a59-4844-83f0-9df464cc8393';
UPDATE public.flow_run SET updated = '2024-11-30T06:40:02.344184+00:00', end_time = '2024-11-30T06:40:02.343196+00:00', state_type = 'COMPLETED', total_run_time = '00:00:00.225397', state_timestamp = '2024-11-30T06:40:02.343196+00:00' WHERE id = 'f648f788-5c02-4556-acc0-98c8e63e1cc8';
INSERT INTO public.flow (id, name) VALUES ('622f36c2-06a7-4e7d-b3d6-5fbb3832e9e5', 'bad');
BEGIN; INSERT INTO public.flow_run (id, updated, name, run_count, total_run_time, flow_id) VALUES ('9f6bde3c-f780-4cf9-880b-95b357dbe560', '2024-11-30T06:40:02.744015+00:00', 'impossible-fennec', 0, '00:00:00', '622f36c2-06a7-4e7d-b3d6-5fbb3832e9e5');
  UPDATE public.flow_run SET updated = '2024-11-30T06:40:02.744411+00:00', state_type = 'PENDING', state_timestamp = '2024-11-30T06:40:02.740443+00:00', expected_start_time = '2024-11-30T06:40:02.740443+00:00' WHERE id = '9f6bde3c-f780-4cf9-880b-95b357dbe560'; COMMIT;
UPDATE public.flow_run SET updated = '2024-11-30T06:40:02.778828+00:00', run_count = 1, start_time = '2024-11-30T06:40:02.776467+00:00', state_type = 'RUNNING', state_timestamp = '2024-11-30T06:40:02.776467+00:00' WHERE id = '9f6bde3c-f780-4cf9-880b-95b357dbe560';
BEGIN; INSERT INTO public.task_run (id, updated, name, run_count, total_run_time, task_key, dynamic_key) VALUES ('e9574c81-c7da-4531-b8b3-797bf34673b2', '2024-11-30T06:40:02.809488+00:00', 'broken-0', 0, '00:00:00', 'broken-4791c718', '0');
  UPDATE public.task_run SET updated = '2024-11-30T06:40:02.809792+00:00', state_type = 'PENDING', state_timestamp = '2024-11-30T06:40:02.807023+00:00' WHERE id = 'e9574c81-c7da-4531-b8b3-797bf34673b2'; COMMIT;
UPDATE public.task_run SET updated = '2024-11-30T06:40:02.868265+00:00', run_count = 1, start_time = '2024-11-30T06:40:02.860677+00:00', state_type = 'RUNNING', state_timestamp = '2024-11-30T06:40:02.860677+00:00' WHERE id = 'e9574c81-c7da-4531-b8b3-797bf34673b2';
UPDATE public.task_run SET updated = '2024-11-30T06:40:02.947719+00:00', end_time = '2024-11-30T06:40:02.946086+00:00', state_type = 'FAILED', total_run_time = '00:00:00.085409', state_timestamp = '2024-11-30T06:40:02.946086+00:00' WHERE id = 'e9574c81-c7da-4531-b8b3-797bf34673b2';
UPDATE public.flow_run SET updated = '2024-11-30T06:40:02.970296+00:00', end_time = '2024-11-30T06:40:02.969227+00:00', state_type = 'FAILED', total_run_time = '00:00:00.19276', state_timestamp = '2024-11-30T06:40:02.969227+00:00' WHERE id = '9f6bde3c-f780-4cf9-880b-95b357dbe560';
BEGIN; INSERT INTO public.flow_run (id, updated, name, run_count, total_run_time, flow_id) VALUES ('4604b7d8-b7f4-4597-8f0b-2ee57720687c', '2024-11-30T06:40:03.182414+00:00', 'passionate-mackerel', 0, '00:00:00', '9d7cabcb-d219-44ab-9702-1fd8d7fae913');
  UPDATE public.flow_run SET updated = '2024-11-30T06:40:03.182809+00:00', state_type = 'PENDING', state_timestamp = '2024-11-30T06:40:03.178854+00:00', expected_start_time = '2024-11-30T06:40:03.178854+00:00' WHERE id = '4604b7d8-b7f4-4597-8f0b-2ee57720687c'; COMMIT;
UPDATE public.flow_run SET updated = '2024-11-30T06:40:03.211493+00:00', run_count = 1, start_time = '2024-11-30T06:40:03.210531+00:00', state_type = 'RUNNING', state_timestamp = '2024-11-30T06:40:03.210531+00:00' WHERE id = '4604b7d8-b7f4-4597-8f0b-2ee57720687c';
BEGIN; INSERT INTO public.task_run (id, updated, name, run_count, total_run_time, task_key, dynamic_key) VALUES ('ce7e3d64-24b2-49b8-8b8c-671791e2f5eb', '2024-11-30T06:40:03.243656+00:00', 'fine-0', 0, '00:00:00', 'fine-31cd2acf', '0');
  UPDATE public.task_run SET updated = '2024-11-30T06:40:03.244001+00:00', state_type = 'PENDING', state_timestamp = '2024-11-30T06:40:03.236692+00:00' WHERE id = 'ce7e3d64-24b2-49b8-8b8c-671791e2f5eb'; COMMIT;
UPDATE public.task_run SET updated = '2024-11-30T06:40:03.302229+00:00', run_count = 1, start_time = '2024-11-30T06:40:03.298961+00:00', state_type = 'RUNNING', state_timestamp = '2024-11-30T06:40:03.298961+00:00' WHERE id = 'ce7e3d64-24b2-49b8-8b8c-671791e2f5eb';
UPDATE public.task_run SET updated = '2024-11-30T06:40:03.331924+00:00', end_time = '2024-11-30T06:40:03.330998+00:00', state_type = 'COMPLETED', total_run_time = '00:00:00.032037', state_timestamp = '2024-11-30T06:40:03.330998+00:00' WHERE id = 'ce7e3d64-24b2-49b8-8b8c-671791e2f5eb';
BEGIN; INSERT INTO public.task_run (id, updated, name, run_count, total_run_time, task_key, dynamic_key) VALUES ('29764112-b757-40b1-9243-2f20d66146d7', '2024-11-30T06:40:03.347627+00:00', 'flaky-0', 0, '00:00:00', 'flaky-554ba630', '0');
  UPDATE public.task_run SET updated = '2024-11-30T06:40:03.348483+00:00', state_type = 'PENDING', state_timestamp = '2024-11-30T06:40:03.344989+00:00' WHERE id = '29764112-b757-40b1-9243-2f20d66146d7'; COMMIT;
UPDATE public.task_run SET updated = '2024-11-30T06:40:03.369966+00:00', run_count = 1, start_time = '2024-11-30T06:40:03.367992+00:00', state_type = 'RUNNING', state_timestamp = '2024-11-30T06:40:03.367992+00:00' WHERE id = '29764112-b757-40b1-9243-2f20d66146d7';
UPDATE public.task_run SET updated = '2024-11-30T06:40:03.402748+00:00', state_type = 'SCHEDULED', total_run_time = '00:00:00.037005', state_timestamp = '2024-11-30T06:40:03.404997+00:00' WHERE id = '29764112-b757-40b1-9243-2f20d66146d7';
UPDATE public.task_run SET updated = '2024-11-30T06:40:03.415926+00:00', run_count = 2, state_type = 'RUNNING', state_timestamp = '2024-11-30T06:40:03.415098+00:00' WHERE id = '29764112-b757-40b1-9243-2f20d66146d7';
UPDATE public.task_run SET updated = '2024-11-30T06:40:03.439059+00:00', end_time = '2024-11-30T06:40:03.438226+00:00', state_type = 'COMPLETED', total_run_time = '00:00:00.060133', state_timestamp = '2024-11-30T06:40:03.438226+00:00' WHERE id = '29764112-b757-40b1-9243-2f20d66146d7';
UPDATE public.flow_run SET updated = '2024-11-30T06:40:03.451293+00:00', end_time = '2024-11-30T06:40:03.450445+00:00', state_type = 'COMPLETED', total_run_time = '00:00:00.239914', state_timestamp = '2024-11-30T06:40:03.450445+00:00' WHERE id = '4604b7d8-b7f4-4597-8f0b-2ee57720687c';
BEGIN; INSERT INTO public.flow_run (id, updated, name, run_count, total_run_time, flow_id) VALUES ('21cea4ed-ce36-47b9-bcfa-b0c7bc5bb44e', '2024-11-30T06:40:03.625297+00:00', 'zippy-wombat', 0, '00:00:00', '622f36c2-06a7-4e7d-b3d6-5fbb3832e9e5');
  UPDATE public.flow_run SET updated = '2024-11-30T06:40:03.625665+00:00', state_type = 'PENDING', state_timestamp = '2024-11-30T06:40:03.621522+00:00', expected_start_time = '2024-11-30T06:40:03.621522+00:00' WHERE id = '21cea4ed-ce36-47b9-bcfa-b0c7bc5bb44e'; COMMIT;
UPDATE public.flow_run SET updated = '2024-11-30T06:40:03.656151+00:00', run_count = 1, start_time = '2024-11-30T06:40:03.655153+00:00', state_type = 'RUNNING', state_timestamp = '2024-11-30T06:40:03.655153+00:00' WHERE id = '21cea4ed-ce36-47b9-bcfa-b0c7bc5bb44e';
BEGIN; INSERT INTO public.task_run (id, updated, name, run_count, total_run_time, task_key, dynamic_key) VALUES ('7ed81661-e3a7-4438-bc85-0f5b4fab19cd', '2024-11-30T06:40:03.690623+00:00', 'broken-0', 0, '00:00:00', 'broken-4791c718', '0');
  UPDATE public.task_run SET updated = '2024-11-30T06:40:03.691025+00:00', state_type = 'PENDING', state_timestamp = '2024-11-30T06:40:03.685033+00:00' WHERE id = '7ed81661-e3a7-4438-bc85-0f5b4fab19cd'; COMMIT;
UPDATE public.task_run SET updated = '2024-11-30T06:40:03.751445+00:00', run_count = 1, start_time = '2024-11-30T06:40:03.748508+00:00', state_type = 'RUNNING', state_timestamp = '2024-11-30T06:40:03.748508+00:00' WHERE id = '7ed81661-e3a7-4438-bc85-0f5b4fab19cd';
UPDATE public.task_run SET updated = '2024-11-30T06:40:03.782866+00:00', end_time = '2024-11-30T06:40:03.781625+00:00', state_type = 'FAILED', total_run_time = '00:00:00.033117', state_timestamp = '2024-11-30T06:40:03.781625+00:00' WHERE id = '7ed81661-e3a7-4438-bc85-0f5b4fab19cd';
UPDATE public.flow_run SET updated = '2024-11-30T06:40:03.798762+00:00', end_time = '2024-11-30T06:40:03.796881+00:00', state_type = 'FAILED', total_run_time = '00:00:00.141728', state_timestamp = '2024-11-30T06:40:03.796881+00:00' WHERE id = '21cea4ed-ce36-47b9-bcfa-b0c7bc5bb44e';

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
-- = background_task_duration_seconds_sum{queue=flow_run, task=bad} 0.334488
-- = background_task_duration_seconds_sum{queue=flow_run, task=orders} 0.465311
-- = background_task_duration_seconds_sum{queue=task_run, task=broken} 0.118526
-- = background_task_duration_seconds_sum{queue=task_run, task=fine} 0.066214
-- = background_task_duration_seconds_sum{queue=task_run, task=flaky} 0.11312
-- = background_task_wait_seconds_count{queue=flow_run, task=bad} 2
-- = background_task_wait_seconds_count{queue=flow_run, task=orders} 2
-- = background_task_wait_seconds_sum{queue=flow_run, task=bad} 0.069655
-- = background_task_wait_seconds_sum{queue=flow_run, task=orders} 0.091075
-- = background_tasks_total{outcome=failure, queue=flow_run, task=bad} 2
-- = background_tasks_total{outcome=failure, queue=task_run, task=broken} 2
-- = background_tasks_total{outcome=success, queue=flow_run, task=orders} 2
-- = background_tasks_total{outcome=success, queue=task_run, task=fine} 2
-- = background_tasks_total{outcome=success, queue=task_run, task=flaky} 2
