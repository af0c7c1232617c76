"""An HTTP API on loopback that can be slow, break off, refuse, limit and pretend."""

import gzip
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

DRIP_SECONDS = 0.15
LONG_TEXT = b"many words, " * 500


class Api:
    """The server; `go_on` releases the requests it holds back."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.asked: Counter[str] = Counter()
        api = self

        class Handler(_Handler):
            owner = api

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def host(self) -> str:
        """Return HOST:PORT."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def url(self, path: str, user: str = "") -> str:
        """Return the address of a path, with credentials where given."""
        return f"http://{user}{'@' if user else ''}{self.host}{path}"

    def reset(self) -> None:
        """Forget earlier requests, and hold back again."""
        self.go_on.clear()
        self.asked.clear()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: Api
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.owner.asked[path] += 1
        name, _, argument = path.strip("/").partition("/")
        getattr(self, f"_{name}", self._ok)(argument)

    do_POST = do_HEAD = do_GET  # noqa: N815 - http.server's names

    def _ok(self, argument: str) -> None:
        self._answer(200, b'{"hello": 1}')

    def _status(self, argument: str) -> None:
        self._answer(int(argument), b"no", {"Content-Type": "text/plain"})

    def _limited(self, argument: str) -> None:
        self._answer(429, b"slow down", {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "2000000000"})

    def _quota(self, argument: str) -> None:
        self._answer(200, b"fine", {"RateLimit-Remaining": "41", "RateLimit-Reset": "60"})

    def _captcha(self, argument: str) -> None:
        self._answer(200, gzip.compress(b"<html>Please solve this CAPTCHA</html>"), {"Content-Encoding": "gzip"})

    def _redirect(self, argument: str) -> None:
        self._answer(302, b"over there", {"Location": "/articles/7"})

    def _flaky(self, argument: str) -> None:
        """Fail as often as the argument says, then answer."""
        if self.owner.asked[f"/flaky/{argument}"] <= int(argument):
            self._answer(503, b"not yet", {"Retry-After": "0"})
        else:
            self._answer(200, b"at last")

    def _hang(self, argument: str) -> None:
        self.owner.go_on.wait(120)
        self._answer(200, b"too late")

    def _drip(self, argument: str) -> None:
        """Send the head at once and the body a while later."""
        self._answer(200, LONG_TEXT, pause=lambda: time.sleep(DRIP_SECONDS))

    def _held(self, argument: str) -> None:
        """Send the first bytes of the body, the others after `go_on`."""
        self._answer(200, LONG_TEXT, pause=lambda: self.owner.go_on.wait(120))

    def _broken(self, argument: str) -> None:
        self._answer(200, b"only ten b", {"Content-Length": "1000"})
        self.close_connection = True

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, pause: Any = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            try:
                if pause is not None:
                    self.wfile.write(body[:12])
                    self.wfile.flush()
                    pause()
                    body = body[12:]
                self.wfile.write(body)
            except OSError:
                self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""
