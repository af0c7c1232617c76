"""Read the machine's own package sources, to ask the same archive for this release or for another suite."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.stack.errors import StackError

APT_FOLDER = Path("/etc/apt")
OS_RELEASE = Path("/etc/os-release")
SIGNED_BY = {"debian": "/usr/share/keyrings/debian-archive-keyring.gpg"}


@dataclass(frozen=True)
class Source:
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
    return [Source(main.uri, (suite,), main.components, keys if Path(keys or "-").exists() else "").line(suite)]


def machine_sources(folder: Path = APT_FOLDER) -> list[Source]:
    """Return the machine's sources of binary packages, in both of apt's notations."""
    lists = [folder / "sources.list", *sorted(folder.glob("sources.list.d/*.list"))]
    found = [source for path in lists if path.is_file() for source in _one_line_sources(path.read_text())]
    for path in sorted(folder.glob("sources.list.d/*.sources")):
        found += _stanza_sources(path.read_text())
    return found


def _one_line_sources(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        match = re.match(r"deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)", line.strip())
        if match and not match[2].startswith("cdrom:"):
            keys = re.search(r"signed-by=(\S+)", match[1] or "")
            yield Source(match[2], (match[3],), tuple(match[4].split()), keys[1] if keys else "")


def _stanza_sources(text: str) -> Iterator[Source]:
    without_comments = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", without_comments):
        fields = {key.lower(): value.split() for key, value in re.findall(r"(?m)^([\w-]+):\s*(.*)$", stanza)}
        if "deb" not in fields.get("types", []) or fields.get("enabled", ["yes"])[0].lower() == "no":
            continue
        keys = " ".join(fields.get("signed-by", []))
        for uri in fields.get("uris", []):
            # Keys may be written out in the stanza itself; then apt's trusted folder has to do.
            signed_by = keys if keys.startswith("/") else ""
            yield Source(uri, tuple(fields.get("suites", [])), tuple(fields.get("components", [])), signed_by)


def _is_of_release(source: Source, codename: str) -> bool:
    if "main" not in source.components:
        return False
    bases = {suite.partition("-")[0].partition("/")[0] for suite in source.suites}
    return bool(bases & {codename, "stable", "testing", "unstable", "sid"})


def _os_release(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    return {key: value.strip("\"'") for key, value in re.findall(r"(?m)^(\w+)=(.*)$", path.read_text())}
