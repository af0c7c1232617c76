"""Run an application on a real socket, in a thread of the test's own process."""

import contextlib
import socket
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from starlette.types import ASGIApp

from exporter.errors import ConfigError
from exporter.web.admission import Admission
from exporter.web.server import WebServer, admitted, bind
from exporter.web.web_config import WebConfig
from tests.servers import PATIENCE_SECONDS

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@dataclass
class FakeSite:
    """A Site whose answers a test can set; `release` ends the scrapes that `hold` holds."""

    body: bytes = b"# HELP platform_up Whether.\n" * 200
    reasons: list[str] = field(default_factory=list)
    report: dict[str, object] = field(default_factory=lambda: {"status": "healthy"})
    error: Exception | None = None
    refusal: str | None = None
    reloads: int = 0
    scrapes: list[tuple[str, float | None]] = field(default_factory=list)
    hold: bool = False
    held: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    release: threading.Event = field(default_factory=threading.Event)

    def reset(self) -> None:
        """Forget what a test set."""
        self.__init__()  # type: ignore[misc]  # a dataclass's own

    def render(self, accept: str, scrape_timeout_seconds: float | None, client: str) -> tuple[bytes, str]:
        """Record the scrape and answer, at once or when released."""
        self.scrapes.append((accept, scrape_timeout_seconds))
        if self.hold:
            self.held.release()
            self.release.wait(PATIENCE_SECONDS)
        if self.error:
            raise self.error
        return self.body, OPENMETRICS if "openmetrics" in accept else "text/plain; version=0.0.4; charset=utf-8"

    def not_ready(self) -> list[str]:
        """Return the reasons set."""
        return self.reasons

    def notices(self) -> list[str]:
        """Return the reasons set."""
        return self.reasons

    def health(self) -> dict[str, object]:
        """Return the report set."""
        if self.error:
            raise self.error
        return self.report

    def reload(self) -> None:
        """Count, or refuse."""
        if self.refusal:
            raise ConfigError(self.refusal)
        self.reloads += 1


@dataclass(frozen=True)
class Running:
    """A running server and its address."""

    server: WebServer
    port: int
    scheme: str

    def url(self, path: str = "/") -> str:
        """Return an address on it; certificates in tests are for localhost."""
        return f"{self.scheme}://localhost:{self.port}{path}"

    def connect(self) -> socket.socket:
        """Return a plain TCP connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)


@contextlib.contextmanager
def serving(
    app: ASGIApp, web_config: Path | None = None, allowed_hosts: Collection[str] | None = None, host: str = "127.0.0.1"
) -> Iterator[Running]:
    """Serve `app` on a free port until the block ends; without `allowed_hosts` whatever a request's Host says."""
    web = WebConfig(web_config) if web_config else None
    with bind(host, 0) as listener:
        taken = Admission(app, None) if allowed_hosts is None else admitted(app, listener, host, allowed_hosts)
        server = WebServer(taken, listener, web, lambda: None)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield Running(server, listener.getsockname()[1], "https" if web and web.tls() else "http")
        finally:
            server.should_exit = True
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()


def poll(holds: Callable[[], bool]) -> bool:
    """Ask until it holds, or the deadline passes; return whether it holds."""
    pause = threading.Event()
    for _ in range(int(PATIENCE_SECONDS / 0.02)):
        if holds():
            return True
        pause.wait(0.02)
    return False
