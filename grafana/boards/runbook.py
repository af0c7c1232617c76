"""The runbook as a dashboard, where everyone who gets a notification can read it."""

import re
from pathlib import Path

from grafana.design import panels
from grafana.design.layout import Board, Line

RUNBOOK = Path(__file__).parents[2] / "prometheus/runbook.md"


def _lines() -> list[Line]:
    introduction, *entries = re.split(r"^## ", RUNBOOK.read_text(), flags=re.MULTILINE)
    texts = [("How to use it", introduction.partition("\n")[2])]
    texts += [(name, text) for name, _, text in (entry.partition("\n") for entry in entries)]
    drawn = [panels.markdown(name, f"From prometheus/runbook.md: {name}.", text) for name, text in texts]
    pairs = [drawn[number : number + 2] for number in range(1, len(drawn), 2)]
    return [Line(8, drawn[:1]), *(Line(15, pair, [12] * len(pair)) for pair in pairs)]


BOARD = Board(
    "runbook",
    "Platform runbook",
    "One entry per alert: what it means, whom it affects, what to check first, how to fix it.",
    _lines(),
    refresh="",
    marks=(),
)
