"""Grafana is downloaded where someone asks for it, and only what its makers describe is unpacked.

A server on loopback stands in for theirs: the real address was not tried.
"""

import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.compose.shipped import SERVICES
from tools.stack import up
from tools.stack.errors import StackError
from tools.stack.ports import free_port
from tools.stack.programs.catalogue import GRAFANA_VERSION, SearchPath
from tools.stack.programs.makers import ARCHITECTURES
from tools.stack.programs.search import Binary, find
from tools.stack.servers import Grafana
from tools.stack.state import StackState

PROGRAM = f"#!/bin/sh\necho 'grafana version {GRAFANA_VERSION}'\n"
TOP = f"grafana-{GRAFANA_VERSION}"


class Makers:
    """Grafana's makers: a list of downloads, and the archive, which tests may spoil."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.archive = packed({f"{TOP}/bin/grafana": PROGRAM, f"{TOP}/public/index.html": "<html>"})
        self.checksum = hashlib.sha256(self.archive).hexdigest()
        self.length: int | None = None
        self.description: bytes | None = None
        makers = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                makers.requests.append(self.path)
                body, length = makers.answer(self.path)
                self.send_response(200 if body else 404)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, path: str) -> tuple[bytes, int]:
        """Return the body for a path, empty where there is none, and the length that is announced."""
        known = [f"/list/versions/{GRAFANA_VERSION}/packages/{one}/linux" for one in ARCHITECTURES.values()]
        if path == "/files/g.tar.gz":
            return self.archive, self.length or len(self.archive)
        body = b""
        if path in known:
            described = {"url": f"{self.url}/files/g.tar.gz", "sha256": self.checksum}
            body = json.dumps(described).encode() if self.description is None else self.description
        return body, len(body)

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()


def packed(files: dict[str, str], **links: str) -> bytes:
    """Return an archive of these executable files and symbolic links."""
    found = io.BytesIO()
    with tarfile.open(fileobj=found, mode="w:gz") as tar:
        for name, target in links.items():
            member = tarfile.TarInfo(f"{TOP}/{name}")
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text), 0o755
            tar.addfile(member, io.BytesIO(text.encode()))
    return found.getvalue()


@pytest.fixture
def makers() -> Iterator[Makers]:
    """Return their server."""
    server = Makers()
    yield server
    server.close()


def places(folder: Path, url: str) -> SearchPath:
    """Return a machine without Grafana whose list of downloads is at the address."""
    return SearchPath(folder / "tools", {"PLATFORM_GRAFANA_DOWNLOADS": f"{url}/list"}, (), usual_folders=False)


def refused(folder: Path, makers: Makers) -> str:
    """Return what a download that fails says; nothing of it is left."""
    with pytest.raises(StackError) as caught:
        find("grafana", download=True, places=places(folder, makers.url))

    assert [one.name for one in (folder / "tools").iterdir()] == ["grafana.lock"]
    return str(caught.value)


def test_it_is_downloaded_once(tmp_path: Path, makers: Makers, capsys: pytest.CaptureFixture[str]) -> None:
    """The terminal says from where to where; the next start finds it without asking for it."""
    found = find("grafana", download=True, places=places(tmp_path, makers.url))
    said = capsys.readouterr().err
    again = find("grafana", places=places(tmp_path, makers.url))

    assert found == Binary(tmp_path / f"tools/{TOP}/bin/grafana", GRAFANA_VERSION, "its makers' archive")
    assert (
        f"downloading Grafana {GRAFANA_VERSION} (0 MB) from {makers.url}/files/g.tar.gz into {tmp_path}/tools" in said
    )
    assert again.path == found.path
    assert len(makers.requests) == 2
    assert sorted(one.name for one in (tmp_path / "tools").iterdir()) == [TOP, "grafana.lock"]


def test_its_pages_are_beside_it(tmp_path: Path, makers: Makers) -> None:
    """It is started with its own folder as its home."""
    found = find("grafana", download=True, places=places(tmp_path, makers.url))

    assert Grafana(tmp_path / "state", binary=found).home == tmp_path / "tools" / TOP


def test_where_nothing_can_be_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make up` with the option fails at once, and does not advise what was just tried."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLATFORM_TOOLS_DIR", str(tmp_path / "tools"))
    monkeypatch.setenv("PLATFORM_GRAFANA_DOWNLOADS", f"http://127.0.0.1:{free_port()}/list")
    (tmp_path / "state").mkdir()
    start = up.Start(StackState(tmp_path / "state"), up.Options(download_grafana=True))
    with pytest.raises(StackError) as caught:
        start.run()

    assert "obtaining the programs: " in str(caught.value)
    assert "Connection refused" in str(caught.value)
    assert "--download-grafana" not in str(caught.value)
    assert "Errno" not in str(caught.value)


def test_nobody_is_asked_unasked(tmp_path: Path, makers: Makers) -> None:
    """Without the option nothing is requested; the message names the option."""
    with pytest.raises(StackError, match="make up ARGS=--download-grafana"):
        find("grafana", places=places(tmp_path, makers.url))

    assert makers.requests == []


def test_the_machines_own_is_taken(tmp_path: Path, makers: Makers) -> None:
    """Where there is one, nothing is downloaded."""
    own = tmp_path / "bin/grafana"
    own.parent.mkdir()
    own.write_text("#!/bin/sh\necho 'grafana version 12.4.0'\n")
    own.chmod(0o755)
    machine = SearchPath(tmp_path / "tools", {}, (str(own.parent),), usual_folders=False)

    assert find("grafana", download=True, places=machine).path == own
    assert makers.requests == []


def test_a_changed_archive_is_not_unpacked(tmp_path: Path, makers: Makers) -> None:
    """Both checksums are named, and what to do."""
    makers.checksum = "0" * 64
    message = refused(tmp_path, makers)

    assert hashlib.sha256(makers.archive).hexdigest() in message
    assert f"expected {'0' * 64}" in message
    assert "It was not unpacked. Try again" in message


def test_no_network_is_said(tmp_path: Path, makers: Makers) -> None:
    """With the address, the reason and what helps."""
    makers.close()
    message = refused(tmp_path, makers)

    assert f"cannot download Grafana from {makers.url}/list/versions/{GRAFANA_VERSION}/packages/" in message
    assert "Connection refused" in message
    assert "Set https_proxy" in message


def test_a_version_that_is_not_there_is_said(tmp_path: Path, makers: Makers) -> None:
    """As a mirror that lacks it answers."""
    makers.description = b""

    assert "HTTP Error 404" in refused(tmp_path, makers)


@pytest.mark.parametrize(
    "text", ["<html>sign in first</html>", "[]", '{"url": "file:///etc/passwd", "sha256": ""}', "{}"]
)
def test_another_answer_is_no_description(tmp_path: Path, makers: Makers, text: str) -> None:
    """A hotel's sign-in page, or a changed interface, is shown, not followed."""
    makers.description = text.encode()
    message = refused(tmp_path, makers)

    assert "expected JSON with `url` and `sha256`" in message
    assert text[:20] in message


def test_too_small_a_disk_is_said_first(tmp_path: Path, makers: Makers) -> None:
    """Before anything is written."""
    makers.length = 10**15

    assert "MB are free, expected 5000000000" in refused(tmp_path, makers)


def test_a_download_that_breaks_off_is_said(tmp_path: Path, makers: Makers) -> None:
    """It is not taken for a changed archive."""
    makers.length = len(makers.archive) + 1000

    assert "broke off after" in refused(tmp_path, makers)


@pytest.mark.parametrize(
    "archive",
    [
        packed({f"{TOP}/bin/grafana": PROGRAM, f"{TOP}/../../../escaped": "x"}),
        packed({f"{TOP}/bin/grafana": PROGRAM, f"{TOP}/out/escaped": "x"}, out="../../.."),
        packed({f"{TOP}/public/index.html": "x"}),
        b"not an archive",
    ],
    ids=["parent", "link", "no program", "no archive"],
)
def test_an_archive_that_is_none_of_theirs_is_refused(tmp_path: Path, makers: Makers, archive: bytes) -> None:
    """Whatever its checksum says, no file lands outside its folder."""
    makers.archive, makers.checksum = archive, hashlib.sha256(archive).hexdigest()
    refused(tmp_path, makers)

    assert not list(tmp_path.rglob("escaped"))


def test_plain_processes_and_containers_run_one_version() -> None:
    """What is downloaded is what Compose runs."""
    assert SERVICES["grafana"]["image"] == f"grafana/grafana:{GRAFANA_VERSION}"
