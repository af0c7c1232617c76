"""Unpack Debian packages into the checkout's cache: no root, no installation, no service started.

The machine's own package lists are used while they serve. Where they are missing or too old, and for other suites,
a private set of lists is kept in the cache, for the archive that the machine's own sources name.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.stack.apt_sources import source_lines
from tools.stack.errors import StackError
from tools.stack.places import lock, say
from tools.stack.relocate import relocate

UPDATE_DEADLINE_SECONDS = 600


def root_of(package: str, suite: str | None, tools: Path) -> Path:
    """Return the folder that holds the package's usr/ once it is unpacked."""
    return tools / (suite or "release") / package


def program(package: str, name: str, suite: str | None, tools: Path) -> tuple[Path, str]:
    """Return a program of a package, unpacked once, and a word on its origin.

    Blocks for some seconds: 10 to 20 MB of package, and the suite's lists of about as much where they are wanted.

    Raises StackError where this is no Debian relative, or its archive cannot be reached or lacks the package.
    """
    root = root_of(package, suite, tools)
    if not root.exists():
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise StackError(f"no apt-get and dpkg-deb here to unpack Debian's package {package} with")
        with lock(tools, "apt"):
            if not root.exists():
                _obtain(package, suite, root, tools)
    return root / "usr/bin" / name, f"Debian package {package} of {suite or 'this release'}"


def _obtain(package: str, suite: str | None, root: Path, tools: Path) -> None:
    say(f"unpacking {package} of {suite or 'this release'} into {root}")
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=".new-") as work:
        deb = _download(package, suite, Path(work), tools)
        contents = Path(work) / "contents"
        _checked(["dpkg-deb", "-x", str(deb), str(contents)], Path(work), f"unpack {deb.name}")
        relocate(contents)
        contents.rename(root)


def _download(package: str, suite: str | None, folder: Path, tools: Path) -> Path:
    if suite is None and _apt_get(["download", package], folder, []).returncode == 0:
        return next(folder.glob("*.deb"))
    private = _private_options(suite, tools)
    if _apt_get(["download", package], folder, private).returncode != 0:
        say(f"fetching the package lists of {suite or 'this release'} into {tools / 'apt'}")
        # Its exit status says little: one unreachable index of many fails it. The download tells.
        update = _apt_get(["update"], folder, private)
        download = _apt_get(["download", package], folder, private)
        if download.returncode != 0:
            said = (download.stderr.strip() or update.stderr.strip())[-400:]
            raise StackError(f"cannot download Debian's package {package} of {suite or 'this release'}: {said}")
    return next(folder.glob("*.deb"))


def _private_options(suite: str | None, tools: Path) -> list[str]:
    base = tools.resolve() / "apt" / (suite or "release")
    for folder in ("lists/partial", "cache/archives/partial"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    (base / "sources.list").write_text("\n".join(source_lines(suite)) + "\n")
    return [
        f"Dir::State::Lists={base / 'lists'}",
        f"Dir::Cache={base / 'cache'}",
        f"Dir::Etc::SourceList={base / 'sources.list'}",
        "Dir::Etc::SourceParts=-",
        # Translations, icons and the like: four times the size of what is needed.
        "Acquire::Languages=none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
        "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false",
    ]


def _apt_get(arguments: Sequence[str], folder: Path, options: list[str]) -> "subprocess.CompletedProcess[str]":
    # As root apt would fetch as its own account, which cannot write below a home folder.
    settings = [part for option in [*options, "APT::Sandbox::User=root"] for part in ("-o", option)]
    argv = ["apt-get", "-q", *settings, *arguments]
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        return subprocess.run(
            argv,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=UPDATE_DEADLINE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise StackError(f"apt-get {arguments[0]} took longer than {UPDATE_DEADLINE_SECONDS} s") from error


def _checked(argv: Sequence[str], folder: Path, what: str) -> None:
    run = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise StackError(f"cannot {what}: {run.stderr.strip()[-300:]}")
