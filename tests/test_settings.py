"""Hold the values of the configuration to what the rest of the program relies on."""

import msgspec
import pytest

from exporter.config.settings import Config, Source, convert
from exporter.config.thresholds import Thresholds
from exporter.sections import Secret


def test_secret_shows_asterisks() -> None:
    """However a Secret is printed, its value is not shown."""
    secret = Secret("hunter2")

    assert {repr(secret), str(secret), f"{secret}", f"{secret!r}"} == {"Secret(********)"}
    assert "hunter2" not in repr([secret]) + repr({"a": secret}) + repr(vars(Source)) + str((secret,))


def test_secret_is_revealed_on_request_only() -> None:
    """`reveal` is the only way to the value that needs no underscore."""
    secret = Secret("hunter2")

    assert secret.reveal() == "hunter2"
    assert secret.equals(b"hunter2") is True
    assert [name for name in dir(secret) if not name.startswith("_")] == ["equals", "reveal"]


def test_secrets_compare_by_value() -> None:
    """A reload finds out by comparison which probes and sources changed."""
    assert Secret("a") == Secret("a") != Secret("b")
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert Secret("a") != "a"


@pytest.mark.parametrize(
    ("given", "label"),
    [
        ({}, "native"),
        ({"preset": "scitex"}, "scitex"),
        ({"preset": "/etc/x/shop.yml"}, "shop"),
        ({"preset": "shop.yaml"}, "shop"),
        ({"preset": "shop.yml", "name": "other"}, "other"),
    ],
)
def test_source_is_labelled_by_name_or_preset(given: dict[str, str], label: str) -> None:
    """The label `source` is the name, or the mapping's without folder and ending."""
    assert Source(**given).label == label  # type: ignore[arg-type]


def config(**more: object) -> Config:
    """Return a configuration with one database."""
    return convert({"database": {"dsn": "host=main"}, **more})


def test_source_counts_in_its_own_database_or_the_store() -> None:
    """A source that names no database is counted in the event store."""
    settings = config(sources=[{"preset": "native"}, {"preset": "scitex", "database": {"dsn": "host=own"}}])

    assert [settings.database_of(source).dsn.reveal() for source in settings.sources] == ["host=main", "host=own"]


def test_indicators_are_all_thresholds_but_the_minimum() -> None:
    """Series, order checks and merging of defaults go through this one list."""
    assert set(Thresholds().indicators()) == set(Thresholds.__struct_fields__) - {"minimum_events"}


def test_equal_configurations_are_equal() -> None:
    """A reload of an unchanged file changes nothing."""
    assert config() == config()
    assert config() != config(probe_timeout_seconds=2)


@pytest.mark.parametrize("section", ["limits", "retention_days", "thresholds", "objectives", "probes", "stack"])
def test_sections_cannot_be_changed(section: str) -> None:
    """Threads share the configuration, so that nothing in it may change."""
    value = getattr(config(), section)

    with pytest.raises(AttributeError, match="immutable"):
        setattr(value, value.__struct_fields__[0], None)


def test_secret_is_not_encoded_as_json() -> None:
    """JSON of a configuration is refused rather than written with secrets in it."""
    with pytest.raises(TypeError, match="Secret"):
        msgspec.json.encode(config())
