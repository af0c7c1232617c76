"""Ask the exporter over HTTP: how components are, and to resolve an error issue. Blocks; raises what goes wrong.

Its address is the option `exporter_url`, such as http://127.0.0.1:9847, with user and password where it wants them;
resolving takes the option `errors_token`, which is the exporter's own `errors.token`.
"""

import base64
import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from platform_sdk import client
from platform_sdk.errors import OptionError

TIMEOUT_SECONDS = 10.0
"""Longer than the exporter's probes take where a component hangs."""

_MOST_BYTES = 2**20


def health() -> list[dict[str, Any]] | None:
    """Return the components of the exporter's health report, None without the option."""
    options = client.active_options()
    if options is None or options.exporter_url is None:
        return None
    report = _ask(options.exporter_url, "GET", "/api/v1/health")
    return list(report["components"])


def resolve_issue(issue: str, actor: str) -> None:
    """Resolve an issue in the name of `actor`."""
    options = client.active_options()
    if options is None or options.exporter_url is None or options.errors_token is None:
        raise OptionError("missing option 'exporter_url' or 'errors_token': expected both, to resolve issues")
    headers = {"X-Platform-Token": options.errors_token, "X-Grafana-User": actor, "Content-Type": "application/json"}
    _ask(options.exporter_url, "POST", "/api/v1/errors/resolve", headers, json.dumps({"ids": [issue]}))


def _ask(url: str, method: str, path: str, headers: Mapping[str, str] | None = None, body: str | None = None) -> Any:
    """Return the JSON of an answer. Raises OSError, HTTPException, OptionError and ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise OptionError("invalid value for exporter_url (not shown): expected e.g. http://127.0.0.1:9847")
    sent = dict(headers or {})
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        sent["Authorization"] = f"Basic {base64.b64encode(credentials.encode()).decode()}"
    secure = parts.scheme == "https"
    connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = connect(parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(method, parts.path.rstrip("/") + path, body, sent)
        answer = connection.getresponse()
        text = answer.read(_MOST_BYTES)
    finally:
        connection.close()
    if answer.status != 200:
        raise OSError(
            f"the exporter answered {answer.status} to {method} {path}: {text[:200].decode(errors='replace')}"
        )
    return json.loads(text)
