"""What `init` is told is checked when it is told, not when the first event comes."""

import pytest

import platform_sdk
from platform_sdk import options
from platform_sdk.errors import OptionError


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("batch_events", 0, "a number above 0"),  # nothing would ever be stored, and the end waited for that
        ("flush_interval_seconds", 0, "a number above 0"),
        ("flush_interval_seconds", float("inf"), "a number above 0"),
        ("statement_timeout_seconds", 0.0, "a number above 0"),  # PostgreSQL takes 0 for none
        ("buffer_bytes", -1, "a number of 0 or more"),
        ("retry_seconds", "30", "a number of 0 or more"),
        ("activity_rules", ["/login"], "a mapping of routes"),
        ("enabled", "false", "True or False"),
        ("redact_keys", "matriculation", "a list of texts"),
        ("redact_keys", 5, "a list of texts"),
    ],
)
def test_nonsense_is_refused(name: str, value: object, wanted: str) -> None:
    """The error names option, value and what was wanted; init says that nothing is recorded, and raises nothing."""
    with pytest.raises(OptionError, match=rf"^{name}: .*; wanted {wanted}"):
        options.read({"dsn": "none", "app": "shop", name: value}, {})

    assert platform_sdk.init(dsn="none", app="shop", **{name: value}) is False


def test_zero_where_it_means_something() -> None:
    """No spool, no buffer, no proxy: those are choices."""
    read = options.read({"dsn": "none", "app": "shop", "spool_bytes": 0, "buffer_bytes": 0, "trusted_proxies": 0}, {})

    assert (read.spool_bytes, read.buffer_bytes, read.trusted_proxies) == (0, 0, 0)
