"""What is emitted is stored, column by column."""

from collections.abc import Callable

import platform_sdk
from platform_sdk import emit
from tests.sdk.events import Store, difference, serve

Start = Callable[..., None]


def test_request_is_stored_with_all_columns(store: Store, start: Start) -> None:
    """A request's values arrive in their columns, the address truncated."""
    start(release="1.2.3")
    serve()
    assert platform_sdk.flush(60)

    columns = (
        "app, release, route, method, status, duration_seconds, response_bytes, user_id, role, session_id, ip::text, "
        "user_agent, weight"
    )
    assert store.rows(columns) == [
        (
            "shop",
            "1.2.3",
            "/articles/{id}",
            "GET",
            200,
            0.05,
            1200,
            "5",
            "reader",
            "s1",
            "203.0.113.0/32",
            "Mozilla/5.0",
            1.0,
        )
    ]
    assert difference() == 0


def test_traces_are_stored(store: Store, start: Start) -> None:
    """The trace of a request, a call and an error, and whether it is sampled."""
    start()
    emit.request_finished("/", "GET", 200, 0.1, trace=("a" * 32, True))
    emit.api_call("arxiv", "/", "success", 0.1, trace=("b" * 32, False))
    emit.error_message("no paper left", trace=("c" * 32, None))
    assert platform_sdk.flush(60)

    found = [store.rows("trace_id, trace_sampled", kind) for kind in ("http_request", "api_call", "error")]
    assert found == [[("a" * 32, True)], [("b" * 32, False)], [("c" * 32, None)]]


def test_every_kind_is_stored(store: Store, start: Start) -> None:
    """One event of each kind, and a live job."""
    start()
    serve()
    emit.api_call("arxiv", "https://x.example/papers/12?token=abc&q=1", "success", 0.2, status=200)
    emit.scraping_run("j1", "web", "example.com", "success", 3.5, items_processed=7)
    emit.job_heartbeat("j1", "web", progress=50)
    emit.activity("login", user_id=5, details={"via": "form"})
    emit.sample("queue_depth", 3, labels={"queue": "mail"})
    try:
        raise ValueError("password=hunter2 is wrong")
    except ValueError as error:
        emit.exception(error)
    assert platform_sdk.flush(60)

    assert store.rows("endpoint, query", "api_call") == [
        ("https://x.example/papers/{id}", {"token": "********", "q": "1"})
    ]
    assert store.rows("scraper, items_processed", "scraping_run") == [("web", 7)]
    assert store.database.execute("SELECT status, progress FROM monitoring.scraping_job") == [("running", 50)]
    assert store.rows("activity, details", "user_activity") == [("login", {"via": "form"})]
    assert store.rows("name, value, labels", "sample") == [("queue_depth", 3, {"queue": "mail"})]
    kind, message, trace = store.rows("error_type, message, stack_trace", "error")[0]
    assert (kind, message) == ("ValueError", "password=******** is wrong")
    assert "hunter2" not in trace
    assert "in test_every_kind_is_stored" in trace
    assert platform_sdk.stats()["stored"] == 6
