"""End what `up` started. Standard library only: it works where the virtual environment has been removed."""

import contextlib
import shutil
from collections.abc import Collection
from pathlib import Path

from tools.stack.checkout import lock
from tools.stack.errors import StackError
from tools.stack.process import recorded_processes
from tools.stack.state import ORDER, StackState


def run(folder: Path) -> int:
    """End the processes that the state folder names, those started last first; the data stay."""
    if not folder.is_dir():
        print("Nothing runs: there is no stack here. `make up` starts one.")
        return 0
    StackState.open(folder)  # raises where it belongs to another user
    with lock(folder, "up"):
        ended = end_processes(folder.absolute())
    print(f"Down; the data stay in {folder}." if ended else "Nothing was running.")
    return 0


def end_processes(folder: Path, but: Collection[str] = ()) -> list[str]:
    """End the processes that the state folder names, those started last first, and return their names.

    How, its pid file says, which names pid, start and boot: no other process is touched.
    """
    processes = {process.name: process for process in recorded_processes(folder) if process.name not in but}
    # What works for the servers ends before them.
    names = [name for name in processes if name not in ORDER]
    names += [name for name in reversed(ORDER) if name in processes]
    for name in names:
        processes[name].stop(deadline_seconds=30)
        print(f"  {name} ended", flush=True)
    return names


def clean(folder: Path) -> int:
    """End it and remove the folder, and PostgreSQL's data where those had to be outside it."""
    if not folder.is_dir():
        print("There is no stack here.")
        return 0
    if not (folder / "stack.json").exists() and any(folder.iterdir()):
        # A mistyped --state must not cost anyone a folder.
        raise StackError(f"{folder} is not a state folder of a stack (it has no stack.json): remove it yourself")
    run(folder)
    with contextlib.suppress(FileNotFoundError):
        elsewhere = Path((folder / "postgres.location").read_text())
        if elsewhere.name.startswith("platform-"):
            shutil.rmtree(elsewhere)
    shutil.rmtree(folder)
    print(f"Removed {folder}.")
    return 0
