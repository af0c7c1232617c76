"""What groups with what: stable across lines, messages and interpreters, apart where the place or type differs."""

from collections.abc import Callable
from types import CodeType

import pytest

from platform_sdk.capture.exceptions import Captured, capture, capture_message
from platform_sdk.capture.fingerprint import fingerprint, normalised
from platform_sdk.capture.stacktrace import Stacks

SOURCE = """
def outer(n):
    inner(n)

def inner(n):
    raise ValueError(f"bad value {n}")

def recursive(n):
    if n == 0:
        raise ValueError("deep")
    recursive(n - 1)

def chained(n):
    try:
        inner(n)
    except ValueError as error:
        raise KeyError(n) from error

def grouped(n):
    errors = []
    for function in (inner, recursive) if n else (recursive, inner):
        try:
            function(2)
        except ValueError as error:
            errors.append(error)
    raise ExceptionGroup("several", errors)
"""


def caught(call: str, source: str = SOURCE, file: str = "/app/shop/views.py", module: str = "shop.views") -> Captured:
    """Return what is captured of the exception that a call raises, from code at the place given."""
    code: CodeType = compile(source, file, "exec")
    names: dict[str, object] = {"__name__": module}
    exec(code, names)
    try:
        exec(compile(call, "/usr/lib/x/site-packages/framework.py", "exec"), names)
    except Exception as error:  # noqa: BLE001 - whatever the code given raises
        captured = capture(error)
        assert captured is not None
        return captured
    raise AssertionError("nothing was raised")


def made(captured: Captured, explicit: str | None = None) -> str:
    return fingerprint(captured, Stacks(), explicit)


SAME = {
    "another message": lambda: caught("outer(2)"),
    "moved down by lines": lambda: caught("outer(1)", "\n\n\n# new\n" + SOURCE),
    "installed elsewhere": lambda: caught("outer(1)", file="/srv/release-7/shop/views.py"),
    "called through other frameworks": lambda: caught("(lambda: outer(1))()"),
}


@pytest.mark.parametrize("change", SAME)
def test_same_error_has_the_same_fingerprint(change: str) -> None:
    """None of these makes it another error."""
    assert made(SAME[change]()) == made(caught("outer(1)"))


OTHER: dict[str, Callable[[], Captured]] = {
    "another function": lambda: caught("inner(1)"),
    "another type": lambda: caught("outer(1)", SOURCE.replace("ValueError(f", "TypeError(f")),
    "another module": lambda: caught("outer(1)", module="shop.api"),
    "with a cause": lambda: caught("chained(1)"),
    "a group": lambda: caught("grouped(1)"),
}


@pytest.mark.parametrize("change", OTHER)
def test_other_error_has_another_fingerprint(change: str) -> None:
    """Each of these makes it another error."""
    assert made(OTHER[change]()) != made(caught("outer(1)"))


def test_depth_of_a_recursion_does_not_matter() -> None:
    """A recursion that fails deeper is the same error."""
    assert made(caught("recursive(3)")) == made(caught("recursive(30)"))


def test_order_within_a_group_does_not_matter() -> None:
    """Which member of an ExceptionGroup failed first is chance."""
    assert made(caught("grouped(1)")) == made(caught("grouped(0)"))


def test_v1_is_frozen() -> None:
    """The rules of a version never change: a change needs a new version, or every group breaks up."""
    assert made(caught("outer(1)")) == "v1:3d147992984bfccc"
    assert made(capture_message("LoggedError", "it took 5 s")) == "v1:d4bfcf1f021807f3"


def test_explicit_fingerprint_wins() -> None:
    """What the application says groups."""
    assert made(caught("outer(1)"), "payments") == "payments"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("order 15 failed after 2.5 s", "order <number> failed after <number> s"),
        ("no such file: '/tmp/x/y.txt'", "no such file: <quoted>"),
        ("GET https://x.example/a?b=1 failed", "GET <url> failed"),
        ("user 550e8400-e29b-41d4-a716-446655440000 unknown", "user <uuid> unknown"),
        ("from 203.0.113.9:443 to ann@mail.example", "from <address> to <mail>"),
        ("object at 0x7f3a2c at 2025-01-02T03:04:05Z", "object at <hex> at <time>"),
        ("the queue is full", "the queue is full"),
    ],
)
def test_messages_without_a_stack_are_normalised(message: str, expected: str) -> None:
    """Numbers, ids and names in quotes vary; words do not."""
    assert normalised(message) == expected
