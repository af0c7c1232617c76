"""Write the dashboards: python -m grafana.generate, from the top of the repository.

With --check nothing is written; exit status 1 tells that a committed file differs from what would be.
"""

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.design.layout import Board
from grafana.design.links import UIDS

FOLDER = Path(__file__).parent / "dashboards"


def boards() -> dict[str, Board]:
    """Return every dashboard's description by its name: what the module of that name in grafana.boards offers."""
    return {name: import_module(f"grafana.boards.{name}").BOARD for name in UIDS}


def rendered(board: Board) -> str:
    """Return the text of a dashboard's file."""
    return JSONEncoder(indent=2, ensure_ascii=False, sort_keys=True).encode(board.build()) + "\n"


def reread(dashboard: dict[str, Any]) -> dict[str, Any]:
    """Return a dashboard read from JSON into the SDK's types and written again; what these do not know is lost."""
    register_default_plugins()
    found: dict[str, Any] = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))
    return found


def main(arguments: list[str]) -> int:
    """Write or check all files and return the exit status."""
    check = arguments == ["--check"]
    if arguments and not check:
        print("usage: python -m grafana.generate [--check]", file=sys.stderr)
        return 2
    status = 0
    for name, board in boards().items():
        path, text = FOLDER / f"{name}.json", rendered(board)
        if check and (not path.exists() or path.read_text() != text):
            print(f"{path} is not what the generator writes; run: python -m grafana.generate", file=sys.stderr)
            status = 1
        elif not check:
            path.write_text(text)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
