"""The unit tests of the rules, run by this release's promtool; in a file of its own, as it takes a while."""

from pathlib import Path

import pytest

from tests.prometheus.promtool import UNIT_TESTS, failures


@pytest.mark.parametrize("tests", UNIT_TESTS, ids=lambda path: path.stem)
def test_rules_do_what_their_tests_say(tests: Path) -> None:
    """promtool finds every series and every alert as written."""
    assert failures("stable", tests) == ""
