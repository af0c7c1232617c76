-- Celery 5.7.0: the table of its database backend with result_extended, and what a worker wrote for a task that succeeds, one that
-- fails, one that is retried twice and one that is revoked.

CREATE TABLE public.celery_taskmeta (
    id integer NOT NULL,
    task_id character varying(155),
    status character varying(50),
    result bytea,
    date_done timestamp without time zone,
    traceback text,
    children bytea,
    name character varying(155),
    args bytea,
    kwargs bytea,
    worker character varying(155),
    retries integer,
    queue character varying(155),
    stamps bytea
);
ALTER TABLE ONLY public.celery_taskmeta ADD CONSTRAINT celery_taskmeta_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.celery_taskmeta ADD CONSTRAINT celery_taskmeta_task_id_key UNIQUE (task_id);

-- writes
BEGIN; INSERT INTO public.celery_taskmeta (id, task_id, status, date_done) VALUES (5, 'd0edc223-ed3a-4c8b-8148-409e31e1a683', 'PENDING', '2024-11-30T07:04:55.997892');
  UPDATE public.celery_taskmeta SET name = 'shop.add', queue = 'celery', status = 'SUCCESS', worker = 'vm', retries = 0, date_done = '2024-11-30T07:04:56.009621' WHERE id = 5; COMMIT;
BEGIN; INSERT INTO public.celery_taskmeta (id, task_id, status, date_done) VALUES (6, '1b1272d8-49ae-4a6a-9be9-aa35a6bb5782', 'PENDING', '2024-11-30T07:04:56.082521');
  UPDATE public.celery_taskmeta SET status = 'REVOKED', date_done = '2024-11-30T07:04:56.089649' WHERE id = 6; COMMIT;
BEGIN; INSERT INTO public.celery_taskmeta (id, task_id, status, date_done) VALUES (7, 'f13d7da7-8348-42a2-8418-787138e962fb', 'PENDING', '2024-11-30T07:04:56.143178');
  UPDATE public.celery_taskmeta SET name = 'shop.fail', queue = 'celery', status = 'FAILURE', worker = 'vm', retries = 0, date_done = '2024-11-30T07:04:56.157467' WHERE id = 7; COMMIT;
BEGIN; INSERT INTO public.celery_taskmeta (id, task_id, status, date_done) VALUES (8, '35bae14b-42a9-4ba9-8893-d7919a8f7906', 'PENDING', '2024-11-30T07:04:56.257777');
  UPDATE public.celery_taskmeta SET name = 'shop.flaky', queue = 'celery', status = 'RETRY', worker = 'vm', retries = 0, date_done = NULL WHERE id = 8; COMMIT;
UPDATE public.celery_taskmeta SET name = 'shop.add', queue = 'celery', worker = 'gen11574@vm', retries = 0, date_done = '2024-11-30T07:04:56.341415' WHERE id = 6;
UPDATE public.celery_taskmeta SET retries = 1, date_done = '2024-11-30T07:04:56.418757' WHERE id = 8;
UPDATE public.celery_taskmeta SET status = 'SUCCESS', retries = 2, date_done = '2024-11-30T07:04:56.461538' WHERE id = 8;

-- = background_task_attempts_count{queue=celery, task=shop.add} 1
-- = background_task_attempts_count{queue=celery, task=shop.fail} 1
-- = background_task_attempts_count{queue=celery, task=shop.flaky} 1
-- = background_task_attempts_sum{queue=celery, task=shop.add} 1
-- = background_task_attempts_sum{queue=celery, task=shop.fail} 1
-- = background_task_attempts_sum{queue=celery, task=shop.flaky} 3
-- = background_tasks_total{outcome=failure, queue=celery, task=shop.fail} 1
-- = background_tasks_total{outcome=failure, task=unknown} 1
-- = background_tasks_total{outcome=retry, queue=celery, task=shop.flaky} 2
-- = background_tasks_total{outcome=success, queue=celery, task=shop.add} 1
-- = background_tasks_total{outcome=success, queue=celery, task=shop.flaky} 1
