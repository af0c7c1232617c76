"""What log_error stores, by the shape of its call."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

import platform_sdk
from platform_sdk import diagnostics
from tests.sdk.events import Store

Start = Callable[..., None]


@pytest.mark.parametrize(
    ("args", "row"),
    [
        (("it broke",), ("medium", "LoggedError", "it broke")),
        (("ParseError", "no title"), ("medium", "ParseError", "no title")),
        (("ParseError", "no title", "low"), ("low", "ParseError", "no title")),
        (("high", "pressure"), ("medium", "high", "pressure")),
    ],
)
def test_own_shapes_of_log_error(store: Store, start: Start, args: tuple[str, ...], row: tuple[str, ...]) -> None:
    """A text alone is a message; of two texts the first is the type."""
    start()
    platform_sdk.log_error(*args)
    assert platform_sdk.flush(60)

    assert store.rows("severity, error_type, message", "error") == [row]


def test_error_type_of_an_exception(store: Store, start: Start) -> None:
    """It replaces the type; message, stack trace and severity stay."""
    start()
    for _ in range(2):
        try:
            raise ValueError("out of range")
        except ValueError as error:
            platform_sdk.log_error(error, error_type="ImportFailed")
    try:
        raise ValueError("out of range")
    except ValueError as error:
        platform_sdk.log_error(error)
    assert platform_sdk.flush(60)

    columns = "severity, error_type, message, stack_trace LIKE '%raise ValueError(\"out of range\")%'"
    assert store.rows(columns, "error") == [
        ("medium", "ImportFailed", "out of range", True), ("medium", "ImportFailed", "out of range", True),
        ("medium", "ValueError", "out of range", True),
    ]  # fmt: skip
    fingerprints = [fingerprint for (fingerprint,) in store.rows("fingerprint", "error")]
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_error_type_of_a_message(store: Store, start: Start) -> None:
    """A message may name its type by keyword as well."""
    start()
    platform_sdk.log_error("no title", error_type="ParseError")
    assert platform_sdk.flush(60)

    assert store.rows("severity, error_type, message", "error") == [("medium", "ParseError", "no title")]


def test_arguments_that_do_not_fit(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """A call in another module's shape is counted and logged, not raised."""
    diagnostics._last.clear()
    start()
    platform_sdk.log_error("high", "CompileError", "page 3", "/writer/compile/")  # type: ignore[misc]

    assert platform_sdk.stats()["dropped"] == {"internal": 1}
    assert "log_error: TypeError: log_error() takes from 1 to 3 positional arguments" in caplog.text


def test_capture_exception(store: Store, start: Start) -> None:
    """Without arguments it is the one being handled; once; others' names of arguments."""
    start()
    assert platform_sdk.capture_exception() is False
    try:
        raise ValueError("out of range")
    except ValueError:
        taken = [platform_sdk.capture_exception(), platform_sdk.capture_exception()]
    try:
        raise KeyError("title")
    except KeyError:
        about = {"level": "fatal", "user": {"id": 7, "ip_address": "203.0.113.9"}, "tags": {"shop": "eu"}}
        taken.append(platform_sdk.capture_exception(sys.exc_info(), fingerprint=["a", "b"], **about))  # type: ignore
    assert platform_sdk.flush(60)

    assert taken == [True, False, True]
    columns = "severity, error_type, user_id, host(ip), context->'tags'->>'shop'"
    assert store.rows(columns, "error") == [
        ("high", "ValueError", None, None, None), ("critical", "KeyError", "7", "203.0.113.0", "eu"),
    ]  # fmt: skip
    assert store.rows("fingerprint", "error")[1] == ("a b",)


@pytest.mark.parametrize(
    ("level", "severity"),
    [
        ("debug", "low"), ("info", "low"), ("warning", "medium"), ("error", "high"), ("fatal", "critical"),
        ("critical", "critical"), ("medium", "medium"), ("whatever", "high"),
    ],
)  # fmt: skip
def test_capture_message(store: Store, start: Start, level: Any, severity: str) -> None:
    """Its level is a severity."""
    start()
    assert platform_sdk.capture_message("no paper left", level)
    assert platform_sdk.flush(60)

    assert store.rows("severity, error_type, message", "error") == [(severity, "Message", "no paper left")]


def test_a_template_groups(store: Store, start: Start) -> None:
    """Texts made of one template are one issue, however they differ."""
    start()
    for title in ("a dog", "the second cat"):
        platform_sdk.log_error(f"no paper {title}", template="no paper %s")
    platform_sdk.log_error("no paper a dog")
    assert platform_sdk.flush(60)

    fingerprints = [fingerprint for (fingerprint,) in store.rows("fingerprint", "error")]
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]
