"""One event of ten megabytes: it is stored, cut, and takes neither the room of others nor the application's time."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import platform_sdk
from platform_sdk import emit, logs
from platform_sdk.delivery.intake import Intake, Lane
from platform_sdk.events.background_task import BACKGROUND_TASK
from tests.sdk.events import Store, serve

Start = Callable[..., None]

HUGE = "paper \u2603 password=hunter2 http://me:hunter2@example.org/7 " * 180_000
"""Ten million characters, in which there is what the writer looks for."""

MOST_BYTES = 1_000_000
"""What an event may count against `buffer_bytes`, and its row hold."""


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001 - any
        return caught


def groups(depth: int) -> ExceptionGroup[Exception]:
    """Return groups of groups, of 32 members each that differ."""
    kinds = [type(f"Error{number}", (Exception,), {}) for number in range(32)]
    members = [groups(depth - 1) if depth else kind(HUGE) for kind in kinds]
    return ExceptionGroup(HUGE, members)


def nested(depth: int) -> Any:
    return {f"{number} {HUGE[:300]}": nested(depth - 1) for number in range(64)} if depth else HUGE


def handled(name: str) -> None:
    logger = logging.getLogger("huge")
    match name:
        case "record":
            logger.error(HUGE)
        case "record's argument":
            logger.error("it broke: %s", HUGE)
        case "record of JSON":
            logger.error('{"event": "' + HUGE + '"}')
        case _:
            logger.error({"event": HUGE}, extra={"text": HUGE})


CALLS: dict[str, tuple[str, Callable[[], object]]] = {
    "exception": ("error", lambda: platform_sdk.log_error(raised(ValueError(HUGE)))),
    "exceptions in groups": ("error", lambda: platform_sdk.log_error(groups(1))),
    "message": ("error", lambda: platform_sdk.log_error(HUGE)),
    "error_type": ("error", lambda: platform_sdk.log_error("it broke", error_type=HUGE)),
    "type of an exception": ("error", lambda: platform_sdk.log_error(ValueError("x"), error_type=HUGE)),
    "stack_trace": ("error", lambda: platform_sdk.log_error("it broke", stack_trace=HUGE)),
    "template": ("error", lambda: platform_sdk.log_error("it broke", template=HUGE)),
    "fingerprint": ("error", lambda: platform_sdk.log_error("it broke", fingerprint=HUGE)),
    "endpoint": ("error", lambda: platform_sdk.log_error("it broke", endpoint=HUGE)),
    "user_id": ("error", lambda: platform_sdk.log_error("it broke", user_id=HUGE)),
    "user_agent": ("error", lambda: platform_sdk.log_error("it broke", user_agent=HUGE)),
    "ip": ("error", lambda: platform_sdk.log_error("it broke", ip=HUGE)),
    "job_id": ("error", lambda: platform_sdk.log_error("it broke", job_id=HUGE)),
    "context": ("error", lambda: platform_sdk.log_error("it broke", context={"text": HUGE, HUGE: 1})),
    "nested context": ("error", lambda: platform_sdk.log_error("it broke", context=nested(2))),
    "extra": ("error", lambda: platform_sdk.capture_message("it broke", tags={"text": HUGE}, extra=[HUGE] * 99)),
    "severity": ("error", lambda: platform_sdk.log_error("it broke", severity=HUGE)),  # type: ignore[arg-type]
    **{
        name: ("error", lambda name=name: handled(name))
        for name in (
            "record",
            "record's argument",
            "record of JSON",
            "record of a mapping",
        )
    },
    "URL": ("api_call", lambda: platform_sdk.log_api_usage("arxiv", f"http://example.org/{HUGE}?x={HUGE}")),
    "api": ("api_call", lambda: platform_sdk.log_api_usage(HUGE, "/")),
    "reason": ("api_call", lambda: platform_sdk.log_api_usage("arxiv", "/", reason=HUGE, method=HUGE)),
    "params": ("api_call", lambda: platform_sdk.log_api_usage("arxiv", "/", params={"text": HUGE})),
    "activity": ("user_activity", lambda: platform_sdk.log_activity(HUGE, module=HUGE, feature=HUGE)),
    "details": ("user_activity", lambda: platform_sdk.log_activity("search", words=HUGE)),
    "sample": ("sample", lambda: platform_sdk.sample(HUGE, 1.0, unit=HUGE, label=HUGE)),
    "job": ("scraping_run", lambda: emit.scraping_run(HUGE, HUGE, HUGE, "success", 1.0)),
    "task": ("background_task", lambda: emit.event(BACKGROUND_TASK, task=HUGE, outcome="success")),
    "request": ("http_request", lambda: emit.request_finished(HUGE, HUGE, 500, 0.1, user_id=HUGE, user_agent=HUGE)),
}


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    logs.install()
    logging.getLogger("huge").propagate = False
    yield
    logs.uninstall()


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return what each event counts against `buffer_bytes`."""
    found: list[int] = []
    put = Intake.put

    def noting(self: Intake, lane: Lane, event: Any, size: int) -> None:
        found.append(size)
        put(self, lane, event, size)

    monkeypatch.setattr(Intake, "put", noting)
    return found


@pytest.mark.parametrize("name", CALLS)
def test_it_is_stored_and_displaces_nothing(store: Store, start: Start, sizes: list[int], name: str) -> None:
    """Two of them and a hundred requests are stored, and a row is of a size that anybody can read."""
    kind, call = CALLS[name]
    start(flush_interval_seconds=60.0)
    call()
    call()
    serve(100)
    assert max(sizes) < MOST_BYTES
    assert platform_sdk.flush(60)

    assert platform_sdk.stats().dropped == {}
    assert store.count() == (102 if kind == "http_request" else 100)
    lengths = [length for (length,) in store.rows("length(t::text)", f"{kind} AS t")]
    assert len(lengths) >= 2
    assert max(lengths) < MOST_BYTES


def test_a_live_job_of_long_names(store: Store, start: Start) -> None:
    """Its newest state is kept, cut."""
    start()
    for number in range(3):
        emit.job_heartbeat(f"{HUGE}{number}", HUGE, HUGE)
    assert platform_sdk.flush(60)

    assert store.database.execute("SELECT length(job_id), length(scraper) FROM monitoring.scraping_job") == [(200, 200)]


@pytest.mark.parametrize("column", ["message", "stack_trace", "error_type", "context", "endpoint", "user_id"])
def test_what_before_send_puts_in(store: Store, start: Start, column: str) -> None:
    """It is cut, too."""
    value = {"text": HUGE, "more": [HUGE] * 99} if column == "context" else HUGE
    start(before_send=lambda event: {**event, column: value})
    platform_sdk.log_error("it broke")
    assert platform_sdk.flush(60)

    assert platform_sdk.stats().dropped == {}
    ((length,),) = store.rows("length(t::text)", "error AS t")
    assert length < MOST_BYTES
