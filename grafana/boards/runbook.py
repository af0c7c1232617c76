"""The runbook as a dashboard, where everyone who gets a notification can read it.

The variable `alert` puts one entry first, so that each has its own link, `?var-alert=NAME`. All texts are in the
dashboard itself: they are needed most where no data source answers.
"""

import re
from pathlib import Path
from urllib.parse import quote
from zlib import crc32

from grafana_foundation_sdk.builders import text

from grafana.design import panels, variables
from grafana.design.layout import Board, Line

RUNBOOK = Path(__file__).parents[2] / "prometheus/runbook.md"
START = "How to use it"


def entries() -> dict[str, str]:
    """Return the introduction, then each alert's entry in the order of names, in Markdown."""
    introduction, *texts = re.split(r"^## ", RUNBOOK.read_text(), flags=re.MULTILINE)
    named = {name: text.strip() for name, _, text in (text.partition("\n") for text in texts)}
    return {START: introduction.partition("\n")[2].strip(), **dict(sorted(named.items()))}


def number(name: str) -> int:
    """Return the number that stands for an entry in the variable: the same in every release."""
    return crc32(name.encode()) % 10**6


def _entries() -> text.Panel:
    # No panel can leave out a part of its text, but a style may depend on a variable: the entry chosen has the order 0.
    shown = (
        f'<div style="padding-bottom: 24px; order: {order(name)}">\n\n## {name}\n\n{_unfolded(entry)}\n\n</div>'
        for name, entry in entries().items()
    )
    content = '<div style="display: flex; flex-direction: column">\n\n{}\n\n</div>'.format("\n\n".join(shown))
    return panels.markdown("Runbook", "The entry of the chosen alert first, then all others.", content)


def order(name: str) -> str:
    """Return what places an entry: 0 if it is the one chosen, otherwise 1."""
    return f"min(1, ({number(name)} - $alert) * ({number(name)} - $alert))"


LONGEST = 40
"""Letters of a command within a line: Grafana cuts longer ones, on a phone first, but wraps blocks."""


def _unfolded(entry: str) -> str:
    """Return an entry with its long commands in blocks."""
    found = []
    for line in entry.split("\n"):
        indent = "   " if re.match(r"\d\. ", line) else ""

        def shown(match: re.Match[str], indent: str = indent) -> str:
            block = f"\n\n{indent}```sh\n{indent}{match[1]}\n{indent}```\n\n{indent}"
            return block if len(match[1]) > LONGEST else match[0]

        found.append(re.sub(r" ?`([^`]+)`[.,)]*", shown, line).rstrip())
    return "\n".join(found)


def _index() -> text.Panel:
    found = {name: re.match(r"\*\*Meaning\.\*\* (.*)", entry) for name, entry in entries().items()}
    lines = (
        f"[{name}](d/platform-runbook/runbook?var-alert={quote(name)})<br>{meaning[1] if meaning else ''}"
        for name, meaning in found.items()
    )
    return panels.markdown("All alerts", "A click on a name shows its entry first.", "\n\n".join(lines))


BOARD = Board(
    "runbook",
    "What does an alert mean, whom does it affect, what is to be checked first, and how is it fixed?",
    [Line(18, [_entries(), _index()], (16, 8))],
    [variables.choice("alert", "Alert", {name: number(name) for name in entries()})],
    refresh="",
    marks=(),
)
