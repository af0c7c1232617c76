"""Calls of the public functions whose arguments do not fit: nothing is raised, and the log says what was expected."""

import inspect
import multiprocessing
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

import pytest

import platform_sdk
from platform_sdk import client, diagnostics, options, typing
from platform_sdk.delivery.stats import Stats
from platform_sdk.events.background_task import OUTCOMES
from platform_sdk.events.error import SEVERITIES
from platform_sdk.events.sample import TYPES
from tests.sdk.events import Store

Start = Callable[..., None]

FUNCTIONS = sorted(
    name
    for name in platform_sdk.__all__
    if callable(getattr(platform_sdk, name)) and not isinstance(getattr(platform_sdk, name), type)
)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("on", [True, False])
def test_no_call_raises(start: Start, caplog: pytest.LogCaptureFixture, name: str, on: bool) -> None:
    """Too many arguments, or an unknown one, while recording is on or off; the log names the call and what it takes."""
    if on:
        start()
    diagnostics._last.clear()
    function = getattr(platform_sdk, name)
    function(*range(20))
    function(*range(20), nothing_of_the_kind=object())

    # While it is off, what would record does not look at its arguments.
    assert not on or f"{name}: TypeError: " in caplog.text
    assert not on or name.startswith("set_") or f"; expected {name}(" in caplog.text


def test_a_wrong_call_of_init(caplog: pytest.LogCaptureFixture) -> None:
    """It returns that recording is off."""
    diagnostics._last.clear()

    assert platform_sdk.init("a", "b", "c", "d") is False  # type: ignore[misc]
    assert "4 were given; expected init(dsn=None, app=None, release=None, **options)" in caplog.text


@pytest.mark.parametrize("given", ["soon", float("nan"), object(), 1e300])
def test_timeouts_that_are_none(store: Store, start: Start, given: Any) -> None:
    """`flush` does its work all the same."""
    start()
    platform_sdk.log_error("it broke")

    assert platform_sdk.flush(given)
    assert store.count("error") == 1
    assert platform_sdk.close(given)


def test_wrong_calls_of_a_monitor(store: Store, start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """They are counted and logged; the call is recorded without what could not be read."""
    diagnostics._last.clear()
    start()
    with platform_sdk.APIMonitor("arxiv", "/q") as call:
        call.status("abc")  # type: ignore[arg-type]
        call.status()  # type: ignore[call-arg]
        call.failed("timeout", 5)  # type: ignore[call-arg]
        call.response()  # type: ignore[call-arg]
    assert platform_sdk.flush(60)

    assert store.rows("api, status, outcome", "api_call") == [("arxiv", None, "success")]
    assert platform_sdk.stats().dropped == {"internal": 4}
    assert "status: ValueError: invalid 'abc' for code: expected a status such as 200" in caplog.text
    assert "expected failed(reason)" in caplog.text


def test_options_are_typed() -> None:
    """What type checkers see of init's keywords is what it takes."""
    taken = {option.name for option in options.all_options()}
    typed = set(get_type_hints(options.GivenOptions))

    assert typed == taken - {"dsn", "app", "release"}
    assert [*inspect.signature(client.init).parameters][:3] == ["dsn", "app", "release"]


def test_closed_lists_are_typed() -> None:
    """The types hold what the columns understand."""
    assert get_args(typing.Severity) == SEVERITIES
    assert get_args(typing.SampleKind) == TYPES
    assert get_args(typing.TaskOutcome) == OUTCOMES


def test_stats() -> None:
    """The ledger is an object whose names can be read as keys; all is zero where recording was never on."""
    stats = platform_sdk.stats()

    assert stats == Stats()
    assert (stats["produced"], stats.lost) == (0, 0)
    assert Stats(dropped={"overflow": 2, "poison": 1}).lost == 3
    with pytest.raises(KeyError, match="lots"):
        _ = stats["lots"]


def test_stats_after_the_end(start: Start) -> None:
    """What was stored and what was spooled can be read after `close`, but not in a child, which emitted nothing."""
    start()
    platform_sdk.log_api_usage("arxiv")
    assert platform_sdk.close()

    assert (platform_sdk.stats().produced, platform_sdk.stats().stored) == (1, 1)

    start(dsn="postgresql://x@127.0.0.1:1/x", exit_timeout_seconds=2.0)
    platform_sdk.log_api_usage("arxiv")
    platform_sdk.log_api_usage("arxiv")
    assert not platform_sdk.close()

    assert (platform_sdk.stats().produced, platform_sdk.stats().spooled) == (2, 2)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(platform_sdk.stats).produced == 0

    start()
    assert platform_sdk.stats().produced == 0


def test_version() -> None:
    """There is one."""
    assert platform_sdk.__version__.count(".") == 2
