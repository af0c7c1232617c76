"""SciTeX's own calls, with nothing but the import changed."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

import platform_sdk
from platform_sdk import diagnostics
from platform_sdk.migrate.scitex import APIMonitor, log_activity, log_api_usage, log_error
from tests.sdk.events import Store

Start = Callable[..., None]


def test_scitex_shape(store: Store, start: Start) -> None:
    """SciTeX's own call, with nothing but the import changed."""
    start()
    with APIMonitor("semantic_scholar", "https://api.example/paper/search", {"query": "x", "api_key": "s"}):
        pass
    assert platform_sdk.flush()

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
    assert platform_sdk.flush()

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
    assert platform_sdk.flush()

    assert store.rows("severity, error_type, message, endpoint, user_id, stack_trace, context", "error") == [
        ("high", "CompileError", "page 3", "/writer/compile/", "7", "Traceback ...\n  token=********", {"job": 5})
    ]


def test_scitex_activity(store: Store, start: Start) -> None:
    """The columns of SciTeX's UserActivity; of the session a digest is stored."""
    start()
    log_activity("search", USER, "key", "192.168.1.77", "Mozilla", {"words": 3}, module="scholar", success=False)
    assert platform_sdk.flush()

    columns = "activity, user_id, host(ip), user_agent, details, module, success, session_id <> 'key'"
    assert store.rows(columns, "user_activity") == [
        ("search", "7", "192.168.1.0", "Mozilla", {"words": 3}, "scholar", False, True)
    ]


@pytest.mark.parametrize("function", [log_error, log_api_usage, log_activity])
def test_unknown_arguments(start: Start, function: Any, caplog: pytest.LogCaptureFixture) -> None:
    """They are counted and logged, not raised."""
    diagnostics._last.clear()
    start()
    function(colour=1)

    assert platform_sdk.stats()["dropped"] == {"internal": 1}
    assert f"{function.__name__}() got an unexpected keyword argument 'colour'" in caplog.text
