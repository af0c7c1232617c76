"""Every target's kept inputs, and some new ones: `make fuzz` tries many."""

import pytest

from tools.fuzz import runner
from tools.fuzz.target import Target
from tools.fuzz.targets import TARGETS


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_nothing_is_found(target: type[Target], monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an error that nobody foresaw, nor what the target promises not to do, nor an input without an end."""
    # Of processor time, too, a busy machine takes more; what is without end takes all of it.
    monkeypatch.setattr(target, "limit_seconds", runner.HANGS_SECONDS)
    outcome = runner.run(target(), target.few, keep=False)

    assert outcome.faults == {}
    assert outcome.cases >= target.few
