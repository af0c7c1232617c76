"""Show the runbook in Grafana, where everyone who gets a notification can read it."""

import re
from pathlib import Path

from grafana.design import panels
from grafana.design.layout import Board, Line

RUNBOOK = Path(__file__).parents[2] / "prometheus/runbook.md"


def _lines() -> list[Line]:
    introduction, *entries = re.split(r"^## ", RUNBOOK.read_text(), flags=re.MULTILINE)
    drawn = [_text("How to use it", introduction.partition("\n")[2])]
    for entry in entries:
        name, _, text = entry.partition("\n")
        drawn.append(_text(name, text))
    pairs = [drawn[number : number + 2] for number in range(1, len(drawn), 2)]
    return [Line(8, [(drawn[0], 24)]), *(Line(15, [(one, 12) for one in pair]) for pair in pairs)]


def _text(title: str, content: str) -> panels.texts.Panel:
    return panels.markdown(title, f"From prometheus/runbook.md: {title}.", content)


BOARD = Board(
    "runbook",
    "Platform runbook",
    "One entry per alert: what it means, whom it hurts, what to look at first, how to mend it.",
    _lines(),
    refresh="",
    marks=(),
)
