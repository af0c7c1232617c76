"""Grafana, which no registry ships: a stand-in shows how it is called."""

import json
import sys
from pathlib import Path

import requests

from tests.servers import PATIENCE_SECONDS, ServerFactory
from tools.stack.programs.search import Binary
from tools.stack.servers import Grafana

# Answers every path with its arguments and environment.
STAND_IN = f"""#!{sys.executable}
import http.server, json, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({{"argv": sys.argv[1:], "environment": dict(os.environ)}}).encode())
address = (os.environ["GF_SERVER_HTTP_ADDR"], int(os.environ["GF_SERVER_HTTP_PORT"]))
http.server.HTTPServer(address, Handler).serve_forever()
"""


def test_it_is_called_as_its_documentation_says(servers: ServerFactory, tmp_path: Path) -> None:
    """Its home is found beside its program, and its own address is the one it is reached at."""
    program = tmp_path / "bin/grafana"
    program.parent.mkdir()
    (tmp_path / "public").mkdir()
    program.write_text(STAND_IN)
    program.chmod(0o755)
    grafana = servers.start(
        Grafana,
        binary=Binary(program, "12.0.0", "a test"),
        provisioning=tmp_path / "provisioning",
        environment={"PROMETHEUS_URL": "http://127.0.0.1:9090"},
    )
    said = json.loads(requests.get(f"{grafana.url}/api/health", timeout=PATIENCE_SECONDS).text)

    assert said["argv"] == ["server", f"--homepath={tmp_path}"]
    assert said["environment"]["GF_PATHS_PROVISIONING"] == str(tmp_path / "provisioning")
    assert said["environment"]["GF_SECURITY_ADMIN_PASSWORD"] == grafana.password
    assert Path(said["environment"]["GF_PATHS_PLUGINS"]).is_dir()
    assert said["environment"]["GF_SERVER_ROOT_URL"] == f"{grafana.url}/"
    assert said["environment"]["PROMETHEUS_URL"] == "http://127.0.0.1:9090"
