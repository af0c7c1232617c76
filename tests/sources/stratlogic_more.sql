-- Rows as the application writes them, naming its columns; and rows that are malformed in every way.
ALTER TABLE scraping_metrics ALTER duration_ms DROP NOT NULL, ALTER success DROP NOT NULL;
INSERT INTO scraping_metrics (id, job_id, scraper_type, success, duration_ms, items_processed, items_failed, error_message)
VALUES (gen_random_uuid(), (SELECT id FROM scraping_jobs LIMIT 1), 'paper', 1, 1500, 10, 1, NULL),
    (gen_random_uuid(), (SELECT id FROM scraping_jobs LIMIT 1), 'brand new', 0, 2500.5, NULL, NULL, 'HTTP 429 Too Many Requests'),
    (gen_random_uuid(), (SELECT id FROM scraping_jobs LIMIT 1), 'paper', 1, NULL, 7, 7, 'no duration'),
    (gen_random_uuid(), (SELECT id FROM scraping_jobs LIMIT 1), 'paper', 1, -5, 7, 7, 'negative duration'),
    (gen_random_uuid(), (SELECT id FROM scraping_jobs LIMIT 1), 'paper', 1, 5, 7, -7, 'negative items'),
    (gen_random_uuid(), (SELECT id FROM scraping_jobs LIMIT 1), 'paper', 7, 5, 7, 7, 'success is neither 0 nor 1'),
    (gen_random_uuid(), (SELECT id FROM scraping_jobs LIMIT 1), 'paper', NULL, 5, 7, 7, 'success is unknown');
INSERT INTO scraping_metrics (id, job_id, scraper_type, success, duration_ms, created_at)
VALUES (gen_random_uuid(), (SELECT id FROM scraping_jobs LIMIT 1), 'paper', 1, 5, '2999-01-01'),
    (gen_random_uuid(), (SELECT id FROM scraping_jobs LIMIT 1), 'paper', 1, 5, 'infinity');
INSERT INTO user_activity (id, user_id, activity_type, session_id, created_at)
SELECT gen_random_uuid(), id, 'login', 'fresh ' || username, now() AT TIME ZONE 'UTC' FROM users LIMIT 7;
INSERT INTO performance_metrics (id, metric_name, metric_type, value, unit, labels, "timestamp")
SELECT gen_random_uuid(), name, kind::metrictype, value, unit, labels, now() AT TIME ZONE 'UTC' FROM (VALUES
    ('db_query_time', 'HISTOGRAM', 12.5, 'ms', '{"table": "users"}'), ('artifact_bytes', 'COUNTER', 4096, 'bytes', NULL),
    ('artifact_bytes', 'COUNTER', -1, 'bytes', NULL), ('queue_size', 'GAUGE', 17, 'count', NULL),
    ('db_query_time', 'HISTOGRAM', 3, 'ms', '{"table": '), ('db_query_time', 'HISTOGRAM', 3, 'ms', '[1]'),
    ('db_query_time', 'HISTOGRAM', 3, 'ms', 'null?'), ('db_query_time', 'HISTOGRAM', 3, 'ms', '')
) AS new(name, kind, value, unit, labels);
UPDATE scraping_jobs SET status = 'running' WHERE id IN (SELECT id FROM scraping_jobs WHERE status = 'completed' LIMIT 9);
UPDATE alerts SET resolved = 1 WHERE severity = 'high';
