"""Whatever the application hands over, nothing comes back out of the SDK, and the ledger balances."""

import random
from collections.abc import Callable
from typing import Any

import pytest

import platform_sdk
from platform_sdk import emit
from platform_sdk.migrate import scitex
from tests.sdk.events import Store, difference


class Hostile:
    """An object each of whose methods fails."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __str__(self) -> str:
        raise RuntimeError("str")

    __repr__ = __len__ = __bool__ = __hash__ = __iter__ = __eq__ = __lt__ = __int__ = __float__ = __str__  # type: ignore


class HostileError(Exception):
    """An exception whose text cannot be made."""

    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("str")


def deep() -> dict[str, Any]:
    """Return a mapping that contains itself."""
    value: dict[str, Any] = {"secret": "x", 5: {1, 2}, "nan": float("nan")}
    value["self"] = value
    return value


GARBAGE: tuple[Any, ...] = (
    None, "", "x" * 70_000, "\x00\ud800\\N\t\n\r", b"\xff\x00", 0, -1, 2**70, True, 1.5, float("nan"), float("inf"), [],
    [1], {}, {"a": {"b": [None, object()]}}, deep(), Hostile(), Hostile, object(), HostileError(), ValueError("x\x00"),
    KeyboardInterrupt(), lambda: None, "203.0.113.9", "999.1.2.3", "::ffff:1.2.3.4%eth0", {Hostile: 1},
)  # fmt: skip

FUNCTIONS: tuple[tuple[Callable[..., Any], int, tuple[str, ...]], ...] = (
    (emit.request_finished, 10, ()),
    (
        emit.api_call,
        4,
        ("method", "status", "reason", "response_bytes", "query", "cost", "rate_limit_reset", "attempt"),
    ),
    (emit.scraping_run, 5, ("reason", "items_processed", "items_failed", "response_bytes")),
    (emit.job_heartbeat, 9, ()),
    (emit.activity, 1, ("user_id", "role", "success", "duration_seconds", "ip", "user_agent", "details")),
    (emit.sample, 5, ()),
    (emit.exception, 1, ("severity", "endpoint", "user_id", "ip", "user_agent", "fingerprint", "context")),
    (emit.error_message, 1, ("error_type", "severity", "endpoint", "user_id", "context")),
    (platform_sdk.log_error, 3, ("error_type", "endpoint", "context", "whatever")),
    (platform_sdk.log_activity, 2, ("details", "whatever")),
    (platform_sdk.log_api_usage, 4, ("success", "error", "reason", "params", "response_bytes", "whatever")),
    (platform_sdk.sample, 4, ("label",)),
    (scitex.log_error, 7, ()),
    (scitex.log_api_usage, 7, ("whatever",)),
    (scitex.log_activity, 9, ()),
    (scitex.log_system_metric, 6, ()),
)


@pytest.mark.parametrize("seed", range(6))
def test_garbage_neither_raises_nor_unbalances(store: Store, start: Callable[..., None], seed: int) -> None:
    """Random garbage in every argument of every function; afterwards a plain request is stored."""
    start(flush_interval_seconds=60)
    chance = random.Random(seed)
    for _ in range(400):
        function, positional, named = chance.choice(FUNCTIONS)
        arguments = [chance.choice(GARBAGE) for _ in range(positional)]
        function(*arguments, **{name: chance.choice(GARBAGE) for name in named if chance.random() < 0.7})
    emit.request_finished("/", "GET", 200, 0.1)
    assert platform_sdk.flush(60)

    stats = platform_sdk.stats()
    assert difference() == difference(store.ledger()) == 0
    assert set(stats["dropped"]) <= {"internal", "serialization"}
    kinds = ("api_call", "scraping_run", "user_activity", "sample", "error")
    weights = store.database.execute("SELECT sum(weight)::int FROM monitoring.http_request")[0][0]
    assert stats["stored"] == weights + sum(store.count(kind) for kind in kinds)


@pytest.mark.parametrize("seed", range(3))
def test_monitor_survives_garbage(start: Callable[..., None], seed: int) -> None:
    """APIMonitor takes any response and any status."""
    start()
    chance = random.Random(seed)
    for value in GARBAGE:
        with platform_sdk.APIMonitor(chance.choice(GARBAGE), chance.choice(GARBAGE), chance.choice(GARBAGE)) as call:
            call.response(value)
            call.status(value)
            call.failed(value)


@pytest.mark.parametrize(
    "options",
    [{}, {"dsn": "x"}, {"dsn": "x", "app": "a", "colour": 1}, {"dsn": "x", "app": "a", "plain_events": "many"}],
)
def test_wrong_options_switch_it_off(options: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """The log says what is wrong, and nothing is recorded."""
    from platform_sdk import diagnostics

    diagnostics._last.clear()
    assert platform_sdk.init(**options) is False
    assert any(text in caplog.text for text in ("invalid 'many'", "unknown option", "missing option"))
    assert platform_sdk.stats()["produced"] == 0
