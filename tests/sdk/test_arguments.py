"""What the log says of an argument that does not fit: its name, the type it was given, and what was expected."""

import inspect
import logging
import sys
import types
import uuid
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

import pytest

import platform_sdk
from platform_sdk import arguments, diagnostics, scope
from platform_sdk.options import Options
from tests.sdk.events import Store, difference

Start = Callable[..., None]


class Odd:
    """What is neither a text nor a number, and fails where it is asked for either."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __str__(self) -> str:
        raise RuntimeError("str")

    __repr__ = __str__


GIVEN: dict[str, Any] = {
    "error": "it broke", "message": "it broke", "activity": "search", "api": "arxiv", "name": "depth", "value": 1.0,
    "user": 7, "values": {"a": 1}, "scraper": "papers", "code": 200, "reason": "timeout", "size_bytes": 1, "done": 1,
    "response": 200, "exception": ValueError("x"),
}  # fmt: skip
"""What fits the arguments that are required."""

ANYTHING = {
    ("set_tag", "value"),  # an object becomes the name of its class
    ("ScrapingJob.item", "n"), ("ScrapingJob.response", "response"), ("ScrapingJob.response", "url"),
    ("ScrapingJob.response", "proxy"), ("ScrapingJob.disallowed", "url"), ("APIMonitor.response", "response"),
}  # fmt: skip
"""Arguments that take whatever there is."""

INTERNAL = {"take_from_hook", "observe", "asks", "begin", "beat", "abandon"}
"""Methods that are not for applications."""

OTHERS = {"init", "current_job", "get_system_health_summary", "stats", "APIMonitor", "scraping_job"}

PUBLIC: dict[str, Callable[..., Any]] = {
    name: getattr(platform_sdk, name) for name in platform_sdk.__all__ if name not in OTHERS
}
CLASSES: tuple[type, ...] = (platform_sdk.APIMonitor, platform_sdk.scraping_job)


RUNNING: list[Any] = []


@pytest.fixture(autouse=True)
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing that is said of the process here is in the events of other tests, and no job of here sends heartbeats."""
    monkeypatch.setattr(scope, "_process", scope.Scope(shared=True))
    yield
    while RUNNING:
        RUNNING.pop().abandon()


def parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    found = inspect.signature(function).parameters.values()
    return [each for each in found if each.name != "self" and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)]


def cases() -> Iterator[Any]:
    functions = {**PUBLIC, **{cls.__name__: cls for cls in CLASSES}}
    for cls in CLASSES:
        names = (name for name in vars(cls) if not name.startswith("_") and name not in INTERNAL)
        functions.update({f"{cls.__name__}.{name}": getattr(cls, name) for name in names if callable(vars(cls)[name])})
    for name, function in functions.items():
        for each in parameters(function):
            if (name, each.name) not in ANYTHING:
                yield pytest.param(name, function, each.name, id=f"{name}({each.name})")


@pytest.mark.parametrize(("name", "function", "argument"), list(cases()))
def test_it_is_named(
    store: Store, start: Start, caplog: pytest.LogCaptureFixture, name: str, function: Callable[..., Any], argument: str
) -> None:
    """Nothing is raised, and the ledger balances."""
    start()
    arguments = {each.name: GIVEN[each.name] for each in parameters(function) if each.default is each.empty}
    arguments[argument] = Odd()
    diagnostics._last.clear()
    caplog.set_level(logging.WARNING)
    cls, _, method = name.partition(".")
    if method:
        made = {"APIMonitor": lambda: platform_sdk.APIMonitor("arxiv")}.get(cls, job)()
        getattr(made, method)(**arguments)
    else:
        function(**arguments)
    platform_sdk.flush(60)

    said = [text for text in caplog.messages if f"for {argument}: expected " in text]
    assert said, caplog.messages
    assert "Odd" in said[0]
    assert difference() == 0


def job() -> Any:
    RUNNING.append(platform_sdk.scraping_job(scraper="papers").begin())
    return RUNNING[-1]


@pytest.mark.parametrize(
    ("call", "column", "expected"),
    [
        (lambda: platform_sdk.log_activity("x", duration_seconds=Odd()), "duration_seconds", None),  # type: ignore[arg-type]
        (lambda: platform_sdk.log_activity("x", duration_seconds="0.5"), "duration_seconds", 0.5),  # type: ignore[arg-type]
        (lambda: platform_sdk.log_activity("x", session_id=[1], role="editor"), "role", "editor"),  # type: ignore[arg-type]
        (lambda: platform_sdk.log_activity("x", success=Odd()), "success", True),  # type: ignore[arg-type]
        (lambda: platform_sdk.log_activity("x", details=[1]), "details", {"value": [1]}),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_the_rest_of_the_call_is_stored(
    store: Store, start: Start, call: Callable[[], None], column: str, expected: object
) -> None:
    """With the argument's default, or with what can be made of it."""
    start()
    call()
    assert platform_sdk.flush(60)

    assert store.rows(column, "user_activity") == [(expected,)]


def test_words_that_are_understood(store: Store, start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """Other spellings of a severity are; of a word that is not the log says which there are."""
    start()
    for word in ("high", "WARNING", "emerg", "p1"):
        platform_sdk.log_error(f"it broke: {word}", severity=word)  # type: ignore[arg-type]
    assert platform_sdk.flush(60)

    assert [text for text in caplog.messages if "severity" in text] == [
        "log_error: invalid str 'p1' for severity: expected one of low, medium, high, critical"
    ]
    assert store.count("error") == 4


USUAL: list[Callable[[], object]] = [
    lambda: platform_sdk.set_user(7, role="editor"),
    lambda: platform_sdk.set_user(uuid.UUID(int=7)),
    lambda: platform_sdk.set_tag("plan", "pro"),
    lambda: platform_sdk.log_activity("search", 7, module="papers", duration_seconds=1, details={"a": 1}, page=2),
    lambda: platform_sdk.log_error(ValueError("x"), severity="high"),
    lambda: platform_sdk.log_api_usage("arxiv", "/query", 0.5, 200, error=OSError("x")),
    lambda: platform_sdk.sample("depth", 1, "counter"),
]


@pytest.mark.parametrize("call", USUAL)
def test_what_is_usual_costs_no_call(start: Start, call: Callable[[], object]) -> None:
    """From the second time on: the decorator only compares types and words."""
    called: set[str] = set()

    def profile(frame: types.FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename == arguments.__file__:
            called.add(frame.f_code.co_name)

    start()
    call()
    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)

    assert called == {"call"}


@pytest.mark.parametrize("option", [each.name for each in fields(Options) if not each.metadata])
def test_options_are_named(caplog: pytest.LogCaptureFixture, option: str) -> None:
    """An option of init() that does not fit is refused; prices are left out."""
    diagnostics._last.clear()
    given = {"dsn": "dbname=x", "app": "shop", option: Odd()}

    on = platform_sdk.init(**given)
    platform_sdk.close(0)

    assert on is (option == "prices")
    assert any("Odd" in text and option in text and "expected" in text for text in caplog.messages), caplog.messages


def test_what_fits_no_row_is_named(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """Of what an integration emits: the kind and the column."""
    from platform_sdk import emit

    start()
    emit.scraping_run("j1", "papers", None, "success", Odd())  # type: ignore[arg-type]
    platform_sdk.flush(60)

    assert "serialization: scraping_run: 'duration_seconds': UnwritableError: Odd where a number" in caplog.text
