"""End what `up` started. Standard library only: it works where the virtual environment has been removed."""

import contextlib
import shutil
from pathlib import Path

from tools.stack.errors import StackError
from tools.stack.places import lock
from tools.stack.process import recorded_processes
from tools.stack.state import ORDER, State


def run(folder: Path) -> int:
    """End the processes that the state folder names, those started last first; the data stay."""
    if not folder.is_dir():
        print("Nothing runs: there is no stack here. `make up` starts one.")
        return 0
    State.open(folder)  # raises where it is somebody else's
    with lock(folder, "up"):
        # No other process is touched: a pid file tells pid, start and boot.
        processes = {process.name: process for process in recorded_processes(folder.absolute())}
        order = [name for name in reversed(ORDER) if name in processes]
        for name in [*(name for name in processes if name not in ORDER), *order]:
            processes[name].stop(deadline_seconds=30)
            print(f"  {name} ended", flush=True)
    print(f"Down; the data stay in {folder}." if processes else "Nothing ran.")
    return 0


def clean(folder: Path) -> int:
    """End it and remove the folder, and PostgreSQL's data where those had to lie elsewhere."""
    if not folder.is_dir():
        print("There is no stack here.")
        return 0
    if not (folder / "stack.json").exists() and any(folder.iterdir()):
        # Whoever mistypes --state must not lose a folder.
        raise StackError(f"{folder} is no state folder of a stack (it has no stack.json): remove it yourself")
    run(folder)
    with contextlib.suppress(FileNotFoundError):
        elsewhere = Path((folder / "postgres.location").read_text())
        if elsewhere.name.startswith("platform-"):
            shutil.rmtree(elsewhere)
    shutil.rmtree(folder)
    print(f"Removed {folder}.")
    return 0
