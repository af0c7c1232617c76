"""Unpack Debian packages into the checkout's cache: no root, no installation, no service started.

The machine's own package lists are used while they serve. Where they are missing or too old, and for other suites,
a private set of lists is kept in the cache, for the archive that the machine's own sources name.

Debian compiles the place of Prometheus' and Alertmanager's templates and pages into them: an Alertmanager that finds no
/usr/share/prometheus/alertmanager/default.tmpl refuses to start, and only root could put it there. So that path, in the
programs, is replaced by one of the same length through an open file descriptor, and a script that opens it on the
unpacked folder goes before each program. This needs no privilege, and works from any current folder.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.stack.checkout import lock, say
from tools.stack.errors import StackError

APT_FOLDER = Path("/etc/apt")
OS_RELEASE = Path("/etc/os-release")
SIGNED_BY = {"debian": "/usr/share/keyrings/debian-archive-keyring.gpg"}

COMPILED_IN = b"/usr/share/prometheus"
DESCRIPTOR = 9
# Padded with slashes, which mean nothing: a program's strings can be replaced only by others of the same length.
REPLACEMENT = f"/proc/self/fd/{DESCRIPTOR}".encode().ljust(len(COMPILED_IN), b"/")

SCRIPT = f"""\
#!/bin/sh
# This program was changed to read {COMPILED_IN.decode()} through descriptor {DESCRIPTOR}.
usr=$(dirname "$(dirname "$(readlink -f "$0")")")
exec {DESCRIPTOR}<"$usr/share/prometheus"
exec "$usr/libexec/NAME" "$@"
"""

LIBRARIES_SCRIPT = """\
#!/bin/sh
# This runs a program with the libraries that were unpacked with it.
root=$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")
LD_LIBRARY_PATH=FOLDERS exec "$root/usr/lib/chromium/NAME" "$@"
"""

UPDATE_DEADLINE_SECONDS = 600


def root_of(package: str, suite: str | None, tools: Path) -> Path:
    """Return the folder that holds the package's usr/ once it is unpacked."""
    return tools / (suite or "release") / package


def program(package: str, name: str, suite: str | None, tools: Path, *, whole: bool = False) -> tuple[Path, str]:
    """Return a program of a package, unpacked once, and where it comes from; a whole one with the libraries it lacks.

    Blocks for some seconds: 10 to 20 MB of package, and the suite's lists of about as much where they are needed.

    Raises StackError where this is not a relative of Debian, or its archive cannot be reached or lacks the package.
    """
    root = root_of(package, suite, tools)
    if not root.exists():
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise StackError(f"no apt-get and dpkg-deb here to unpack Debian's package {package} with")
        with lock(tools, f"apt-{suite or 'release'}-{package}"):
            if not root.exists():
                _obtain(package, suite, root, tools, whole=whole)
    return root / "usr/bin" / name, f"Debian package {package} of {suite or 'this release'}"


def _obtain(package: str, suite: str | None, root: Path, tools: Path, *, whole: bool) -> None:
    say(f"unpacking {package} of {suite or 'this release'} into {root}")
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=".new-") as work:
        contents = Path(work) / "contents"
        for deb in _download(package, suite, Path(work), tools, whole=whole):
            _checked(["dpkg-deb", "-x", str(deb), str(contents)], Path(work), f"unpack {deb.name}")
        relocate(contents)
        if whole:
            bring_libraries(contents)
        contents.rename(root)


def _download(package: str, suite: str | None, folder: Path, tools: Path, *, whole: bool) -> list[Path]:
    if (
        suite is None
        and _apt_get(["download", *_packages(package, folder, [], whole=whole)], folder, []).returncode == 0
    ):
        return list(folder.glob("*.deb"))
    # Packages are downloaded side by side, but the private lists are for one at a time.
    with lock(tools, "apt"):
        private = _private_options(suite, tools)
        names = _packages(package, folder, private, whole=whole)
        if _apt_get(["download", *names], folder, private).returncode != 0:
            say(f"fetching the package lists of {suite or 'this release'} into {tools / 'apt'}")
            # Its exit status says little: one unreachable index of many fails it. The download shows it.
            update = _apt_get(["update"], folder, private)
            download = _apt_get(["download", *_packages(package, folder, private, whole=whole)], folder, private)
            if download.returncode != 0:
                said = (download.stderr.strip() or update.stderr.strip())[-400:]
                raise StackError(f"cannot download Debian's package {package} of {suite or 'this release'}: {said}")
    return list(folder.glob("*.deb"))


def _packages(package: str, folder: Path, options: list[str], *, whole: bool) -> list[str]:
    """Return the packages to unpack: of a whole one those, too, that it needs and this machine has not installed."""
    if not whole:
        return [package]
    # 'http://.../libnss3_2%3a3.87_amd64.deb' libnss3_2%3a3.87_amd64.deb 1331080 SHA256:...
    arguments = ["install", "--print-uris", "-qq", "--yes", "--no-install-recommends", package]
    listed = re.findall(r"(?m)^'\S+' ([^_\s]+)_", _apt_get(arguments, folder, [*options, "Debug::NoLocking=1"]).stdout)
    return listed or [package]


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


@dataclass(frozen=True)
class PackageSource:
    """One archive: where, which suites and components of it, and the file of keys it is signed with, if said."""

    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""

    def line(self, suite: str) -> str:
        """Return it as a line of a sources.list, for one suite."""
        options = f"[signed-by={self.signed_by}] " if self.signed_by else ""
        return f"deb {options}{self.uri} {suite} {' '.join(self.components)}"


def source_lines(suite: str | None, folder: Path = APT_FOLDER, os_release: Path = OS_RELEASE) -> list[str]:
    """Return sources.list lines for a suite of the distribution's own archive; None means the installed release.

    Other archives (a maker's repository, say) are left out: one that does not answer would hold up the whole update.

    Raises StackError where the machine's sources name no such archive.
    """
    release = _os_release(os_release)
    codename = release.get("VERSION_CODENAME", "")
    own = [source for source in machine_sources(folder) if _is_of_release(source, codename)]
    if not own:
        raise StackError(f"no source in {folder} serves this machine's release {codename or '(unnamed)'}")
    if suite is None:
        return [source.line(name) for source in own for name in source.suites if "backports" not in name]
    # The security archive has no suites but those of releases.
    main = next((source for source in own if "security" not in source.uri), own[0])
    keys = main.signed_by or SIGNED_BY.get(release.get("ID", ""), "")
    return [PackageSource(main.uri, (suite,), main.components, keys if Path(keys or "-").exists() else "").line(suite)]


def machine_sources(folder: Path = APT_FOLDER) -> list[PackageSource]:
    """Return the machine's sources of binary packages, in both of apt's notations."""
    lists = [folder / "sources.list", *sorted(folder.glob("sources.list.d/*.list"))]
    found = [source for path in lists if path.is_file() for source in _one_line_sources(path.read_text())]
    for path in sorted(folder.glob("sources.list.d/*.sources")):
        found += _stanza_sources(path.read_text())
    return found


def _one_line_sources(text: str) -> Iterator[PackageSource]:
    for line in text.splitlines():
        match = re.match(r"deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)", line.strip())
        if match and not match[2].startswith("cdrom:"):
            keys = re.search(r"signed-by=(\S+)", match[1] or "")
            yield PackageSource(match[2], (match[3],), tuple(match[4].split()), keys[1] if keys else "")


def _stanza_sources(text: str) -> Iterator[PackageSource]:
    without_comments = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", without_comments):
        fields = {key.lower(): value.split() for key, value in re.findall(r"(?m)^([\w-]+):\s*(.*)$", stanza)}
        if "deb" not in fields.get("types", []) or fields.get("enabled", ["yes"])[0].lower() == "no":
            continue
        keys = " ".join(fields.get("signed-by", []))
        for uri in fields.get("uris", []):
            # Keys may be written out in the stanza itself; then apt's trusted folder has to do.
            signed_by = keys if keys.startswith("/") else ""
            yield PackageSource(uri, tuple(fields.get("suites", [])), tuple(fields.get("components", [])), signed_by)


def _is_of_release(source: PackageSource, codename: str) -> bool:
    if "main" not in source.components:
        return False
    bases = {suite.partition("-")[0].partition("/")[0] for suite in source.suites}
    return bool(bases & {codename, "stable", "testing", "unstable", "sid"})


def _os_release(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    return {key: value.strip("\"'") for key, value in re.findall(r"(?m)^(\w+)=(.*)$", path.read_text())}


def bring_libraries(root: Path) -> None:
    """Put a script in place of each program of an unpacked package, which has it find the libraries unpacked beside it.

    Debian's own scripts name the place where they would be installed.
    """
    folders = sorted({path.parent.relative_to(root) for path in root.glob("**/*.so*")})
    searched = ":".join(f"$root/{folder}" for folder in folders)
    for program in sorted((root / "usr/bin").glob("chromium*")):
        script = LIBRARIES_SCRIPT.replace("FOLDERS", f'"{searched}"').replace("NAME", program.name)
        program.write_text(script)


def relocate(root: Path) -> None:
    """Change the programs of an unpacked package, below root/usr/bin, that look for their files in Debian's place."""
    if not (root / COMPILED_IN.decode().removeprefix("/")).is_dir():
        return
    for program in sorted((root / "usr/bin").iterdir()):
        content = program.read_bytes()
        if program.is_symlink() or not content.startswith(b"\x7fELF") or COMPILED_IN not in content:
            continue
        real = root / "usr/libexec" / program.name
        real.parent.mkdir(exist_ok=True)
        real.write_bytes(content.replace(COMPILED_IN, REPLACEMENT))
        real.chmod(0o755)
        program.write_text(SCRIPT.replace("NAME", program.name))
