"""A stand-in for an exporter, and the shipped Prometheus that scrapes it."""

import shutil
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.prometheus.names import ROOT


class Exposition:
    """A server on a loopback port whose /metrics has the lines that a function returns at each scrape."""

    def __init__(self, lines: Callable[[], Iterable[str]]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = "".join(f"{line}\n" for line in lines()).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def shipped_prometheus(folder: Path, exporter: str, *alertmanagers: str) -> Path:
    """Write the shipped configuration of Prometheus with only its targets' addresses exchanged, and return its path."""
    shutil.copytree(ROOT / "prometheus", folder)
    addresses = {"exporter": [exporter], "alertmanager": list(alertmanagers)}
    for file in (folder / "targets").glob("*.yml"):
        file.write_text(f"- targets: {addresses[file.stem]}\n" if file.stem in addresses else "[]\n")
    return folder / "prometheus.yml"
