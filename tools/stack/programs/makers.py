"""Download a program from its makers into the checkout's cache, where the person at the terminal asked for it.

The makers' list of downloads says where the archive of a version is and what its SHA-256 is; the file's own name has a
number that nobody can guess. It is the list that Grafana's download page shows, and that the makers' own images read:
https://github.com/grafana/docker-otel-lgtm/blob/main/docker/download-grafana.sh
"""

import hashlib
import json
import platform
import re
import shutil
import subprocess
import tempfile
from contextlib import closing
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.request import urlopen

from tools.stack.checkout import lock, say
from tools.stack.errors import StackError
from tools.stack.programs.catalogue import GRAFANA_VERSION, PROGRAMS, SearchPath

DOWNLOADS = "https://grafana.com/api/downloads/grafana"
"""Grafana's list; $PLATFORM_GRAFANA_DOWNLOADS names another, such as a mirror's: it answers with `url` and `sha256`."""

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
STALLED_SECONDS = 60
# Of the archive, its download and its contents beside each other.
TIMES_ITS_SIZE = 5
_MEGABYTE = 1_000_000


def grafana(places: SearchPath) -> tuple[Path, str]:
    """Return Grafana's program, downloaded once, and where it comes from. Blocks for the download of some 200 MB.

    Raises StackError where its makers cannot be reached, the archive is not the one they describe, or does not fit.
    """
    folder = places.tools / PROGRAMS["grafana"].archive
    with lock(places.tools, "grafana"):
        if not folder.exists():
            try:
                _obtain(folder, places.environ.get("PLATFORM_GRAFANA_DOWNLOADS", DOWNLOADS))
            except OSError as error:
                raise StackError(f"cannot unpack Grafana into {folder}: {error}") from error
    return folder / "bin/grafana", "its makers' archive"


def _obtain(folder: Path, downloads: str) -> None:
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise StackError(f"no archive of Grafana for {machine}: expected one of {', '.join(ARCHITECTURES)}")
    described = f"{downloads}/versions/{GRAFANA_VERSION}/packages/{ARCHITECTURES[machine]}/linux"
    url, expected = _described(described)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as work:
        archive, contents = Path(work) / "archive.tar.gz", Path(work) / "contents"
        found = _downloaded(url, archive, folder)
        if found != expected:
            raise StackError(
                f"{url} has the SHA-256 {found}, expected {expected} as {described} says. It was not unpacked. "
                "Try again; if it stays so, someone changed the archive on its way, or its makers have to put it right"
            )
        contents.mkdir()
        _unpack(archive, contents)
        contents.rename(folder)


def _described(address: str) -> tuple[str, str]:
    """Return the archive's address and its SHA-256."""
    with _answer(address) as answer:
        text = answer.read(_MEGABYTE)
    try:
        package = json.loads(text)
        url, checksum = package["url"], package["sha256"]
        valid = re.fullmatch(r"https?://\S+", url) and re.fullmatch(r"[0-9a-f]{64}", checksum)
    except (ValueError, KeyError, TypeError):
        valid = None
    if not valid:
        raise StackError(f"{address} describes no archive: expected JSON with `url` and `sha256`, got {text[:100]!r}")
    return url, checksum


def _downloaded(url: str, archive: Path, folder: Path) -> str:
    """Write the archive and return its SHA-256."""
    with _answer(url) as answer, archive.open("wb") as file:
        size = int(getattr(answer, "length", None) or 0)
        free = shutil.disk_usage(archive.parent).free
        if size * TIMES_ITS_SIZE > free:
            raise StackError(
                f"too little room in {folder.parent} for Grafana: {free // _MEGABYTE} MB are free, expected "
                f"{size * TIMES_ITS_SIZE // _MEGABYTE}. Free some, or set PLATFORM_TOOLS_DIR to another folder"
            )
        say(f"downloading Grafana {GRAFANA_VERSION} ({size // _MEGABYTE} MB) from {url} into {folder}")
        checksum, got = hashlib.sha256(), 0
        try:
            while chunk := answer.read(_MEGABYTE):
                checksum.update(chunk)
                got += file.write(chunk)
        except (HTTPException, TimeoutError, ConnectionError) as error:
            raise StackError(f"the download of {url} broke off after {got} bytes: {error!r}. Try again") from error
    if got < size:
        raise StackError(f"the download of {url} broke off after {got} of {size} bytes. Try again")
    return checksum.hexdigest()


def _answer(address: str) -> "closing[IO[bytes]]":
    try:
        # https, but for a mirror that someone named.
        return closing(urlopen(address, timeout=STALLED_SECONDS))  # noqa: S310
    except (OSError, HTTPException, ValueError) as error:
        # Without <urlopen error ...> and the number of the error.
        cause = error if isinstance(error, HTTPError) else getattr(error, "reason", error)
        said = getattr(cause, "strerror", None) or cause
        if isinstance(error, HTTPError):
            error.close()  # it is the answer, too, with its connection
        raise StackError(
            f"cannot download Grafana from {address}: {said}. Set https_proxy where a proxy is between, "
            "or PLATFORM_GRAFANA to the path of a Grafana that you have"
        ) from error


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack without the archive's one folder; tar refuses names that lead out of it."""
    options = ["--no-same-owner", "--no-same-permissions", "--strip-components=1"]
    argv = ["tar", "--extract", "--gzip", f"--file={archive}", f"--directory={folder}", *options]
    run = subprocess.run(argv, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise StackError(f"cannot unpack {archive.name} of Grafana: {run.stderr.strip()[-300:]}")
    if not (folder / "bin/grafana").is_file():
        raise StackError("the archive of Grafana has no bin/grafana: expected that of a standalone Grafana for Linux")
