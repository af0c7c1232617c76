-- Rows as the application writes them, naming its columns; and rows that are malformed in every way.
INSERT INTO monitoring_app_systemmetric (id, metric_type, endpoint, value, status_code, "timestamp", metadata, user_id)
SELECT 1000000 + row_number() OVER (), kind, path, value, status, now(), metadata::jsonb, NULL FROM (VALUES
    ('response_time', '/api/items/123/', 5.5, 200, '{"method": "get"}'),
    ('response_time', '/api/items/124/?page=3', 5.5, 200, '{"method": "GET"}'),
    ('response_time', '/a/1/2/3', 5.5, 404, '{}'), ('response_time', '/9', 5.5, 201, '[]'),
    ('response_time', '/u/550e8400-e29b-41d4-a716-446655440000', 5.5, 500, '{"method": "POST"}'),
    ('response_time', '/U/550E8400-E29B-41D4-A716-446655440000/1', 5.5, 500, '{"method": "BREW"}'),
    ('response_time', '/blob/da39a3ee5e6b4b0d3255bfef95601890afd80709/raw', 5.5, 200, '{"method": null}'),
    ('response_time', '/deadbeefdeadbeefdeadbeef/', 5.5, 200, '"text"'), ('response_time', '/v2/deed/', 1.5, 99, '{}'),
    ('response_time', NULL, 5.5, 200, '{}'), ('response_time', '', 5.5, 200, '{}'),
    ('response_time', '/null', 5.5, NULL, '{}'), ('response_time', '/negative', -1, 200, '{}'),
    ('response_time', '/nan', 'NaN', 200, '{}'), ('response_time', '/inf', 'Infinity', 200, '{}'),
    ('cpu_usage', '/not-a-request', 5.5, 200, '{}')
) AS new(kind, path, value, status, metadata);
INSERT INTO monitoring_app_apiusagemetric (id, api_name, endpoint, response_time, status_code, success, query_params,
    response_size, "timestamp")
VALUES (1000001, 'arxiv', 'https://x', 12, 200, true, '{}', NULL, now()),
    (1000002, 'arxiv', 'https://x', 12, 429, false, '{}', 5, now()),
    (1000003, 'crossref', 'https://x', 12, 500, false, '{}', 5, now()),
    (1000004, 'crossref', 'https://x', -12, 500, false, '{}', 5, now());
INSERT INTO monitoring_app_errorlog (id, severity, error_type, message, endpoint, "timestamp", resolved, metadata)
VALUES (1000001, 'critical', 'MemoryError', 'x', '/x', now(), true, '{}'), (1000002, 'low', 'OSError', 'x', NULL, now(),
    false, '{}');
INSERT INTO monitoring_app_useractivity (id, activity_type, details, "timestamp", user_id, success)
VALUES (1000001, 'upload', '{}', now(), 1, false);
UPDATE monitoring_app_errorlog SET resolved = true WHERE severity = 'high';
