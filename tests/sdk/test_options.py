"""Options are checked by `init`, not when the first event comes."""

from pathlib import Path
from typing import Any

import pytest

import platform_sdk
from platform_sdk import client, diagnostics, options
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


@pytest.mark.parametrize(
    "dsn",
    [
        "platform", "db:5432/platform", "mysql://u:secret@h/d", "postgresql+psycopg://u:secret@h/d?sslmode=require",
        "postgresql://u:se/cret@h/d", "postgresql://h:nope/d", "postgresql://u:secret@h/d;postgresql://u:secret@h/e",
    ],
)  # fmt: skip
def test_dsn_that_can_never_work(dsn: str) -> None:
    """It is said at the start, without being shown."""
    with pytest.raises(OptionError, match="dsn") as caught:
        options.check_dsn(dsn)

    assert dsn not in str(caught.value)
    assert platform_sdk.init(dsn=dsn, app="shop") is False


@pytest.mark.parametrize(
    "dsn",
    [
        "postgres://h/d", "postgresql:///d", "dbname = d", "service=monitoring", " host=/tmp", "postgresql://",
        "postgresql://u:p?#,:[;|x@h/d", "postgresql://u:%2F%40@h1:1,h2:2/d", "postgresql://u@[::1]:5433,h/d?sslmode=require&",
        "postgresql://%2Frun%2Fpg/d", "postgresql:///d?host=/run/pg&user=u@tenant", "postgresql://h?service=monitoring",
        "host=@socket dbname=d", "host=h password='a@b/c://d' port=1", r"host=h password=a\ b@c", "host=h1,h2 port=1,2",
    ],
)  # fmt: skip
def test_dsn_that_libpq_reads(dsn: str) -> None:
    """All forms that libpq knows pass."""
    options.check_dsn(dsn)


def test_zero_where_it_means_something() -> None:
    """No spool, no buffer and no proxy are valid choices."""
    read = options.read({"dsn": "none", "app": "shop", "spool_bytes": 0, "buffer_bytes": 0, "trusted_proxies": 0}, {})

    assert (read.spool_bytes, read.buffer_bytes, read.trusted_proxies) == (0, 0, 0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("PLATFORM_SDK_BATCH_EVENT", "PLATFORM_SDK_BATCH_EVENT: expected PLATFORM_SDK_BATCH_EVENTS"),
        ("PLATFORM_SDK_PASWORD_FILE", "PLATFORM_SDK_PASWORD_FILE: expected PLATFORM_SDK_PASSWORD_FILE"),
        ("PLATFORM_SDK_QQQ", "PLATFORM_SDK_QQQ: expected PLATFORM_SDK_<option>"),
    ],
)
def test_a_variable_that_names_no_option_is_logged(
    name: str, expected: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Recording goes on without it."""
    monkeypatch.setenv(name, "1")
    on = platform_sdk.init(dsn="postgresql://x@127.0.0.1:1/x", app="shop", spool_folder="")
    platform_sdk.close(0)

    assert on
    assert caplog.messages == [f"init: nothing reads {expected}"]


def test_models_with_a_dot(tmp_path: Path) -> None:
    """TOML reads their names as tables in tables, quoted or not, also beside a model of the first part's name."""
    file = tmp_path / "prices.toml"
    file.write_text('[gpt-4]\ninput = 30\n[gpt-4.1]\ninput = 2\n["o.3"]\ninput = 1\n[a.b.c]\ninput = 4\nbatch = 0.5\n')
    read = options.read({"dsn": "none", "app": "shop", "prices": str(file)}, {})

    assert (dict(read.prices), read.left_out) == (
        {"gpt-4": {"input": 30}, "gpt-4.1": {"input": 2}, "o.3": {"input": 1}, "a.b.c": {"input": 4, "batch": 0.5}}, (),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("prices", "said"),
    [
        ({"big": {"inptu": 1}}, "invalid 'inptu' for prices, model 'big': expected input"),
        ({"big": {"input": 1, "outputs": 2}}, "invalid 'outputs' for prices, model 'big': expected output"),
        ({"big": {"fast": 2}}, "invalid 'fast' for prices, model 'big': expected input or cache_read or"),
        ({"gpt-4o*": {"input": 1}}, "invalid model 'gpt-4o*' for prices: expected a model's name"),
        ({"big": 3}, "invalid 3 for prices, model 'big': expected models with a price"),
        ({"big": {"input": "1"}}, "invalid {'input': '1'} for prices, model 'big': expected models with a price"),
    ],
)
def test_prices_that_are_wrong_are_left_out(prices: Any, said: str, caplog: pytest.LogCaptureFixture) -> None:
    """They are logged by name, and recording goes on with the others."""
    diagnostics._last.clear()
    good = {"good": {"input": 1.0, "performance": 2.0}}
    on = platform_sdk.init(dsn="postgresql://x@127.0.0.1:1/x", app="shop", spool_folder="", prices={**prices, **good})
    read = client.active_options()
    platform_sdk.close(0)

    assert on
    assert read is not None
    assert read.prices == good
    [message] = caplog.messages
    assert message.startswith(f"init: left out: {said}")


@pytest.mark.parametrize("text", ["[big", None])
def test_a_file_of_prices_that_cannot_be_read(
    tmp_path: Path, text: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It costs the prices, not what is recorded."""
    file = tmp_path / "prices.toml"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("PLATFORM_SDK_PRICES", str(file))
    on = platform_sdk.init(dsn="postgresql://x@127.0.0.1:1/x", app="shop", spool_folder="")
    platform_sdk.close(0)

    assert on
    [message] = caplog.messages
    assert message.startswith(f"init: left out: invalid '{file}' for PLATFORM_SDK_PRICES: expected a TOML file")


def test_each_invalid_start_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Also a second one within the minute in which other problems are logged once."""
    platform_sdk.init(dsn="postgresql://x@127.0.0.1:1/x", app="shop", batch_events=-1)
    platform_sdk.init(dsn="postgresql://x@127.0.0.1:1/x", app="shop", batch_events=-2)
    platform_sdk.init(dsn="postgresql://x@127.0.0.1:1/x", app="shop", batch_events=-2)

    assert [message[:60] for message in caplog.messages] == [
        "init: nothing is recorded: invalid -1 for batch_events: expe",
        "init: nothing is recorded: invalid -2 for batch_events: expe",
    ]
