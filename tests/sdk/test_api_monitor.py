"""How calls to external APIs are classified."""

import asyncio
import urllib.error
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import requests

import platform_sdk
from platform_sdk import diagnostics
from platform_sdk.outgoing import rate_limits
from platform_sdk.outgoing.outcomes import reason_of_exception
from tests.sdk.events import Store

Start = Callable[..., None]


def response(status: int, **headers: str) -> Any:
    """Return a real response of requests, made without a server."""
    made = requests.Response()
    made.status_code = status
    made.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return made


def http_error(status: int) -> requests.HTTPError:
    return requests.HTTPError(f"{status}", response=response(status))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), "timeout"), (requests.ReadTimeout(), "timeout"), (requests.ConnectTimeout(), "timeout"),
        (requests.ConnectionError(), "connection"), (ConnectionResetError(), "connection"),
        (http_error(429), "rate_limited"), (http_error(403), "forbidden"),
        (http_error(404), "client_error"), (http_error(502), "server_error"), (ValueError("odd"), "other"),
        (FileNotFoundError("ca.pem"), "other"), (asyncio.CancelledError(), "cancelled"),
        (KeyboardInterrupt(), "cancelled"),
        (Exception("Page.goto: net::ERR_CONNECTION_REFUSED at http://x/"), "connection"),
        (Exception("unknown error: net::ERR_NAME_NOT_RESOLVED"), "connection"),
        (Exception("Page.goto: net::ERR_CONNECTION_TIMED_OUT at http://x/"), "timeout"),
        (Exception("Page.goto: net::ERR_ABORTED; maybe frame was detached?"), "other"),
        (urllib.error.HTTPError("http://x", 503, "", None, None), "server_error"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_exceptions_tell_the_reason(error: BaseException, reason: str) -> None:
    """By type, or by the response that they hold."""
    assert reason_of_exception(error)[0] == reason


@pytest.mark.parametrize(
    ("status", "outcome", "reason"),
    [
        (200, "success", None), (204, "success", None), (301, "success", None), (404, "failure", "client_error"),
        (403, "failure", "forbidden"), (429, "failure", "rate_limited"), (500, "failure", "server_error"),
    ],
)  # fmt: skip
def test_status_tells_the_outcome(store: Store, start: Start, status: int, outcome: str, reason: str | None) -> None:
    """Through a response handed over, whose rate limit is read."""
    start()
    with platform_sdk.APIMonitor("arxiv", "/q") as call:
        call.response(response(status, X_RateLimit_Remaining="17", Content_Length="120"))
    assert platform_sdk.flush(60)

    columns = "status, outcome, reason, rate_limit_remaining, response_bytes"
    assert store.rows(columns, "api_call") == [(status, outcome, reason, 17, 120)]


def test_decorators_and_async_and_blocked(store: Store, start: Start) -> None:
    """Decorated functions, sync and async, return what they return; a predicate calls a 200 useless."""
    start()

    @platform_sdk.APIMonitor("plain", "/a")
    def plain(value: int) -> int:
        return value

    @platform_sdk.APIMonitor("coroutine", "/b", blocked=lambda answer: answer.text == "captcha")
    async def coroutine() -> Any:
        return SimpleNamespace(status_code=200, headers={}, text="captcha")

    async def main() -> None:
        await coroutine()
        async with platform_sdk.APIMonitor("context", "/c") as call:
            call.status(503)

    assert plain(5) == 5
    asyncio.run(main())
    assert platform_sdk.flush(60)

    assert store.rows("api, status, reason", "api_call") == [
        ("plain", None, None), ("coroutine", 200, "blocked"), ("context", 503, "server_error"),
    ]  # fmt: skip


def test_the_application_s_exception_passes(store: Store, start: Start) -> None:
    """The monitor records it and lets it go on."""
    start()
    with pytest.raises(requests.ReadTimeout), platform_sdk.APIMonitor("slow"):
        raise requests.ReadTimeout
    assert platform_sdk.flush(60)

    assert store.rows("outcome, reason", "api_call") == [("failure", "timeout")]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "1700000100"}, (5.0, 1700000100.0)),
        ({"x-ratelimit-remaining": "5", "x-ratelimit-reset": "60"}, (5.0, 1700000060.0)),
        ({"RateLimit": '"default";r=50;t=30'}, (50.0, 1700000030.0)),
        ({"RateLimit": "limit=100, remaining=50, reset=5"}, (50.0, 1700000005.0)),
        ({"RateLimit-Remaining": "9", "RateLimit-Reset": "7"}, (9.0, 1700000007.0)),
        ({"Retry-After": "120"}, (None, 1700000120.0)),
        ({"Retry-After": "Tue, 14 Nov 2023 22:15:00 GMT"}, (None, 1700000100.0)),
        ({"X-RateLimit-Remaining": "soon", "Retry-After": "later"}, (None, None)),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1700000100000"}, (0.0, 1700000100.0)),
        ({}, (None, None)),
    ],
)
def test_rate_limit_headers(headers: dict[str, str], expected: tuple[float | None, float | None]) -> None:
    """All spellings in use, and what is none of them."""
    assert rate_limits.read(headers, now=1_700_000_000.0) == expected


OPENAI = {
    "x-ratelimit-limit-requests": "60", "x-ratelimit-limit-tokens": "150000", "x-ratelimit-remaining-requests": "59",
    "x-ratelimit-remaining-tokens": "149984", "x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "6m0s",
}  # fmt: skip
ANTHROPIC = {
    "anthropic-ratelimit-requests-limit": "50", "anthropic-ratelimit-requests-remaining": "49",
    "anthropic-ratelimit-requests-reset": "2023-11-14T22:15:00Z", "anthropic-ratelimit-input-tokens-limit": "30000",
    "anthropic-ratelimit-input-tokens-remaining": "29000", "anthropic-ratelimit-output-tokens-remaining": "8000",
    "anthropic-ratelimit-output-tokens-reset": "2023-11-14T22:14:20+00:00",
}  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (OPENAI, {"": (59.0, 1700000001.0, 60.0), "tokens": (149984.0, 1700000360.0, 150000.0)}),
        (ANTHROPIC, {
            "": (49.0, 1700000100.0, 50.0), "input_tokens": (29000.0, None, 30000.0),
            "output_tokens": (8000.0, 1700000060.0, None),
        }),
        ({"x-ratelimit-reset-tokens": "20ms"}, {"tokens": (None, 1700000000.02, None)}),
        ({"x-ratelimit-reset-tokens": "1h2m3.5s"}, {"tokens": (None, 1700003723.5, None)}),
        ({"X-RateLimit-Limit-Day": "500", "X-RateLimit-Remaining-Day": "20"}, {"day": (20.0, None, 500.0)}),
        ({"RateLimit": '"default";r=50;t=30, "daily";r=7;t=60'}, {
            "": (50.0, 1700000030.0, None), "daily": (7.0, 1700000060.0, None),
        }),
        ({"RateLimit": "limit=100, remaining=50, reset=5"}, {"": (50.0, 1700000005.0, 100.0)}),
        ({"RateLimit-Policy": '"burst";q=100;w=60', "X-RateLimit-Used": "3", "X-RateLimit-Resource": "core"},
         {"burst": (None, None, 100.0)}),
        ({**OPENAI, "Retry-After": "9"}, {
            "": (59.0, 1700000001.0, 60.0), "tokens": (149984.0, 1700000360.0, 150000.0),
        }),
        ({f"x-ratelimit-remaining-w{number}": "1" for number in "abcdefghijk"},
         {f"w{number}": (1.0, None, None) for number in "abcdefgh"}),
        (
            {"RateLimit-Policy": '"burst";q=100;w=60,"daily";q=5000;w=86400',
             "RateLimit": '"burst";r=50;t=30, "daily";r=4000;t=900'},
            {"burst": (50.0, 1_700_000_030.0, 100.0), "daily": (4000.0, 1_700_000_900.0, 5000.0)},
        ),
        (
            {"Ratelimit": '"default";r=50;t=30', "Ratelimit-Policy": '"default";q=100;w=60'},
            {"": (50.0, 1_700_000_030.0, 100.0)},
        ),
        ({"RateLimit-Policy": "100;w=60"}, {}),
        ({"X-Shopify-Shop-Api-Call-Limit": "32/40"}, {"": (8.0, None, 40.0)}),
        ({"X-Shopify-Shop-Api-Call-Limit": "many"}, {}),
        ({"retry-after-ms": "1500", "retry-after": "2"}, {"": (None, 1_700_000_001.5, None)}),
        ({"x-ms-retry-after-ms": "250"}, {"": (None, 1_700_000_000.25, None)}),
        ({"retry-after-ms": "soon", "Retry-After": "2"}, {"": (None, 1_700_000_002.0, None)}),
    ],
)  # fmt: skip
def test_windows(headers: dict[str, str], expected: dict[str, tuple[float | None, ...]]) -> None:
    """Each with its limit, what is left and its end; at most eight."""
    assert rate_limits.windows(headers, now=1_700_000_000.0) == expected


def test_windows_are_recorded(store: Store, start: Start) -> None:
    """Of calls with the call, others as rows of their own."""
    start()
    with platform_sdk.APIMonitor("openai") as call:
        call.response(SimpleNamespace(status_code=200, headers={**OPENAI, "x-ratelimit-reset-requests": "2000000000"}))
    assert platform_sdk.flush(60)

    assert store.rows("rate_limit, rate_limit_remaining", "api_call") == [(60.0, 59.0)]
    assert store.rows("api, quota, quota_limit, remaining", "api_quota") == [("openai", "tokens", 150000.0, 149984.0)]


def test_log_api_usage(store: Store, start: Start) -> None:
    """The status decides where nothing else does; other arguments are part of the query."""
    start()
    platform_sdk.log_api_usage("arxiv", "/query", 0.25, 200, success=True, params={"q": "x"}, response_bytes=900, p=2)
    platform_sdk.log_api_usage("arxiv", "/query", status=429)
    platform_sdk.log_api_usage("arxiv", success=False)
    assert platform_sdk.flush(60)

    assert store.rows("duration_seconds, status, outcome, reason, query, response_bytes", "api_call") == [
        (0.25, 200, "success", None, {"q": "x", "p": 2}, 900), (0.0, 429, "failure", "rate_limited", None, None),
        (0.0, None, "failure", "other", None, None),
    ]  # fmt: skip


def test_the_cost_of_a_call(store: Store, start: Start) -> None:
    """What the application knows that the provider charges, of a monitor and of a call that was timed elsewhere."""
    start()
    with platform_sdk.APIMonitor("maps", cost=0.02):
        pass
    platform_sdk.log_api_usage("maps", "/v1/route", status=200, cost=0.01)
    assert platform_sdk.flush(60)

    assert store.rows("cost, query", "api_call") == [(0.02, None), (0.01, None)]


@pytest.mark.parametrize(
    ("args", "named", "said"),
    [
        ((), {"api_name": "arxiv"}, "api_name"),
        (("arxiv", "/q", {}, "GET"), {}, "1 more than api, endpoint and params"),
    ],
)
def test_unexpected_arguments_of_the_monitor(
    store: Store, start: Start, caplog: pytest.LogCaptureFixture, args: Any, named: Any, said: str
) -> None:
    """They are counted and logged, and the call is recorded without them."""
    diagnostics._last.clear()
    start()
    with platform_sdk.APIMonitor(*args, **named):
        pass
    assert platform_sdk.flush(60)

    assert store.count("api_call") == 1
    assert platform_sdk.stats()["dropped"] == {"internal": 1}
    assert f"APIMonitor: TypeError: unexpected arguments: {said}" in caplog.text
