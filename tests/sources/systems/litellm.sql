-- LiteLLM 1.110.2 (migrations of litellm-proxy-extras 0.4.110): its spend log, and rows as its proxy makes them (get_logging_payload), in batches:
-- two models behind their groups, a call that is answered from the cache, failures with their errors, a row of a version without status.

CREATE TABLE public."LiteLLM_SpendLogs" (
    request_id text NOT NULL,
    call_type text NOT NULL,
    api_key text DEFAULT ''::text NOT NULL,
    spend double precision DEFAULT 0.0 NOT NULL,
    total_tokens integer DEFAULT 0 NOT NULL,
    prompt_tokens integer DEFAULT 0 NOT NULL,
    completion_tokens integer DEFAULT 0 NOT NULL,
    "startTime" timestamp(3) without time zone NOT NULL,
    "endTime" timestamp(3) without time zone NOT NULL,
    "completionStartTime" timestamp(3) without time zone,
    model text DEFAULT ''::text NOT NULL,
    model_id text DEFAULT ''::text,
    model_group text DEFAULT ''::text,
    custom_llm_provider text DEFAULT ''::text,
    api_base text DEFAULT ''::text,
    "user" text DEFAULT ''::text,
    metadata jsonb DEFAULT '{}'::jsonb,
    cache_hit text DEFAULT ''::text,
    cache_key text DEFAULT ''::text,
    request_tags jsonb DEFAULT '[]'::jsonb,
    team_id text,
    end_user text,
    requester_ip_address text,
    messages jsonb DEFAULT '{}'::jsonb,
    response jsonb DEFAULT '{}'::jsonb,
    proxy_server_request jsonb DEFAULT '{}'::jsonb,
    session_id text,
    status text,
    mcp_namespaced_tool_name text,
    agent_id text,
    request_duration_ms integer,
    created_at timestamp(3) without time zone DEFAULT CURRENT_TIMESTAMP NOT NULL,
    updated_at timestamp(3) without time zone DEFAULT CURRENT_TIMESTAMP NOT NULL,
    litellm_call_id text,
    billing_agent_id text
);
ALTER TABLE ONLY public."LiteLLM_SpendLogs" ADD CONSTRAINT "LiteLLM_SpendLogs_pkey" PRIMARY KEY (request_id);

-- writes
INSERT INTO public."LiteLLM_SpendLogs" (request_id, call_type, "startTime", "endTime", model, model_group, custom_llm_provider, metadata, cache_hit, status, spend) VALUES
  ('chatcmpl-1', 'acompletion', '2024-11-30 06:40:01.000', '2024-11-30 06:40:02.500', 'gpt-4o-2024-08-06', 'gpt-4o', 'openai', '{"status": null, "error_information": null}', 'None', 'success', 0.25),
  ('chatcmpl-2', 'acompletion', '2024-11-30 06:40:02.000', '2024-11-30 06:40:04.000', 'claude-3-5-sonnet-20240620', 'claude', 'anthropic', '{"status": null, "error_information": null}', 'None', 'success', 0.5),
  ('chatcmpl-3', 'acompletion', '2024-11-30 06:40:03.000', '2024-11-30 06:40:03.250', 'gpt-4o', 'gpt-4o', '', '{"status": "failure", "error_information": {"error_code": "429", "error_class": "RateLimitError", "llm_provider": "openai", "traceback": ""}}', 'None', 'failure', 0.0)
  ON CONFLICT DO NOTHING;
INSERT INTO public."LiteLLM_SpendLogs" (request_id, call_type, "startTime", "endTime", model, model_group, custom_llm_provider, metadata, cache_hit, status, spend) VALUES
  ('chatcmpl-2', 'acompletion', '2024-11-30 06:40:02.000', '2024-11-30 06:40:04.000', 'claude-3-5-sonnet-20240620', 'claude', 'anthropic', '{"status": null, "error_information": null}', 'None', 'success', 0.5),
  ('chatcmpl-4', 'acompletion', '2024-11-30 06:40:04.000', '2024-11-30 06:40:04.004', 'gpt-4o-2024-08-06', 'gpt-4o', 'openai', '{"status": null, "error_information": null}', 'True', 'success', 0.0),
  ('chatcmpl-5', 'acompletion', '2024-11-30 06:40:05.000', '2024-11-30 06:40:14.000', 'gpt-4o', '', '', '{"status": "failure", "error_information": {"error_code": "408", "error_class": "Timeout", "llm_provider": "openai", "traceback": ""}}', 'None', 'failure', 0.0),
  ('chatcmpl-6', 'acompletion', '2024-11-30 06:40:06.000', '2024-11-30 06:40:06.100', 'claude', 'claude', '', '{"status": "failure", "error_information": {"error_code": "500", "error_class": "APIConnectionError", "llm_provider": "openai", "traceback": ""}}', 'None', 'failure', 0.0),
  ('chatcmpl-7', 'acompletion', '2024-11-30 06:40:07.000', '2024-11-30 06:40:07.100', 'gpt-4o', 'gpt-4o', '', '{"status": "failure", "error_information": {"error_code": "400", "error_class": "ContentPolicyViolationError", "llm_provider": "openai", "traceback": ""}}', 'None', 'failure', 0.0),
  ('chatcmpl-8', 'acompletion', '2024-11-30 06:40:08.000', '2024-11-30 06:40:08.100', 'gpt-4o', 'gpt-4o', '', '{"status": "failure", "error_information": {"error_code": "500", "error_class": "InternalServerError", "llm_provider": "openai", "traceback": ""}}', 'None', 'failure', 0.0),
  ('chatcmpl-9', 'acompletion', '2024-11-30 06:40:09.000', '2024-11-30 06:40:09.001', '', '', '', '{"status": "failure", "error_information": {"error_code": "None", "error_class": "ProxyException", "llm_provider": "openai", "traceback": ""}}', 'None', 'failure', 0.0),
  ('chatcmpl-10', 'acompletion', '2024-11-30 06:40:10.000', '2024-11-30 06:40:10.500', 'gpt-4o', 'gpt-4o', 'openai', '{"status": null, "error_information": null}', 'None', NULL, 0.125)
  ON CONFLICT DO NOTHING;

-- = api_call_duration_seconds_count{api=claude} 2
-- = api_call_duration_seconds_count{api=gpt-4o} 7
-- = api_call_duration_seconds_count{api=unknown} 1
-- = api_call_duration_seconds_sum{api=claude} 2.1
-- = api_call_duration_seconds_sum{api=gpt-4o} 11.454
-- = api_call_duration_seconds_sum{api=unknown} 0.001
-- = api_call_failures_total{api=claude, reason=connection} 1
-- = api_call_failures_total{api=gpt-4o, reason=blocked} 1
-- = api_call_failures_total{api=gpt-4o, reason=rate_limited} 1
-- = api_call_failures_total{api=gpt-4o, reason=server_error} 1
-- = api_call_failures_total{api=gpt-4o, reason=timeout} 1
-- = api_call_failures_total{api=unknown, reason=other} 1
-- = api_calls_total{api=claude} 2
-- = api_calls_total{api=gpt-4o} 7
-- = api_calls_total{api=unknown} 1
-- = api_cost_month_total{api=claude, month=202411} 0.5
-- = api_cost_month_total{api=gpt-4o, month=202411} 0.375
-- = api_cost_total{api=claude} 0.5
-- = api_cost_total{api=gpt-4o} 0.375
-- = api_responses_total{api=claude, code=500} 1
-- = api_responses_total{api=claude, code=none} 1
-- = api_responses_total{api=gpt-4o, code=400} 1
-- = api_responses_total{api=gpt-4o, code=408} 1
-- = api_responses_total{api=gpt-4o, code=429} 1
-- = api_responses_total{api=gpt-4o, code=500} 1
-- = api_responses_total{api=gpt-4o, code=none} 3
-- = api_responses_total{api=unknown, code=none} 1
