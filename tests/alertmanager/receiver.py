"""An HTTP receiver of notifications for tests."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """Keep what is posted, with the monotonic time at which it came."""

    def __init__(self) -> None:
        posts: list[tuple[float, dict[str, Any]]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                posts.append((time.monotonic(), body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.posts = posts
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def notices(self, status: str) -> list[dict[str, Any]]:
        """Return the alerts posted with this status, in order, as Alertmanager writes them."""
        return [alert for _, post in list(self.posts) for alert in post["alerts"] if alert["status"] == status]

    def alerts(self, status: str) -> list[dict[str, str]]:
        """Return the labels of the alerts posted with this status, in order."""
        return [alert["labels"] for alert in self.notices(status)]
