-- What plain SQL over the raw tables says: one query a series, its labels' values first, the value last.
-- `:name` stands for the condition of that name that a good row meets.

-- :good_request metric_type = 'response_time' AND value >= 0 AND value < 'Infinity' AND status_code IS NOT NULL
-- :good_call response_time >= 0

-- platform_http_requests_total: code, method
SELECT CASE WHEN status_code BETWEEN 100 AND 599 THEN status_code::text ELSE 'other' END, CASE WHEN
upper(coalesce(metadata->>'method', 'GET')) IN ('GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS') THEN
upper(coalesce(metadata->>'method', 'GET')) ELSE 'other' END, count(*) FROM monitoring_app_systemmetric WHERE
:good_request GROUP BY 1, 2;

-- platform_http_request_duration_seconds_count: 
SELECT count(*) FROM monitoring_app_systemmetric WHERE :good_request;

-- platform_http_request_duration_seconds_sum: 
SELECT sum(value) / 1000 FROM monitoring_app_systemmetric WHERE :good_request;

-- platform_api_calls_total: api
SELECT api_name, count(*) FROM monitoring_app_apiusagemetric WHERE :good_call GROUP BY 1;

-- platform_api_call_failures_total: api
SELECT api_name, count(*) FROM monitoring_app_apiusagemetric WHERE :good_call AND NOT success GROUP BY 1;

-- platform_api_call_duration_seconds_count: api
SELECT api_name, count(*) FROM monitoring_app_apiusagemetric WHERE :good_call GROUP BY 1;

-- platform_api_call_duration_seconds_sum: api
SELECT api_name, sum(response_time) / 1000 FROM monitoring_app_apiusagemetric WHERE :good_call GROUP BY 1;

-- platform_api_responses_total: api, code
SELECT api_name, CASE WHEN status_code BETWEEN 100 AND 999 THEN status_code::text WHEN status_code IS NULL THEN 'none'
ELSE 'other' END, count(*) FROM monitoring_app_apiusagemetric WHERE :good_call GROUP BY 1, 2;

-- platform_api_response_bytes_total: api
SELECT api_name, sum(coalesce(response_size, 0)) FROM monitoring_app_apiusagemetric WHERE :good_call GROUP BY 1;

-- platform_errors_total: error_type, severity
SELECT error_type, severity, count(*) FROM monitoring_app_errorlog GROUP BY 1, 2;

-- platform_user_activity_total: activity, role
SELECT activity_type, CASE WHEN is_superuser THEN 'superuser' WHEN is_staff THEN 'staff' ELSE 'user' END,
count(*) FROM monitoring_app_useractivity a JOIN auth_user u ON u.id = a.user_id GROUP BY 1, 2;

-- platform_user_activity_failures_total: activity
SELECT activity_type, count(*) FROM monitoring_app_useractivity WHERE NOT success GROUP BY 1;

-- platform_error_issues: status
SELECT CASE WHEN open THEN 'open' ELSE 'resolved' END, count(*) FROM (SELECT bool_or(NOT resolved) AS open FROM
monitoring_app_errorlog GROUP BY error_type, endpoint) i GROUP BY 1;

-- platform_active_users: window
SELECT w, count(DISTINCT user_id) FROM (SELECT user_id, "timestamp" AS at FROM monitoring_app_useractivity UNION
ALL SELECT user_id, "timestamp" FROM monitoring_app_systemmetric WHERE metric_type = 'response_time' AND value
>= 0) seen, unnest(ARRAY['5m', '1h', '1d', '7d'], ARRAY[300, 3600, 86400, 604800]) AS windows(w, s) WHERE at >
now() - s * interval '1 s' GROUP BY 1;
