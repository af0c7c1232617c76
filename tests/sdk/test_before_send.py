"""What the application leaves out or changes: `before_send` and `ignore_errors`."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import platform_sdk
from platform_sdk import diagnostics, emit
from platform_sdk.events import EVENTS
from platform_sdk.events.api_quota import API_QUOTA
from platform_sdk.events.background_task import BACKGROUND_TASK
from platform_sdk.events.base import EventKind
from platform_sdk.events.scraping_field import SCRAPING_FIELD
from platform_sdk.events.scraping_request import SCRAPING_REQUEST
from tests.sdk.events import Store, difference, serve
from tests.servers import poll_until

Start = Callable[..., None]


class QuotaError(LookupError):
    """An error of the application's own."""


def fail(error: BaseException) -> None:
    try:
        raise error
    except BaseException as raised:  # noqa: BLE001 - any
        platform_sdk.capture_exception(raised)


def test_each_kind_is_a_mapping(store: Store, start: Start) -> None:
    """Its kind, its time and its columns by name; what is returned unchanged is stored as it would be without."""
    seen: list[dict[str, Any]] = []
    start(before_send=lambda event: seen.append(dict(event)) or event)
    for kind in EVENTS:
        emit_one(kind.name)
    assert platform_sdk.flush(60)

    assert {event["event"] for event in seen} == {kind.name for kind in EVENTS}
    for event in seen:
        (kind,) = (kind for kind in EVENTS if kind.name == event["event"])
        assert set(event) == {"event", "at", *(column.name for column in kind.columns)} - {"weight"}
    assert store.rows("endpoint, query->>'x'", "api_call") == [("/q", "1")]
    assert {kind.name: store.count(kind.name) for kind in EVENTS} == {kind.name: 1 for kind in EVENTS}
    assert platform_sdk.stats().dropped == {}


def test_an_error_is_described(store: Store, start: Start) -> None:
    """Message, stack trace and fingerprint are there; what is changed is stored, and a secret put in is replaced."""
    seen: list[dict[str, Any]] = []

    def change(event: dict[str, Any]) -> dict[str, Any]:
        seen.append(dict(event))
        return {**event, "message": "password=hunter2", "user_id": None, "at": 1_700_000_000.0}

    start(before_send=change)
    fail(QuotaError("none left"))
    assert platform_sdk.flush(60)

    (event,) = seen
    assert (event["error_type"], event["message"]) == ("QuotaError", "none left")
    assert "raise error" in event["stack_trace"]
    assert event["fingerprint"].startswith("v")
    columns = "error_type, message, fingerprint, extract(epoch FROM at)::int, stack_trace LIKE '%raise error%'"
    assert store.rows(columns, "error") == [
        ("QuotaError", "password=********", event["fingerprint"], 1_700_000_000, True)
    ]


def test_what_is_dropped_is_in_the_ledger(store: Store, start: Start) -> None:
    """Under a reason of its own; of sampled requests each with all that it stands for."""
    start(before_send=lambda event: None, sample_above_per_second=1.0)
    serve(50)
    platform_sdk.log_error("it broke")
    assert platform_sdk.flush(60)

    assert platform_sdk.stats().dropped == {"before_send": 51}
    assert difference() == difference(store.ledger()) == 0
    assert store.count() == store.count("error") == 0


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (ValueError("mine"), "before_send: ValueError: mine"),
        (5, "before_send returned int: expected the event, or None to drop it"),
        ({"tags": {}}, "before_send returned the unknown column 'tags' of error: use context"),
        (SystemExit(3), "before_send: SystemExit: 3"),
        (KeyboardInterrupt(), "before_send: KeyboardInterrupt"),
        (GeneratorExit(), "before_send: GeneratorExit"),
        ({}, "before_send returned no 'severity' of error: expected the event with all its keys"),
        ({"event": "nope"}, "before_send changed 'event' of error: expected it as it was, or None to drop the event"),
        ({"event": "sample"}, "before_send changed 'event' of error"),
        (lambda event: {**event, "error_type": None}, "before_send returned no 'error_type' of error"),
        (lambda event: {**event, "at": "noon"}, "before_send returned no time as 'at' of error: expected Unix seconds"),
        (lambda event: {**event, "context": object()}, "before_send returned what fits no row of error: 'context': "),
    ],
)
def test_a_hook_that_fails_keeps_the_event(
    store: Store, start: Start, caplog: pytest.LogCaptureFixture, returned: Any, said: str
) -> None:
    """As it was; the log says why."""
    diagnostics._last.clear()

    def hook(event: dict[str, Any]) -> Any:
        event["message"] = "changed"
        if isinstance(returned, BaseException):
            raise returned
        return returned(event) if callable(returned) else returned

    start(before_send=hook)
    platform_sdk.log_error("it broke")
    assert platform_sdk.flush(60)

    assert store.rows("message", "error") == [("it broke",)]
    assert said in caplog.text
    assert platform_sdk.stats().dropped == {}


@pytest.mark.parametrize("value", [None, "soon", float("nan"), [1]])
@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: str(kind.name))
def test_a_value_that_fits_no_column_loses_no_event(store: Store, start: Start, kind: EventKind, value: Any) -> None:
    """In any column of any kind."""

    def hook(event: dict[str, Any]) -> dict[str, Any]:
        return {**event, asked[0]: value}

    asked = [""]
    start(before_send=hook)
    columns = [column.name for column in kind.columns if column.name != "weight"]
    for asked[0] in columns:
        emit_one(kind.name)
        assert platform_sdk.flush(60)

    assert platform_sdk.stats().dropped == {}
    assert store.count(kind.name) == len(columns)


def emit_one(kind: str) -> None:
    match kind:
        case "http_request":
            serve()
        case "api_call":
            emit.api_call("arxiv", "/q?x=1", "success", 0.1)
        case "scraping_run":
            emit.scraping_run("j1", "papers", None, "success", 1.0)
        case "background_task":
            emit.event(BACKGROUND_TASK, task="mail", outcome="success")
        case "user_activity":
            emit.activity("search", user_id=7)
        case "sample":
            emit.sample("depth", 3)
        case "error":
            platform_sdk.log_error("it broke")
        case "scraping_request":
            emit.event(SCRAPING_REQUEST, job_id="j1", scraper="papers", status=200)
        case "scraping_field":
            emit.event(SCRAPING_FIELD, job_id="j1", scraper="papers", field="title", type="text")
        case "api_quota":
            emit.event(API_QUOTA, api="arxiv", quota="tokens", remaining=5)
        case _:
            raise AssertionError(f"no event of {kind} is emitted here")


def test_a_slow_hook_is_named(store: Store, start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """By name and time; a flush that it outlasts blames no database, and nothing is lost."""
    diagnostics._last.clear()
    start(before_send=lambda event: time.sleep(0.4) or event, flush_interval_seconds=60.0)
    platform_sdk.sample("connected", 1)  # or the first flush might end while it connects
    assert platform_sdk.flush(60)
    serve(2)
    assert not platform_sdk.flush(0.5)
    assert platform_sdk.flush(60)

    assert "before_send took " in caplog.text
    assert "did not answer" not in caplog.text
    assert store.count() == 2


SLOW = """
import sys, time
import platform_sdk

def hook(event):
    time.sleep(600)

assert platform_sdk.init(before_send=hook)
platform_sdk.log_error("it broke")
platform_sdk.log_error("it broke again")
if "flush" in sys.argv:
    began = time.monotonic()
    assert platform_sdk.flush(1.0) is False
    print(time.monotonic() - began < 60)
"""


@pytest.mark.parametrize("argument", ["flush", "exit at once"])
def test_a_hook_that_does_not_return_holds_up_no_end(store: Store, tmp_path: Path, argument: str) -> None:
    """Neither a flush nor the exit waits for it, and the events are in the ledger: dropped at the end."""
    done = subprocess.run(
        [sys.executable, "-c", SLOW, argument], cwd=Path(__file__).parents[2], capture_output=True, text=True,
        timeout=300, check=True,
        env={
            "PLATFORM_SDK_DSN": store.dsn, "PLATFORM_SDK_APP": "shop", "PATH": "/usr/bin",
            "PLATFORM_SDK_SPOOL_FOLDER": str(tmp_path / "spool"), "PLATFORM_SDK_EXIT_TIMEOUT_SECONDS": "10",
        },
    )  # fmt: skip

    assert done.stdout == ("True\n" if argument == "flush" else "")
    assert store.ledger() == {"produced": 2, "stored": 0, "spooled": 0, "dropped": {"shutdown": 2}}


def test_events_are_stored_after_a_flush_that_a_hook_outlasted(store: Store, start: Start) -> None:
    """Without another flush; and the function is asked about each of them once."""
    asked: list[str] = []
    held = threading.Event()

    def hook(event: dict[str, Any]) -> dict[str, Any]:
        asked.append(event["message"])
        held.wait(60)
        return event

    start(before_send=hook)
    for number in range(3):
        platform_sdk.log_error(f"error {'abc'[number]}", fingerprint=str(number))
    assert not platform_sdk.flush(0.3)
    assert not platform_sdk.flush(0.3)
    assert (platform_sdk.stats().stored, platform_sdk.stats().buffered) == (0, 3)
    held.set()
    poll_until(lambda: platform_sdk.stats().stored == 3)

    assert asked == ["error a", "error b", "error c"]
    assert store.count("error") == 3


@pytest.mark.parametrize("function", [platform_sdk.flush, platform_sdk.flush_now, platform_sdk.close])
def test_a_hook_that_ends_the_sdk(store: Store, start: Start, function: Callable[[float], bool]) -> None:
    """It waits for itself; that ends, and nothing is lost without the ledger."""
    returned: list[bool] = []
    start(before_send=lambda event: returned.append(function(1e6)) or event, exit_timeout_seconds=2.0)
    platform_sdk.log_error("it broke")
    poll_until(lambda: returned)
    platform_sdk.close(60)

    assert returned == [False]
    assert difference(store.ledger()) == 0


def test_without_a_thread_it_is_asked_all_the_same(store: Store, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none can be started: a flush ends with the event at which its time is over."""

    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    start(before_send=lambda event: time.sleep(0.4) or event)
    for _ in range(3):
        platform_sdk.log_error("it broke")
    assert not platform_sdk.flush(0.2)
    assert platform_sdk.stats().buffered == 3
    assert platform_sdk.flush(60)

    assert store.count("error") == 3


def test_what_a_hook_causes_is_not_recorded(store: Store, start: Start) -> None:
    """Otherwise a hook that reports errors, or calls an API, would go on forever."""

    def hook(event: dict[str, Any]) -> dict[str, Any]:
        platform_sdk.log_error("in the hook")
        emit.api_call("chat", "/", "success", 0.1)
        return event

    start(before_send=hook)
    platform_sdk.log_error("it broke")
    assert platform_sdk.flush(60)

    assert store.rows("message", "error") == [("it broke",)]
    assert platform_sdk.stats().produced == 1


@pytest.mark.parametrize(
    "ignored",
    [
        QuotaError, LookupError, "QuotaError", "LookupError", "builtins.LookupError", f"{__name__}.QuotaError",
        __name__.split(".")[0] + ".QuotaError",
    ],
)  # fmt: skip
def test_ignored_errors(store: Store, start: Start, ignored: Any) -> None:
    """A class, or its name with or without a package, with subclasses; others are recorded."""
    start(ignore_errors=[ignored])
    fail(QuotaError("none left"))
    fail(ValueError("out of range"))
    assert platform_sdk.flush(60)

    assert store.rows("error_type", "error") == [("ValueError",)]
    assert platform_sdk.stats().produced == 1


@pytest.mark.parametrize("name", ["Quota", "ookupError", "test.QuotaError", "tests.sdk.QuotaErrors"])
def test_names_are_whole(store: Store, start: Start, name: str) -> None:
    """A part of a name ignores nothing."""
    start(ignore_errors=[name])
    fail(QuotaError("none left"))
    assert platform_sdk.flush(60)

    assert store.count("error") == 1
