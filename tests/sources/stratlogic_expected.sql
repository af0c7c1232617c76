-- What plain SQL over the raw tables says: one query a series, its labels' values first, the value last.
-- `:name` stands for the condition of that name that a good row meets.

-- :good_run success IN (0, 1) AND duration_ms >= 0 AND created_at < now() AT TIME ZONE 'UTC' + interval '5 min' AND coalesce(items_failed, 0) >= 0

-- platform_scraping_runs_total: scraper
SELECT scraper_type, count(*) FROM scraping_metrics WHERE :good_run GROUP BY 1;

-- platform_scraping_run_failures_total: scraper
SELECT scraper_type, count(*) FROM scraping_metrics WHERE :good_run AND success = 0 GROUP BY 1;

-- platform_scraping_run_duration_seconds_count: scraper
SELECT scraper_type, count(*) FROM scraping_metrics WHERE :good_run GROUP BY 1;

-- platform_scraping_run_duration_seconds_sum: scraper
SELECT scraper_type, sum(duration_ms) / 1000 FROM scraping_metrics WHERE :good_run GROUP BY 1;

-- platform_scraping_items_total: scraper
SELECT scraper_type, sum(coalesce(items_processed, 0)) FROM scraping_metrics WHERE :good_run GROUP BY 1;

-- platform_scraping_item_failures_total: scraper
SELECT scraper_type, sum(coalesce(items_failed, 0)) FROM scraping_metrics WHERE :good_run GROUP BY 1;

-- platform_user_activity_total: activity, role
SELECT activity_type, (SELECT lower(role) FROM users WHERE id = user_id), count(*) FROM user_activity GROUP BY
1, 2;

-- platform_sample_db_query_time_seconds_count: 
SELECT count(*) FROM performance_metrics WHERE metric_name = 'db_query_time' AND (labels IS NULL OR labels LIKE
'{%}');

-- platform_sample_db_query_time_seconds_sum: 
SELECT sum(value) / 1000 FROM performance_metrics WHERE metric_name = 'db_query_time' AND (labels IS NULL OR
labels LIKE '{%}');

-- platform_sample_artifact_bytes_total: 
SELECT sum(value) FROM performance_metrics WHERE metric_name = 'artifact_bytes' AND (labels IS NULL OR labels
LIKE '{%}') AND value >= 0;

-- platform_sample_queue_size: 
SELECT value FROM performance_metrics WHERE metric_name = 'queue_size' AND (labels IS NULL OR labels LIKE '{%}')
ORDER BY "timestamp" DESC LIMIT 1;

-- platform_scraping_jobs: scraper, status
SELECT replace(job_type, '_scraper', ''), status, count(*) FROM scraping_jobs GROUP BY 1, 2;

-- platform_scraping_oldest_pending_timestamp_seconds: scraper
SELECT replace(job_type, '_scraper', ''), extract(epoch FROM min(created_at)) FROM scraping_jobs WHERE status =
'pending' GROUP BY 1;

-- platform_scraping_oldest_heartbeat_timestamp_seconds: scraper
SELECT replace(job_type, '_scraper', ''), extract(epoch FROM min(updated_at)) FROM scraping_jobs WHERE status =
'running' GROUP BY 1;

-- platform_scraping_oldest_progress_timestamp_seconds: scraper
SELECT replace(job_type, '_scraper', ''), extract(epoch FROM min(updated_at)) FROM scraping_jobs WHERE status =
'running' GROUP BY 1;

-- platform_scraping_last_success_timestamp_seconds: scraper
SELECT scraper_type, extract(epoch FROM max(created_at)) FROM scraping_metrics WHERE :good_run AND success = 1
GROUP BY 1;

-- platform_scraping_last_run_items: scraper
SELECT DISTINCT ON (scraper_type) scraper_type, coalesce(items_processed, 0) FROM scraping_metrics WHERE :good_run
AND success = 1 ORDER BY scraper_type, created_at DESC;

-- platform_scraping_last_run_duration_seconds: scraper
SELECT DISTINCT ON (scraper_type) scraper_type, duration_ms / 1000 FROM scraping_metrics WHERE :good_run AND success = 1
ORDER BY scraper_type, created_at DESC;

-- platform_open_alerts: alert_source, severity
SELECT source, severity, count(*) FROM alerts WHERE resolved = 0 GROUP BY 1, 2;

-- platform_active_users: window
SELECT w, count(DISTINCT user_id) FROM user_activity, unnest(ARRAY['5m', '1h', '1d', '7d'], ARRAY[300, 3600,
86400, 604800]) AS windows(w, s) WHERE created_at > now() AT TIME ZONE 'UTC' - s * interval '1 s' GROUP BY 1;

-- platform_active_sessions: window
SELECT w, count(DISTINCT session_id) FROM user_activity, unnest(ARRAY['5m', '1h', '1d', '7d'], ARRAY[300, 3600,
86400, 604800]) AS windows(w, s) WHERE created_at > now() AT TIME ZONE 'UTC' - s * interval '1 s' GROUP BY 1;

-- platform_exporter_events_total: 
SELECT (SELECT count(*) FROM scraping_metrics WHERE :good_run) + (SELECT count(*) FROM user_activity) + (SELECT
count(*) FROM performance_metrics WHERE (labels IS NULL OR labels LIKE '{%}') AND NOT (metric_type = 'COUNTER'
AND value < 0));
