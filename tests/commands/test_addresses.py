"""No command shows what may be secret in an address: its user, its path, its query."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from exporter.__main__ import main

SECRET = "S3CRETpath"


class Echo(BaseHTTPRequestHandler):
    """Refuses everything, and says what was asked for."""

    def _refuse(self) -> None:
        body = f"no {self.path} on {self.headers['Host']}".encode()
        self.send_response(404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _refuse  # noqa: N815 - as http.server calls them

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    """Return HOST:PORT of a server that says in its answers what it was asked for."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


COMMANDS = ("doctor", "alerts list", "alerts list --json", "alerts silence app=shop --for 1h --comment x",
            "alerts silence --expire 1", "reconcile", "health")  # fmt: skip


@pytest.mark.parametrize("where", ["answers", "is down"])
@pytest.mark.parametrize("arguments", COMMANDS)
def test_no_command_shows_what_is_secret_in_an_address(arguments: str, where: str, echo: str, tmp_path: Path) -> None:
    """Neither where the server repeats it, nor where none answers."""
    host = echo if where == "answers" else "127.0.0.1:1"
    config = tmp_path / "c.yml"
    config.write_text(
        f"database: {{dsn: 'postgresql://u:{SECRET}@127.0.0.1:1/d'}}\nlisten: 127.0.0.1:1\n"
        f"alertmanager: {{urls: ['http://{host}/{SECRET}']}}\nstack:\n  prometheus_url: http://u:{SECRET}@{host}\n"
        f"  grafana_url: http://{host}/{SECRET}/x\n  alertmanager_url: http://{host}/{SECRET}\n"
    )
    result = CliRunner().invoke(main, [*arguments.split(), "--config", str(config)])

    assert isinstance(result.exception, SystemExit)
    assert SECRET not in result.output
    assert host in result.output or arguments in ("reconcile", "health", "alerts silence --expire 1")
