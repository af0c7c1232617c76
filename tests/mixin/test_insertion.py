"""Lines for files that people wrote: nothing else in them changes."""

import pytest
import yaml

from exporter.errors import ConfigError
from exporter.mixin.insertion import with_entries, without_entries

DEBIAN = """\
# Sample config for Prometheus.
global:
  scrape_interval: 15s  # the default is every minute

rule_files:
  # - "first_rules.yml"
  - "second_rules.yml"

# What is scraped:
scrape_configs:
  - job_name: prometheus
    static_configs:
      - targets: ['localhost:9090']

# The end.
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:\n  - x\n", "a:\n  - x\n  - new\n"),
        ("a:\n- x  # why\n# what follows\nb: 1\n", "a:\n- x  # why\n- new\n# what follows\nb: 1\n"),
        ("a:\n  # - x\n\nb: 1\n", "a:\n  - new\n  # - x\n\nb: 1\n"),
        ("a: []\nb: 1\n", "a:\n  - new\nb: 1\n"),
        ("b:\n  - 1", "b:\n  - 1\na:\n  - new\n"),
        ("a:\n  - x\n  - new\n", "a:\n  - x\n  - new\n"),
        ("# nothing yet\n", "# nothing yet\na:\n  - new\n"),
    ],
)
def test_an_entry_is_added(text: str, expected: str) -> None:
    """At the end of the list, in its indentation; a list that is missing is made; what is there is not added again."""
    assert with_entries(text, ("a",), ["new"]) == expected


def test_an_entry_goes_before_the_others() -> None:
    """Where the first that fits counts."""
    text = "route:\n  receiver: x\n  routes:\n    - receiver: y  # mine\n"

    assert with_entries(text, ("route", "routes"), [{"receiver": "z"}], first=True) == (
        "route:\n  receiver: x\n  routes:\n    - receiver: z\n    - receiver: y  # mine\n"
    )


def test_comments_and_order_stay() -> None:
    """Every line that was there is there, in its order."""
    found = with_entries(with_entries(DEBIAN, ("rule_files",), ["a.yml"]), ("scrape_config_files",), ["b.yml"])
    lines = iter(found.splitlines())

    assert all(line in lines for line in DEBIAN.splitlines())
    assert yaml.safe_load(found)["rule_files"] == ["second_rules.yml", "a.yml"]
    assert yaml.safe_load(found)["scrape_config_files"] == ["b.yml"]


@pytest.mark.parametrize("text", ["a: [x]\n", "{a: [x]}\n", "a: &one\n  - x\nb: *one\n", "a: text\n"])
def test_what_cannot_be_added_safely_is_said(text: str) -> None:
    """The file stays, and the lines are shown."""
    with pytest.raises(ConfigError, match=r"(?s)cannot add to `a`: .*add to it:\n- new"):
        with_entries(text, ("a",), ["new"])


def test_invalid_yaml_is_said() -> None:
    """Before anything is written."""
    with pytest.raises(ConfigError, match="invalid YAML"):
        with_entries("a: [", ("a",), ["new"])


def test_entries_are_taken_out() -> None:
    """Those of ours, with all their lines, and no comment of others."""
    text = "a:\n  # first\n  - x: 1\n    y:\n      - 2\n  # second\n  - z\n\n# end\nb: 1\n"

    assert without_entries(text, ("a",), lambda one: isinstance(one, dict)) == (
        "a:\n  # first\n  # second\n  - z\n\n# end\nb: 1\n"
    )
    assert without_entries(text, ("a",), lambda one: one == "other") == text
    assert yaml.safe_load(without_entries(text, ("a",), lambda one: True)) == {"a": None, "b": 1}
