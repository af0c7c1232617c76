-- Procrastinate 3.10.0: two tables, and what its worker wrote for a job that succeeds, one that fails, one that is retried and
-- one that is cancelled, with delete_jobs never, successful and always. The rows that its triggers add are among them.

CREATE TYPE public.procrastinate_job_event_type AS ENUM ('deferred', 'started', 'deferred_for_retry', 'failed', 'succeeded', 'cancelled', 'abort_requested', 'aborted', 'scheduled', 'retried');
CREATE TYPE public.procrastinate_job_status AS ENUM ('todo', 'doing', 'succeeded', 'failed', 'cancelled', 'aborting', 'aborted');
CREATE TABLE public.procrastinate_jobs (
    id bigint NOT NULL,
    queue_name character varying(128) NOT NULL,
    task_name character varying(128) NOT NULL,
    priority integer DEFAULT 0 NOT NULL,
    lock text,
    queueing_lock text,
    args jsonb DEFAULT '{}'::jsonb NOT NULL,
    status public.procrastinate_job_status DEFAULT 'todo'::public.procrastinate_job_status NOT NULL,
    scheduled_at timestamp with time zone,
    attempts integer DEFAULT 0 NOT NULL,
    abort_requested boolean DEFAULT false NOT NULL,
    worker_id bigint,
    CONSTRAINT check_not_todo_abort_requested CHECK ((NOT ((status = 'todo'::public.procrastinate_job_status) AND (abort_requested = true))))
);
CREATE TABLE public.procrastinate_events (
    id bigint NOT NULL,
    job_id bigint NOT NULL,
    type public.procrastinate_job_event_type,
    at timestamp with time zone DEFAULT now()
);
CREATE SEQUENCE public.procrastinate_events_id_seq START WITH 1 INCREMENT BY 1 NO MINVALUE NO MAXVALUE CACHE 1;
ALTER SEQUENCE public.procrastinate_events_id_seq OWNED BY public.procrastinate_events.id;
CREATE SEQUENCE public.procrastinate_jobs_id_seq START WITH 1 INCREMENT BY 1 NO MINVALUE NO MAXVALUE CACHE 1;
ALTER SEQUENCE public.procrastinate_jobs_id_seq OWNED BY public.procrastinate_jobs.id;
ALTER TABLE ONLY public.procrastinate_events ALTER COLUMN id SET DEFAULT nextval('public.procrastinate_events_id_seq'::regclass);
ALTER TABLE ONLY public.procrastinate_jobs ALTER COLUMN id SET DEFAULT nextval('public.procrastinate_jobs_id_seq'::regclass);
ALTER TABLE ONLY public.procrastinate_events ADD CONSTRAINT procrastinate_events_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.procrastinate_jobs ADD CONSTRAINT procrastinate_jobs_pkey PRIMARY KEY (id);

-- writes
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (1, 1, 'deferred', '2024-11-30T06:43:04.174803+00:00');
  INSERT INTO public.procrastinate_jobs (id, queue_name, task_name, status, attempts) VALUES (1, 'default', 'shop.add', 'todo', 0); COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (2, 2, 'deferred', '2024-11-30T06:43:04.193821+00:00');
  INSERT INTO public.procrastinate_jobs (id, queue_name, task_name, status, attempts) VALUES (2, 'default', 'shop.fail', 'todo', 0); COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (3, 3, 'deferred', '2024-11-30T06:43:04.204863+00:00');
  INSERT INTO public.procrastinate_jobs (id, queue_name, task_name, status, attempts) VALUES (3, 'slow', 'shop.flaky', 'todo', 0); COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (4, 4, 'scheduled', '2024-11-30T07:43:04.210604+00:00');
  INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (5, 4, 'deferred', '2024-11-30T06:43:04.214713+00:00');
  INSERT INTO public.procrastinate_jobs (id, queue_name, task_name, status, attempts) VALUES (4, 'default', 'shop.add', 'todo', 0); COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (6, 4, 'cancelled', '2024-11-30T06:43:04.240297+00:00');
  UPDATE public.procrastinate_jobs SET status = 'cancelled' WHERE id = 4; COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (7, 1, 'started', '2024-11-30T06:43:04.27112+00:00');
  UPDATE public.procrastinate_jobs SET status = 'doing' WHERE id = 1; COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (8, 1, 'succeeded', '2024-11-30T06:43:04.28309+00:00');
  UPDATE public.procrastinate_jobs SET status = 'succeeded', attempts = 1 WHERE id = 1; COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (9, 2, 'started', '2024-11-30T06:43:04.289621+00:00');
  UPDATE public.procrastinate_jobs SET status = 'doing' WHERE id = 2; COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (10, 2, 'failed', '2024-11-30T06:43:04.301305+00:00');
  UPDATE public.procrastinate_jobs SET status = 'failed', attempts = 1 WHERE id = 2; COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (11, 3, 'started', '2024-11-30T06:43:04.307147+00:00');
  UPDATE public.procrastinate_jobs SET status = 'doing' WHERE id = 3; COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (12, 3, 'scheduled', '2024-11-30T06:43:04.30922+00:00');
  INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (13, 3, 'deferred_for_retry', '2024-11-30T06:43:04.309651+00:00');
  UPDATE public.procrastinate_jobs SET status = 'todo', attempts = 1 WHERE id = 3; COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (14, 3, 'started', '2024-11-30T06:43:04.315176+00:00');
  UPDATE public.procrastinate_jobs SET status = 'doing' WHERE id = 3; COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (15, 3, 'succeeded', '2024-11-30T06:43:04.320311+00:00');
  UPDATE public.procrastinate_jobs SET status = 'succeeded', attempts = 2 WHERE id = 3; COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (16, 5, 'deferred', '2024-11-30T06:43:05.425568+00:00');
  INSERT INTO public.procrastinate_jobs (id, queue_name, task_name, status, attempts) VALUES (5, 'default', 'shop.add', 'todo', 0); COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (17, 6, 'deferred', '2024-11-30T06:43:05.444467+00:00');
  INSERT INTO public.procrastinate_jobs (id, queue_name, task_name, status, attempts) VALUES (6, 'default', 'shop.fail', 'todo', 0); COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (18, 7, 'deferred', '2024-11-30T06:43:05.45409+00:00');
  INSERT INTO public.procrastinate_jobs (id, queue_name, task_name, status, attempts) VALUES (7, 'slow', 'shop.flaky', 'todo', 0); COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (19, 8, 'scheduled', '2024-11-30T07:43:05.467867+00:00');
  INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (20, 8, 'deferred', '2024-11-30T06:43:05.468491+00:00');
  INSERT INTO public.procrastinate_jobs (id, queue_name, task_name, status, attempts) VALUES (8, 'default', 'shop.add', 'todo', 0); COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (21, 8, 'cancelled', '2024-11-30T06:43:05.481691+00:00');
  UPDATE public.procrastinate_jobs SET status = 'cancelled' WHERE id = 8; COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (22, 5, 'started', '2024-11-30T06:43:05.507327+00:00');
  UPDATE public.procrastinate_jobs SET status = 'doing' WHERE id = 5; COMMIT;
BEGIN; DELETE FROM public.procrastinate_jobs WHERE id = 5;
  DELETE FROM public.procrastinate_events WHERE id = 16;
  DELETE FROM public.procrastinate_events WHERE id = 22; COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (23, 6, 'started', '2024-11-30T06:43:05.523462+00:00');
  UPDATE public.procrastinate_jobs SET status = 'doing' WHERE id = 6; COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (24, 6, 'failed', '2024-11-30T06:43:05.543791+00:00');
  UPDATE public.procrastinate_jobs SET status = 'failed', attempts = 1 WHERE id = 6; COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (25, 7, 'started', '2024-11-30T06:43:05.551136+00:00');
  UPDATE public.procrastinate_jobs SET status = 'doing' WHERE id = 7; COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (26, 7, 'scheduled', '2024-11-30T06:43:05.557984+00:00');
  INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (27, 7, 'deferred_for_retry', '2024-11-30T06:43:05.558573+00:00');
  UPDATE public.procrastinate_jobs SET status = 'todo', attempts = 1 WHERE id = 7; COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (28, 7, 'started', '2024-11-30T06:43:05.565552+00:00');
  UPDATE public.procrastinate_jobs SET status = 'doing' WHERE id = 7; COMMIT;
BEGIN; DELETE FROM public.procrastinate_jobs WHERE id = 7;
  DELETE FROM public.procrastinate_events WHERE id = 18;
  DELETE FROM public.procrastinate_events WHERE id = 25;
  DELETE FROM public.procrastinate_events WHERE id = 26;
  DELETE FROM public.procrastinate_events WHERE id = 27;
  DELETE FROM public.procrastinate_events WHERE id = 28; COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (29, 9, 'deferred', '2024-11-30T06:43:07.145163+00:00');
  INSERT INTO public.procrastinate_jobs (id, queue_name, task_name, status, attempts) VALUES (9, 'default', 'shop.add', 'todo', 0); COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (30, 10, 'deferred', '2024-11-30T06:43:07.154324+00:00');
  INSERT INTO public.procrastinate_jobs (id, queue_name, task_name, status, attempts) VALUES (10, 'default', 'shop.fail', 'todo', 0); COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (31, 11, 'deferred', '2024-11-30T06:43:07.176343+00:00');
  INSERT INTO public.procrastinate_jobs (id, queue_name, task_name, status, attempts) VALUES (11, 'slow', 'shop.flaky', 'todo', 0); COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (32, 12, 'scheduled', '2024-11-30T07:43:07.189019+00:00');
  INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (33, 12, 'deferred', '2024-11-30T06:43:07.189575+00:00');
  INSERT INTO public.procrastinate_jobs (id, queue_name, task_name, status, attempts) VALUES (12, 'default', 'shop.add', 'todo', 0); COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (34, 12, 'cancelled', '2024-11-30T06:43:07.206568+00:00');
  UPDATE public.procrastinate_jobs SET status = 'cancelled' WHERE id = 12; COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (35, 9, 'started', '2024-11-30T06:43:07.245743+00:00');
  UPDATE public.procrastinate_jobs SET status = 'doing' WHERE id = 9; COMMIT;
BEGIN; DELETE FROM public.procrastinate_jobs WHERE id = 9;
  DELETE FROM public.procrastinate_events WHERE id = 29;
  DELETE FROM public.procrastinate_events WHERE id = 35; COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (36, 10, 'started', '2024-11-30T06:43:07.268899+00:00');
  UPDATE public.procrastinate_jobs SET status = 'doing' WHERE id = 10; COMMIT;
BEGIN; DELETE FROM public.procrastinate_jobs WHERE id = 10;
  DELETE FROM public.procrastinate_events WHERE id = 30;
  DELETE FROM public.procrastinate_events WHERE id = 36; COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (37, 11, 'started', '2024-11-30T06:43:07.283682+00:00');
  UPDATE public.procrastinate_jobs SET status = 'doing' WHERE id = 11; COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (38, 11, 'scheduled', '2024-11-30T06:43:07.289274+00:00');
  INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (39, 11, 'deferred_for_retry', '2024-11-30T06:43:07.289576+00:00');
  UPDATE public.procrastinate_jobs SET status = 'todo', attempts = 1 WHERE id = 11; COMMIT;
BEGIN; INSERT INTO public.procrastinate_events (id, job_id, type, at) VALUES (40, 11, 'started', '2024-11-30T06:43:07.300901+00:00');
  UPDATE public.procrastinate_jobs SET status = 'doing' WHERE id = 11; COMMIT;
BEGIN; DELETE FROM public.procrastinate_jobs WHERE id = 11;
  DELETE FROM public.procrastinate_events WHERE id = 31;
  DELETE FROM public.procrastinate_events WHERE id = 37;
  DELETE FROM public.procrastinate_events WHERE id = 38;
  DELETE FROM public.procrastinate_events WHERE id = 39;
  DELETE FROM public.procrastinate_events WHERE id = 40; COMMIT;

-- = background_task_attempts_count{queue=default, task=shop.add} 2
-- = background_task_attempts_count{queue=default, task=shop.fail} 1
-- = background_task_attempts_count{queue=slow, task=shop.flaky} 2
-- = background_task_attempts_sum{queue=default, task=shop.add} 2
-- = background_task_attempts_sum{queue=default, task=shop.fail} 1
-- = background_task_attempts_sum{queue=slow, task=shop.flaky} 4
-- = background_task_duration_seconds_count{queue=default, task=shop.add} 1
-- = background_task_duration_seconds_count{queue=default, task=shop.fail} 2
-- = background_task_duration_seconds_count{queue=slow, task=shop.flaky} 2
-- = background_task_duration_seconds_sum{queue=default, task=shop.add} 0.01197
-- = background_task_duration_seconds_sum{queue=default, task=shop.fail} 0.032013
-- = background_task_duration_seconds_sum{queue=slow, task=shop.flaky} 0.007639
-- = background_task_wait_seconds_count{queue=default, task=shop.add} 1
-- = background_task_wait_seconds_count{queue=default, task=shop.fail} 2
-- = background_task_wait_seconds_count{queue=slow, task=shop.flaky} 2
-- = background_task_wait_seconds_sum{queue=default, task=shop.add} 0.096317
-- = background_task_wait_seconds_sum{queue=default, task=shop.fail} 0.174795
-- = background_task_wait_seconds_sum{queue=slow, task=shop.flaky} 0.107809
-- = background_tasks_total{outcome=failure, queue=default, task=shop.fail} 2
-- = background_tasks_total{outcome=retry, queue=(deleted job), task=(deleted job)} 2
-- = background_tasks_total{outcome=retry, queue=slow, task=shop.flaky} 1
-- = background_tasks_total{outcome=success, queue=default, task=shop.add} 3
-- = background_tasks_total{outcome=success, queue=default, task=shop.fail} 1
-- = background_tasks_total{outcome=success, queue=slow, task=shop.flaky} 3
