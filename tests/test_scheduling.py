"""Which tests workers begin with, and which they share: the lists of tests/conftest.py name what is there."""

from pathlib import Path

import pytest

from tests.conftest import LONGEST, SPREAD

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("file", sorted({*LONGEST, *(prefix.removesuffix("::") for prefix in SPREAD)}))
def test_a_file_is_there(file: str) -> None:
    """A file that was renamed would silently be the last again."""
    assert (ROOT / file).is_file()


@pytest.mark.parametrize("prefix", SPREAD)
def test_what_is_spread_shares_no_server(prefix: str) -> None:
    """Each worker would start what the tests of a module share."""
    assert "scope=" not in (ROOT / prefix.removesuffix("::")).read_text()
