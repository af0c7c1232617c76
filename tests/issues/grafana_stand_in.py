"""Forward as Grafana's data-source proxy does. It is NOT Grafana: what of it was read in Grafana's source is redone.

Read in grafana/grafana: the routes in public/app/plugins/datasource/alertmanager/plugin.json; that the first route
whose method and beginning fit decides, and what becomes of a request, in pkg/api/pluginproxy/ds_proxy.go; the header
X-Grafana-User in pkg/util/proxyutil; the allow-list of actions in pkg/middleware (ValidateActionUrl); how an action's
request is made, in public/app/features/actions/utils.ts.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests

from grafana.design.targets import ISSUES

ROLES = ("Viewer", "Editor", "Admin")

Routes = list[tuple[str, str, str]]

# Method, beginning of the path, role: the routes for POST in two versions of plugin.json, and those for GET.
OLDER: Routes = [
    ("POST", "alertmanager/api/v2/silences", "Editor"),
    ("GET", "alertmanager/api/v2/alerts", "Viewer"),
    ("POST", "alertmanager/api/v2/alerts", "Editor"),
    ("GET", "alertmanager/api/v2/status", "Viewer"),
    ("GET", "api/v1/alerts", "Admin"),
    ("POST", "", "Editor"),
    ("PUT", "", "Editor"),
    ("DELETE", "", "Editor"),
]
NEWER: Routes = [
    ("POST", "alertmanager/api/v2/alerts", "Editor"),
    ("GET", "api/v2/alerts", "Viewer"),
    ("POST", "api/v2/alerts", "Editor"),
    ("GET", "api/v2/status", "Viewer"),
    ("POST", "", "Admin"),
    ("PUT", "", "Admin"),
    ("DELETE", "", "Admin"),
    ("GET", "", "Admin"),
]
PROXY = "/api/datasources/proxy/uid/platform-issues/"


@dataclass
class StandIn:
    """Hold what is configured: the data source, the settings, and who is signed in."""

    url: str
    headers: dict[str, str]
    allowed: str
    routes: Routes = field(default_factory=lambda: NEWER)
    send_user_header: bool = True
    login: str = "ann"
    role: str = "Editor"
    base: str = ""

    def run(self, action: dict[str, Any], filled: dict[str, str], **typed: str) -> requests.Response:
        """Do what the browser does at a click: fill variables in, encode parameters, name it an action.

        `typed` is what a person types into the action's boxes; one that is left empty stays `$NAME`.
        """
        # The choice of every dashboard, as it is by default.
        known = {f"{ISSUES.variable}:percentencode": ISSUES.uid, **filled}
        boxes = {box["key"] for box in action.get("variables", [])}
        assert set(typed) <= boxes
        filled = {"issues:percentencode": PROXY.strip("/").rpartition("/")[2], **filled}

        def fill(text: str) -> str:
            text = re.sub(r"\$(\w+)", lambda match: typed.get(match[1], match[0]), text)
            return re.sub(r"\$\{([^}]+)\}", lambda match: known[match[1]], text)

        fetch = action[action["type"]]
        query = urlencode([(fill(name), fill(value)) for name, value in fetch["queryParams"]])
        return requests.request(
            fetch["method"],
            f"{self.base}{fill(fetch['url'])}?{query}",
            data=fill(fetch["body"]),
            headers={**dict(fetch["headers"]), "X-Grafana-Action": "1"},
            timeout=60,
        )


@contextmanager
def standing_in(grafana: StandIn) -> Iterator[StandIn]:
    """Serve on a free port inside the `with`."""

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            status, body = forward(grafana, self)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_any  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        grafana.base = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield grafana
        server.shutdown()
        thread.join()


def forward(grafana: StandIn, request: BaseHTTPRequestHandler) -> tuple[int, bytes]:
    """Check as Grafana checks, change the request as Grafana changes it, and return the answer."""
    parts = urlsplit(request.path)
    body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
    if request.headers.get("X-Grafana-Action") and not (
        request.command in ("POST", "PUT") and any(fnmatchcase(parts.path, one) for one in grafana.allowed.split(","))
    ):
        return 405, b"method POST/PUT not allowed for path"
    if not parts.path.startswith(PROXY):
        return 404, b"not found"
    path = parts.path.removeprefix(PROXY)
    for method, beginning, role in grafana.routes:
        if method == request.command and path.lstrip("/").startswith(beginning):
            if ROLES.index(grafana.role) < ROLES.index(role):
                return 403, b"plugin proxy route access denied"
            break
    headers = {
        name: value for name, value in request.headers.items() if name.lower() not in ("cookie", "host", "origin")
    }
    headers = {name: value for name, value in headers.items() if name.lower() != "x-grafana-user"}
    if grafana.send_user_header and grafana.login:
        headers["X-Grafana-User"] = grafana.login
    headers |= grafana.headers
    url = f"{grafana.url}/{path}" + (f"?{parts.query}" if parts.query else "")
    answer = requests.request(request.command, url, data=body, headers=headers, timeout=60)
    return (400 if answer.status_code == 401 else answer.status_code), answer.content
