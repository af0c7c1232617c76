"""The command `python -m tools.screenshots` where something is missing."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tools.screenshots.__main__ import main
from tools.stack.checkout import CHECKOUT
from tools.stack.ports import free_port

PASSWORD = "right"
Run = Callable[..., tuple[int, str]]


class Grafana(BaseHTTPRequestHandler):
    """A stand-in that knows one password, and one token."""

    def do_GET(self) -> None:
        known = "session=known" in self.headers.get("Cookie", "") or self.headers.get("Authorization") == "Bearer good"
        self._answer(200 if self.path == "/api/health" or known else 401, {"database": "ok"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(200, {}, "session=known" if body["password"] == PASSWORD else "")

    def _answer(self, status: int, content: object, cookie: str = "") -> None:
        self.send_response(status)
        self.send_header("Set-Cookie", cookie)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def grafana() -> Iterator[str]:
    """Return the address of a stand-in of Grafana."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Grafana) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs the command without a stack and a browser, for its exit status and what it says."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def run(*arguments: str) -> tuple[int, str]:
        status = main(["--state", str(tmp_path), *arguments])
        said = capsys.readouterr()
        assert said.out == ""
        return status, said.err

    return run


def test_without_a_grafana(run: Run) -> None:
    """It says where it looked and how to get one."""
    url = f"http://127.0.0.1:{free_port()}"
    status, said = run("--url", url)

    assert status == 1
    assert said.startswith(f"screenshots: no Grafana answers at {url}: start one with `make up`")


def test_without_a_browser(tmp_path: Path, grafana: str, run: Run) -> None:
    """It says which ones it looked for and how to install one."""
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    status, said = run("--check", "--url", grafana, "--password-file", str(tmp_path / "password"))

    assert status == 1
    assert "no browser found, looked in PATH for chromium, chromium-browser, google-chrome" in said
    assert "apt-get install chromium" in said


def test_a_browser_that_is_none(tmp_path: Path, grafana: str, run: Run) -> None:
    """A token signs in, too."""
    (tmp_path / "token").write_text("good")
    status, said = run("--url", grafana, "--token-file", str(tmp_path / "token"), "--browser", "/etc/passwd")

    assert status == 1
    assert said == "screenshots: browser /etc/passwd is not a program: expected the path of Chromium or Chrome\n"


@pytest.mark.parametrize(("option", "what"), [("--password-file", "admin"), ("--token-file", "the token")])
def test_a_refused_secret_is_not_shown(tmp_path: Path, grafana: str, run: Run, option: str, what: str) -> None:
    """It says who was refused."""
    (tmp_path / "secret").write_text("hunter2")
    status, said = run("--url", grafana, option, str(tmp_path / "secret"))

    assert status == 1
    assert f"refused {what} (status 401)" in said
    assert "hunter2" not in said


def test_the_password_of_the_stack_is_not_sent_elsewhere(tmp_path: Path, grafana: str, run: Run) -> None:
    """It would be right there, and is refused all the same."""
    (tmp_path / "grafana.password").write_text(PASSWORD)
    status, said = run("--url", grafana)

    assert status == 1
    assert "refused admin" in said


def test_an_unknown_dashboard_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """It names those there are."""
    with pytest.raises(SystemExit) as ended:
        main(["--check", "--boards", "overview", "https"])

    assert ended.value.code == 2
    assert "invalid choice: 'https' (choose from" in capsys.readouterr().err


def test_a_missing_module_is_named(tmp_path: Path) -> None:
    """Where the virtual environment is another, one line says what to use."""
    (tmp_path / "grafana_foundation_sdk.py").write_text("raise ModuleNotFoundError(name=__name__)")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "tools.screenshots", "--check"], capture_output=True, text=True, cwd=CHECKOUT,
        env=environment, check=False,
    )  # fmt: skip

    assert done.returncode == 1
    assert done.stderr.startswith(
        "screenshots: the Python module grafana_foundation_sdk is missing: use .venv/bin/python"
    )
