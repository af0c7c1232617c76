"""Run the product's commands in this process, many thousand times."""

import contextlib
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from exporter.__main__ import main

# One for all runs: click keeps every stream that it has written errors to (1 kB each, with what was written).
_BYTES = io.BytesIO()
_OUT = io.TextIOWrapper(_BYTES, encoding="utf-8", write_through=True)
_ERR = io.TextIOWrapper(_BYTES, encoding="utf-8", errors="backslashreplace", write_through=True)


@dataclass(frozen=True)
class Result:
    """How a command ended, and what it wrote, to either stream."""

    exit_code: int
    output: str


def run(arguments: Sequence[str]) -> Result:
    """Run `platform-exporter ARGUMENTS`, with nothing to read. Raises whatever no command should."""
    _BYTES.seek(0)
    _BYTES.truncate()
    stdin, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO())
    status: object = 0
    try:
        with contextlib.redirect_stdout(_OUT), contextlib.redirect_stderr(_ERR):
            main(list(arguments), "platform-exporter")
    except SystemExit as end:
        status = end.code
    finally:
        sys.stdin = stdin
    return Result(status if isinstance(status, int) else int(status is not None), _BYTES.getvalue().decode())
