"""
Write the dashboards: python -m grafana.generate, from the top of the repository.

With --check nothing is written; exit status 1 tells that a committed file differs from what would be.
"""

import json
import sys
from pathlib import Path

from grafana.design import Json
from grafana.overview import overview
from grafana.runbook import runbook

FOLDER = Path(__file__).parent / "dashboards"


def dashboards() -> dict[str, Json]:
    """Return every dashboard by the name of its file."""
    return {"overview.json": overview(), "runbook.json": runbook()}


def rendered(dashboard: Json) -> str:
    """Return the text of a dashboard's file."""
    return json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write or check all files and return the exit status."""
    check = arguments == ["--check"]
    if arguments and not check:
        print("usage: python -m grafana.generate [--check]", file=sys.stderr)
        return 2
    status = 0
    for name, dashboard in dashboards().items():
        path, text = FOLDER / name, rendered(dashboard)
        if check and (not path.exists() or path.read_text() != text):
            print(f"{path} is not what the generator writes; run: python -m grafana.generate", file=sys.stderr)
            status = 1
        elif not check:
            path.write_text(text)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
