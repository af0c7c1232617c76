"""A site to crawl, on loopback."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = b"<html><body>Four things to buy</body></html>"


@contextmanager
def site(robots: bytes = b"") -> Iterator[str]:
    """Serve pages, and `robots` as robots.txt.

    Those under /status/ have that status, /limited-once is limited the first time, /moved leads to one that refuses,
    /hang answers when all is over.
    """
    asked: Counter[str] = Counter()
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("http://"):  # as a proxy, of itself
                self.path = "/" + self.path.split("/", 3)[3]
            asked[self.path] += 1
            status, page = 200, PAGE
            if self.path.startswith("/status/"):
                status = int(self.path[8:11])
            elif self.path == "/robots.txt":
                status, page = (200, robots) if robots else (404, PAGE)
            elif self.path == "/moved":
                status = 302
            elif self.path == "/limited-once" and asked[self.path] == 1:
                status = 429
            elif self.path == "/hang":
                over.wait(240)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/status/403")
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def do_CONNECT(self) -> None:
            self.send_error(407)  # as a proxy that wants another password

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        over.set()
        server.shutdown()
        server.server_close()
