"""Show the runbook in Grafana, where everyone who gets a notification can read it."""

import re
from pathlib import Path

from grafana.design import Json, dashboard, laid_out

RUNBOOK = Path(__file__).parents[1] / "prometheus/runbook.md"


def runbook() -> Json:
    """Return the dashboard platform-runbook: the introduction, then a panel per alert."""
    introduction, *entries = re.split(r"^## ", RUNBOOK.read_text(), flags=re.MULTILINE)
    panels = [_text("How to use it", introduction.partition("\n")[2])]
    for entry in entries:
        name, _, text = entry.partition("\n")
        panels.append(_text(name, text))
    rows = [(8, [(panels[0], 24)])]
    rows += [(15, [(one, 12) for one in panels[number : number + 2]]) for number in range(1, len(panels), 2)]
    return dashboard(
        "platform-runbook",
        "Platform runbook",
        "One entry per alert: what it means, whom it hurts, what to look at first, how to mend it.",
        laid_out(rows),
        refresh="",
        timepicker={"hidden": True},
    )


def _text(title: str, markdown: str) -> Json:
    return {
        "type": "text",
        "title": title,
        "description": f"From prometheus/runbook.md: {title}.",
        "options": {"mode": "markdown", "content": markdown.strip()},
    }
