"""Write the dashboards: python -m grafana.generate, from the top of the repository.

With --check nothing is written; exit status 1 means that a committed file differs from what would be written.
"""

import sys
from importlib import import_module
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.design.layout import Board
from grafana.design.links import UIDS

FOLDER = Path(__file__).parent / "dashboards"


def boards() -> dict[str, Board]:
    """Return every dashboard by its name: the BOARD of the module of that name in grafana.boards."""
    return {name: import_module(f"grafana.boards.{name}").BOARD for name in UIDS}


def rendered(board: Board) -> str:
    """Return the text of a dashboard's file."""
    return JSONEncoder(indent=2, ensure_ascii=False, sort_keys=True).encode(board.build()) + "\n"


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
            print(f"{path} differs from what the generator writes; run python -m grafana.generate", file=sys.stderr)
            status = 1
        elif not check:
            path.write_text(text)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
