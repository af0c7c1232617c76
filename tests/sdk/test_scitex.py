"""SciTeX's own calls, with nothing but the import changed."""

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

import platform_sdk
from platform_sdk import diagnostics
from platform_sdk.migrate.scitex import (
    APIMonitor,
    get_system_health_summary,
    log_activity,
    log_api_usage,
    log_error,
    log_system_metric,
)
from platform_sdk.outgoing import api_monitor
from tests.sdk.events import Store

Start = Callable[..., None]


def test_scitex_shape(store: Store, start: Start) -> None:
    """SciTeX's own call, with nothing but the import changed."""
    start()
    with APIMonitor("semantic_scholar", "https://api.example/paper/search", {"query": "x", "api_key": "s"}):
        pass
    assert platform_sdk.flush(60)

    rows = store.rows("api, endpoint, outcome, reason, query", "api_call")
    assert rows == [
        ("semantic_scholar", "https://api.example/paper/search", "success", None, {"query": "x", "api_key": "********"})
    ]


def test_scitex_names(store: Store, start: Start) -> None:
    """SciTeX's helpers say api_name and query_params."""
    start()
    with APIMonitor(api_name="arxiv", endpoint="/q", query_params={"q": "x"}):
        pass
    log_api_usage(
        api_name="crossref", endpoint="/works", response_time=120.0, status_code=503, success=False,
        query_params={"q": "y"}, response_size=99,
    )  # fmt: skip
    assert platform_sdk.flush(60)

    assert store.rows("api, endpoint, outcome, reason, query, response_bytes", "api_call") == [
        ("arxiv", "/q", "success", None, {"q": "x"}, None),
        ("crossref", "/works", "failure", "server_error", {"q": "y"}, 99),
    ]
    assert platform_sdk.stats()["dropped"] == {}


USER = SimpleNamespace(pk=7, id=7, is_staff=False)
SCITEX_ERROR = ("high", "CompileError", "page 3", "/writer/compile/", USER, "Traceback ...\n  token=s3cr3t", {"job": 5})


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (SCITEX_ERROR, {}),
        ((), dict(zip(("severity", "error_type", "message", "endpoint", "user", "stack_trace", "metadata"),
                      SCITEX_ERROR, strict=True))),
        (SCITEX_ERROR[:2], dict(zip(("message", "endpoint", "user", "stack_trace", "metadata"), SCITEX_ERROR[2:],
                                    strict=True))),
    ],
)  # fmt: skip
def test_scitex_errors(store: Store, start: Start, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    """SciTeX's log_error begins with the severity; its user, metadata and stack trace are stored, secrets hidden."""
    start()
    log_error(*args, **named)
    assert platform_sdk.flush(60)

    assert store.rows("severity, error_type, message, endpoint, user_id, stack_trace, context", "error") == [
        ("high", "CompileError", "page 3", "/writer/compile/", "7", "Traceback ...\n  token=********", {"job": 5})
    ]


def test_scitex_activity(store: Store, start: Start) -> None:
    """The columns of SciTeX's UserActivity; of the session a digest is stored."""
    start()
    log_activity("search", USER, "key", "192.168.1.77", "Mozilla", {"words": 3}, module="scholar", success=False)
    assert platform_sdk.flush(60)

    columns = "activity, user_id, host(ip), user_agent, details, module, success, session_id <> 'key'"
    assert store.rows(columns, "user_activity") == [
        ("search", "7", "192.168.1.0", "Mozilla", {"words": 3}, "scholar", False, True)
    ]


def test_a_monitored_exception_is_an_error(store: Store, start: Start) -> None:
    """SciTeX's monitor logs it with medium severity, and lets it pass; what nothing handles is still recorded."""
    start()
    monitor = APIMonitor("arxiv", "/query", {"q": "cells", "api_key": "s3cr3t"})
    with pytest.raises(ValueError, match="odd") as raised, monitor:
        raise ValueError("odd answer")
    platform_sdk.log_error(raised.value, severity="high")
    assert platform_sdk.flush(60)

    assert store.rows("outcome, reason", "api_call") == [("failure", "other")]
    context = {"api_name": "arxiv", "query_params": {"q": "cells", "api_key": "********"}}
    assert store.rows("severity, error_type, message, endpoint, context - 'response_time'", "error") == [
        ("medium", "ValueError", "odd answer", "/query", context), ("high", "ValueError", "odd answer", None, None)
    ]  # fmt: skip
    assert store.rows("context->'response_time'", "error")[0] == (monitor.response_time,)


def test_cancelling_is_no_error(store: Store, start: Start) -> None:
    """Neither is the end of the process."""
    start()
    for stop in (KeyboardInterrupt, asyncio.CancelledError):
        with pytest.raises(stop), APIMonitor("arxiv", "/query"):
            raise stop
    assert platform_sdk.flush(60)

    assert store.count("error") == 0


def test_attributes_of_the_monitor(start: Start) -> None:
    """As SciTeX's has them: when it began in Unix seconds, how long it took in milliseconds; None before."""
    start()
    monitor = APIMonitor("arxiv", "/query")
    before = (monitor.api_name, monitor.endpoint, monitor.query_params, monitor.start_time, monitor.response_time)
    began = time.time()
    with monitor as entered:
        time.sleep(0.02)

    assert before == ("arxiv", "/query", {}, None, None)
    assert entered is monitor
    assert monitor.start_time is not None
    assert monitor.response_time is not None
    assert 0 <= monitor.start_time - began < 60
    assert 20 <= monitor.response_time < 60_000
    assert monitor.__exit__(None, None, None) is False


def test_a_monitor_used_wrongly(store: Store, start: Start) -> None:
    """Entered twice, left without being entered, made with too many arguments: nothing is raised."""
    start()
    monitor = APIMonitor("arxiv", "/query", {}, 5, colour=1)  # type: ignore[arg-type, unused-ignore]
    with monitor, monitor:
        pass
    APIMonitor("left").__exit__(None, None, None)
    with platform_sdk.APIMonitor("next"):
        pass
    assert platform_sdk.flush(60)

    assert store.rows("api", "api_call")[-1] == ("next",)
    assert api_monitor.current.get() is None


def test_a_response_time_is_a_request(store: Store, start: Start) -> None:
    """As rows of SciTeX's SystemMetric are; the method is in the metadata."""
    start()
    log_system_metric("response_time", 150.0, "/scholar/", USER, 404, {"method": "POST", "ip_address": "192.168.1.77"})
    log_system_metric(metric_type="response_time", value=20)
    assert platform_sdk.flush(60)

    assert store.rows("route, method, status, duration_seconds, user_id, host(ip)") == [
        ("/scholar/", "POST", 404, 0.15, "7", "192.168.1.0"), ("(unmatched)", "GET", 200, 0.02, None, None)
    ]  # fmt: skip


def test_other_metrics_are_samples(store: Store, start: Start) -> None:
    """With labels that say nothing of a person: every viewer of a dashboard may see them."""
    start()
    metadata = {"table": "papers", "user_agent": "Mozilla", "ip_address": "192.168.1.77", "query_params": {"q": "x"}}
    log_system_metric("database_query", 12.5, endpoint="/scholar/", user=USER, status_code=200, metadata=metadata)
    log_system_metric("error_rate", 0.5)
    assert platform_sdk.flush(60)

    assert store.rows("name, kind, value, labels", "sample") == [
        ("database_query", "summary", 12.5, {"table": "papers", "endpoint": "/scholar/", "status_code": 200}),
        ("error_rate", "summary", 0.5, None),
    ]


def test_the_summary_has_numbers(store: Store, start: Start) -> None:
    """SciTeX's callers format them; nothing known is 0, and no health."""
    off = get_system_health_summary()
    start()
    log_error("low", "TypeError", "x")
    assert platform_sdk.flush(60)
    some = get_system_health_summary()

    keys = (
        "health_status",
        "error_count",
        "avg_response_time",
        "total_requests",
        "api_success_rate",
        "total_api_calls",
    )
    assert tuple(off) == keys
    assert list(off.values()) == ["unknown", 0, 0, 0, 0, 0]
    assert [some[key] for key in keys] == ["unknown", 1, 0, 0, 0, 0]


@pytest.mark.parametrize("function", [log_error, log_api_usage, log_activity, log_system_metric])
def test_unknown_arguments(start: Start, function: Any, caplog: pytest.LogCaptureFixture) -> None:
    """They are counted and logged, not raised."""
    diagnostics._last.clear()
    start()
    function(colour=1)

    assert platform_sdk.stats()["dropped"] == {"internal": 1}
    assert f"{function.__name__}() got an unexpected keyword argument 'colour'" in caplog.text
