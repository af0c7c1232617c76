"""A Grafana to import into: the one that PLATFORM_GRAFANA names, or a server that takes what Grafana takes."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

from tests.servers import ServerFactory
from tools.stack.servers import Grafana

DEADLINE_SECONDS = 60
TOKEN = "glsa_of_an_editor"

Dashboards = Callable[[str], dict[str, Any] | None]


class Target:
    """Where dashboards are imported: the address, a token of an editor, and what is there."""

    def __init__(self, url: str, token: str, dashboard: Dashboards, grafana: Grafana | None = None) -> None:
        self.url, self.token, self.dashboard, self.grafana = url, token, dashboard, grafana

    def asked(self, promql: str) -> list[float]:
        """Return what a query gives when Grafana asks its data source; only of a real one."""
        assert self.grafana
        source = {"type": "prometheus", "uid": "theirs"}
        query = {"refId": "A", "datasource": source, "expr": promql, "instant": True, "range": False}
        body = {"queries": [query], "from": "now-5m", "to": "now"}
        frames = _admin(self.grafana, "/api/ds/query", body)["results"]["A"]["frames"]
        return [value for frame in frames for column in frame["data"]["values"][-1:] for value in column]


@contextmanager
def grafana(servers: ServerFactory, prometheus_url: str) -> Iterator[Target]:
    """Yield a Grafana with a data source of another name than ours, or its stand-in."""
    if os.environ.get("PLATFORM_GRAFANA"):
        yield _real(servers, prometheus_url)
    else:
        with _stand_in() as target:
            yield target


def _real(servers: ServerFactory, prometheus_url: str) -> Target:
    server = servers.start(Grafana)
    source = {"name": "Theirs", "uid": "theirs", "type": "prometheus", "url": prometheus_url, "access": "proxy"}
    _admin(server, "/api/datasources", source)
    account = _admin(server, "/api/serviceaccounts", {"name": "platform", "role": "Editor"})
    token = _admin(server, f"/api/serviceaccounts/{account['id']}/tokens", {"name": "platform"})["key"]

    def dashboard(uid: str) -> dict[str, Any] | None:
        answer = requests.get(
            f"{server.url}/api/dashboards/uid/{uid}", auth=("admin", server.password), timeout=DEADLINE_SECONDS
        )
        found: dict[str, Any] | None = answer.json().get("dashboard")
        return found

    return Target(server.url, token, dashboard, server)


def _admin(server: Grafana, path: str, body: dict[str, Any]) -> Any:
    answer = requests.post(server.url + path, json=body, auth=("admin", server.password), timeout=DEADLINE_SECONDS)
    assert answer.ok, answer.text
    return answer.json()


@contextmanager
def _stand_in() -> Iterator[Target]:
    there: dict[str, dict[str, Any]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            allowed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
            if allowed and self.path == "/api/dashboards/import" and body["overwrite"]:
                there[body["dashboard"]["uid"]] = body["dashboard"]
            answer = json.dumps({} if allowed else {"message": "Unauthorized"}).encode()
            self.send_response(200 if allowed else 401)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Target(f"http://127.0.0.1:{server.server_port}", TOKEN, there.get)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
