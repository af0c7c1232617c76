"""What is the same for requests, httpx (sync and async), aiohttp and urllib3: installed once, callers unchanged."""

import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import pytest

from platform_sdk import client, emit
from platform_sdk.outgoing.api_monitor import APIMonitor
from platform_sdk.outgoing.exchange import attempt, unrecorded
from tests.sdk_outgoing.api import DRIP_SECONDS, LONG_TEXT, Api
from tests.sdk_outgoing.callers import Caller

Recorded = Callable[[], list[dict[str, Any]]]


def only(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the one row there is."""
    assert len(rows) == 1, rows
    return rows[0]


def test_call_is_recorded(caller: Caller, api: Api, recorded: Recorded) -> None:
    """Name of the API, template of the path, method, status, outcome and size."""
    caller.hook.install(apis={api.host: "papers"})
    began = perf_counter()
    caller.get(api.url("/articles/123/refs"))
    elapsed_seconds = perf_counter() - began
    row = only(recorded())

    found = [row[name] for name in ("api", "endpoint", "method", "status", "outcome", "reason", "attempt")]
    assert found == ["papers", "/articles/{id}/refs", "GET", 200, "success", None, 1]
    assert row["response_bytes"] == len(b'{"hello": 1}')
    assert 0 < row["duration_seconds"] < elapsed_seconds


def test_unnamed_host_names_itself(caller: Caller, api: Api, recorded: Recorded) -> None:
    """Where the user named no API, the host is its name."""
    caller.hook.install()
    caller.get(api.url("/ok"))

    assert only(recorded())["api"] == "127.0.0.1"


def test_only_named_leaves_out_others(caller: Caller, api: Api, recorded: Recorded) -> None:
    """With only_named, calls to other hosts are not recorded."""
    caller.hook.install(apis={"api.example.org": "example"}, only_named=True)
    caller.get(api.url("/ok"))

    assert recorded() == []


def test_query_is_kept_redacted(caller: Caller, api: Api, recorded: Recorded) -> None:
    """Parameters are stored, secrets among them are not."""
    caller.hook.install()
    caller.get(api.url("/search?q=graphs&api_key=hunter2"))
    row = only(recorded())

    assert row["query"] == {"q": "graphs", "api_key": "********"}
    assert row["endpoint"] == "/search"


def test_secrets_in_the_address_are_not_stored(caller: Caller, api: Api, recorded: Recorded) -> None:
    """Neither user-info nor a token in the path gets into the row."""
    caller.hook.install()
    caller.get(api.url("/bot81234567:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/send", user="joe:hunter2"))
    row = only(recorded())

    assert row["endpoint"] == "/{id}/send"
    assert "hunter2" not in json.dumps(row, default=str)


def test_timeout(caller: Caller, api: Api, recorded: Recorded) -> None:
    """A server that does not answer in time is a timeout, and the library's exception passes."""
    caller.hook.install()
    with pytest.raises(caller.timeouts):
        caller.get(api.url("/hang"), timeout_seconds=0.1)
    row = only(recorded())

    assert (row["outcome"], row["reason"], row["status"]) == ("failure", "timeout", None)


def test_refused_connection(caller: Caller, recorded: Recorded) -> None:
    """A port without a listener is a failed connection."""
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        caller.hook.install()
        with pytest.raises(caller.breaks):
            caller.get(f"http://127.0.0.1:{placeholder.getsockname()[1]}/")
    row = only(recorded())

    assert (row["outcome"], row["reason"], row["endpoint"]) == ("failure", "connection", "/")


def test_refused_connection_after_a_timeout(caller: Caller, recorded: Recorded) -> None:
    """An exception that the application was handling when it made the call is not why the call failed."""
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        caller.hook.install()
        try:
            raise TimeoutError("of the try before")
        except TimeoutError:
            with pytest.raises(caller.breaks):
                caller.get(f"http://127.0.0.1:{placeholder.getsockname()[1]}/")

    assert only(recorded())["reason"] == "connection"


def test_body_that_breaks_off(caller: Caller, api: Api, recorded: Recorded) -> None:
    """A connection that is lost in the body is a failure, for all the 200 in the head."""
    caller.hook.install()
    with pytest.raises(caller.breaks):
        caller.get(api.url("/broken"))
    row = only(recorded())

    assert (row["outcome"], row["reason"], row["status"]) == ("failure", "connection", caller.broken)


@pytest.mark.parametrize(
    ("status", "reason"),
    [(403, "forbidden"), (404, "client_error"), (429, "rate_limited"), (500, "server_error"), (503, "server_error")],
)
def test_reason_by_status(caller: Caller, api: Api, recorded: Recorded, status: int, reason: str) -> None:
    """A response with an error status is a failure with a reason, though nothing is raised."""
    caller.hook.install()
    assert caller.get(api.url(f"/status/{status}")) == status
    row = only(recorded())

    assert (row["outcome"], row["reason"], row["status"]) == ("failure", reason, status)


def test_rate_limit_headers(caller: Caller, api: Api, recorded: Recorded) -> None:
    """The remaining calls, and the end of the window, are read from the response."""
    caller.hook.install()
    caller.get(api.url("/limited"))
    row = only(recorded())

    assert row["rate_limit_remaining"] == 0
    assert row["rate_limit_reset"] == datetime.fromtimestamp(2_000_000_000, UTC)


def test_soft_block(caller: Caller, api: Api, recorded: Recorded) -> None:
    """A 200 that the user's predicate calls useless is a failure; the predicate sees the decoded body."""
    caller.hook.install(blocked=lambda response: "CAPTCHA" in response.text)
    caller.get(api.url("/captcha"))
    caller.get(api.url("/ok"))
    first, second = recorded()

    assert (first["outcome"], first["reason"], first["status"]) == ("failure", "blocked", 200)
    assert second["outcome"] == "success"


def test_predicate_that_fails(caller: Caller, api: Api, recorded: Recorded) -> None:
    """An error in the user's predicate harms neither the call nor the record."""
    caller.hook.install(blocked=lambda response: response.json()["no such key"])
    assert caller.get(api.url("/ok")) == 200

    assert only(recorded())["outcome"] == "success"


def test_duration_includes_the_body(caller: Caller, api: Api, recorded: Recorded) -> None:
    """The clock stops at the body's last byte, and all bytes are counted."""
    caller.hook.install()
    caller.get(api.url("/drip"))
    row = only(recorded())

    assert row["duration_seconds"] >= DRIP_SECONDS * 0.9
    assert row["response_bytes"] == len(LONG_TEXT)


def test_streamed_body_is_the_callers(caller: Caller, api: Api, recorded: Recorded) -> None:
    """Nothing is read ahead of the application: it has its first bytes while the server holds back the others."""
    caller.hook.install(blocked=lambda response: False)
    body = caller.get_stream(api.url("/held"), then=api.go_on.set)
    row = only(recorded())

    assert body == LONG_TEXT
    assert (row["outcome"], row["response_bytes"]) == ("success", len(LONG_TEXT))


def test_followed_redirect_is_two_exchanges(caller: Caller, api: Api, recorded: Recorded) -> None:
    """Each answer counts for the place it came from."""
    caller.hook.install()
    caller.get(api.url("/redirect"))

    found = [(row["endpoint"], row["status"], row["outcome"], row["attempt"]) for row in recorded()]
    assert found == [("/redirect", 302, "success", 1), ("/articles/{id}", 200, "success", 1)]


def test_attempt_of_a_loop(caller: Caller, api: Api, recorded: Recorded) -> None:
    """A retry loop of the application can number its tries."""
    caller.hook.install()
    for number in (1, 2):
        with attempt(number):
            caller.get(api.url("/flaky/1"))

    assert [(row["attempt"], row["status"]) for row in recorded()] == [(1, 503), (2, 200)]


def test_unrecorded(caller: Caller, api: Api, recorded: Recorded) -> None:
    """Calls can be left out."""
    caller.hook.install()
    with unrecorded():
        caller.get(api.url("/ok"))

    assert recorded() == []


def test_inside_a_monitor(caller: Caller, api: Api, recorded: Recorded) -> None:
    """A call inside an APIMonitor is recorded once, under the monitor's name, with the status that the hook saw."""
    caller.hook.install()
    with APIMonitor("arxiv", "/query", {"q": "x"}):
        caller.get(api.url("/flaky/1"))
    caller.get(api.url("/ok"))

    first, second = recorded()
    assert (first["api"], first["status"], first["outcome"]) == ("arxiv", 503, "failure")
    assert second["status"] == 200


def test_uninstall(caller: Caller, api: Api, recorded: Recorded) -> None:
    """The library is left as it was found."""
    found = [owner.__dict__[name] for owner, name in caller.patched]
    caller.hook.install()
    caller.hook.install()
    caller.hook.uninstall()
    caller.get(api.url("/ok"))

    assert [owner.__dict__[name] for owner, name in caller.patched] == found
    assert recorded() == []


def test_sdk_that_is_off(caller: Caller, api: Api, recorded: Recorded) -> None:
    """With the hook installed and the SDK closed, calls go through."""
    caller.hook.install()
    client.close(1.0)

    assert caller.get(api.url("/ok")) == 200


def test_error_in_the_hook_stays_in_it(
    caller: Caller, api: Api, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fails in recording, the application gets its response."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("ours")

    caller.hook.install()
    monkeypatch.setattr(emit, "api_call", fail)

    assert caller.get(api.url("/ok")) == 200
