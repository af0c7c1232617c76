"""The rules of Grafana's dashboard-linter: ours always, itself where it is installed."""

import re
import shutil
import subprocess
from typing import Any

import pytest

from grafana.generate import FOLDER
from tests.grafana.boards import DASHBOARDS, every_dashboard, promql
from tests.grafana.linter import EXCLUSIONS, RULES
from tools.stack.servers import Prometheus

SHORTEST_WINDOW_SECONDS = 300
UNITS_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@every_dashboard
@pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in EXCLUSIONS])
def test_rules_hold(parser: Prometheus, rule: str, name: str) -> None:
    """What is not excluded has no findings."""
    assert list(RULES[rule](name, parser)) == []


def test_there_are_seventeen_rules() -> None:
    """As many as the linter's documentation lists."""
    assert len(RULES) == 17


@pytest.mark.parametrize("rule", list(EXCLUSIONS))
def test_exclusions_have_a_reason_and_a_use(parser: Prometheus, rule: str) -> None:
    """An exclusion says why, and goes away when nothing needs it any more."""
    findings = [found for name in DASHBOARDS for found in RULES[rule](name, parser)]

    assert EXCLUSIONS[rule]["reason"].endswith(".")
    assert findings


@every_dashboard
def test_fixed_windows_are_long(name: str) -> None:
    """A fixed window shorter than the one that alerts judge would miss scrapes, or show noise."""
    for query in promql(name):
        for number, unit in re.findall(r"\[(\d+)([smhdw])[\]:]", query.text):
            assert int(number) * UNITS_SECONDS[unit] >= SHORTEST_WINDOW_SECONDS, (query.place, query.text)


@every_dashboard
def test_the_linter_itself_where_it_is_installed(name: str) -> None:
    """`go install github.com/grafana/dashboard-linter@latest` makes this run it; the rules above hold without it."""
    program: Any = shutil.which("dashboard-linter")
    if program:
        command = [program, "lint", "--strict", str(FOLDER / f"{name}.json")]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr
