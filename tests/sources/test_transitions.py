"""Rows that change while exporters are killed: every change is counted once."""

from pathlib import Path

import pytest

from tests.sources.transitions import SETTINGS, count_under_kills
from tools.stack.servers import Postgres


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Six seconds in a database of UTF-8; with `--long` a minute in each kind of database."""
    long = metafunc.config.getoption("long")
    metafunc.parametrize("setting", list(SETTINGS) if long else ["utf8"])
    metafunc.parametrize("seconds", [60 if long else 6])


def test_every_change_is_counted_once(postgres: Postgres, setting: str, seconds: int, tmp_path: Path) -> None:
    """Eight writers with every statement there is, two exporters killed at random: nothing lost, nothing doubled."""
    name = f"transitions_{setting}"
    try:
        outcome = count_under_kills(postgres, name, setting, tmp_path, seconds)
    finally:
        postgres.drop_database(name)

    assert set(outcome.found.values()) == {(0, 0)}
    assert outcome.kills >= 4
    assert outcome.transactions["truncated"] >= 1
    assert outcome.ledger.total() > 1000
