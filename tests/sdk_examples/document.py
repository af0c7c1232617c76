"""What docs/sdk.md holds: its code blocks by heading, its table of options."""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs/sdk.md"

_PART = re.compile(r"^#+ (?P<heading>[^\n]+)$|^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block as it stands, with its line breaks."""

    language: str
    text: str


def blocks(path: Path = DOCUMENT) -> dict[str, list[Block]]:
    """Return the blocks below each heading that has any, of this document or another."""
    found: dict[str, list[Block]] = defaultdict(list)
    heading = ""
    for part in _PART.finditer(path.read_text()):
        if part["heading"]:
            heading = part["heading"]
        else:
            found[heading].append(Block(part["language"], part["text"]))
    return dict(found)


def options_table() -> list[tuple[str, str]]:
    """Return name and default of each row of the table of options."""
    section = DOCUMENT.read_text().partition("\n## Options\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.MULTILINE)
