"""The unit tests of the rules, run by promtool of both releases; they take a while, so workers share them."""

from pathlib import Path

import pytest

from tests.prometheus.promtool import UNIT_TESTS, failures


@pytest.mark.parametrize("release", ["stable", "newest"])
@pytest.mark.parametrize("tests", UNIT_TESTS, ids=lambda path: path.stem)
def test_rules_do_what_their_tests_say(tests: Path, release: str) -> None:
    """promtool finds every series and every alert as written."""
    assert failures(release, tests) == ""
