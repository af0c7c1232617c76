"""Options are checked by `init`, not when the first event comes."""

import pytest

import platform_sdk
from platform_sdk import options
from platform_sdk.errors import OptionError


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("batch_events", 0, "a whole number above 0"),  # nothing would ever be stored, and the end waited for that
        ("flush_interval_seconds", 0, "a number above 0"),
        ("flush_interval_seconds", float("inf"), "a number above 0"),
        ("flush_interval_seconds", 1e300, "a number above 0"),  # beyond what a wait can last
        ("batch_events", 0.5, "a whole number above 0"),  # would be 0
        ("statement_timeout_seconds", 0.0, "a number above 0"),  # PostgreSQL takes 0 for none
        ("buffer_bytes", -1, "a whole number of 0 or more"),
        ("retry_seconds", "30", "a number of 0 or more"),
        ("activity_rules", ["/login"], "a mapping of routes"),
        ("enabled", "false", "True or False"),
        ("redact_keys", "matriculation", "a list of texts"),
        ("redact_keys", 5, "a list of texts"),
    ],
)
def test_invalid_values_are_refused(name: str, value: object, expected: str) -> None:
    """The error names option, value and what was expected; init logs that nothing is recorded, and raises nothing."""
    with pytest.raises(OptionError, match=rf"^invalid .* for {name}: expected {expected}"):
        options.read({"dsn": "none", "app": "shop", name: value}, {})

    assert platform_sdk.init(dsn="none", app="shop", **{name: value}) is False


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("ENABLED", "yes", True), ("BATCH_EVENTS", "10", 10), ("RETRY_SECONDS", "1.5", 1.5),
        ("IN_APP", "a, b", ("a", "b")), ("SAMPLE_ABOVE_PER_SECOND", "None", None), ("RELEASE", "1.2", "1.2"),
    ],
)  # fmt: skip
def test_environment(name: str, text: str, value: object) -> None:
    """A variable is read by the option's type."""
    read = options.read({"dsn": "none", "app": "shop"}, {f"PLATFORM_SDK_{name}": text})

    assert getattr(read, name.lower()) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [("ENABLED", "maybe"), ("BATCH_EVENTS", "1.5"), ("RETRY_SECONDS", "soon"), ("ACTIVITY_RULES", "{}")],
)
def test_invalid_environment(name: str, text: str) -> None:
    """The error names the variable."""
    with pytest.raises(OptionError, match=f"^invalid '{text}' for PLATFORM_SDK_{name}: expected "):
        options.read({"dsn": "none", "app": "shop"}, {f"PLATFORM_SDK_{name}": text})


def test_zero_where_it_means_something() -> None:
    """No spool, no buffer and no proxy are valid choices."""
    read = options.read({"dsn": "none", "app": "shop", "spool_bytes": 0, "buffer_bytes": 0, "trusted_proxies": 0}, {})

    assert (read.spool_bytes, read.buffer_bytes, read.trusted_proxies) == (0, 0, 0)
