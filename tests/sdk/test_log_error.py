"""What log_error stores, by the shape of its call."""

from collections.abc import Callable

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
    assert platform_sdk.flush()

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
    assert platform_sdk.flush()

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
    assert platform_sdk.flush()

    assert store.rows("severity, error_type, message", "error") == [("medium", "ParseError", "no title")]


def test_arguments_that_do_not_fit(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """A call in another module's shape is counted and logged, not raised."""
    diagnostics._last.clear()
    start()
    platform_sdk.log_error("high", "CompileError", "page 3", "/writer/compile/")  # type: ignore[misc]

    assert platform_sdk.stats()["dropped"] == {"internal": 1}
    assert "log_error: TypeError: log_error() takes from 1 to 3 positional arguments" in caplog.text
