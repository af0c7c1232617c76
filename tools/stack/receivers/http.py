"""Stand-ins for the services that Alertmanager notifies by HTTP."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tools.stack.receivers.base import ReceivedMessage, Receiver
from tools.stack.receivers.schemas import problems

# What each service answers where all is well. PagerDuty's and Slack's words are those of their documentation.
ANSWERS: dict[str, tuple[int, str]] = {
    "slack": (200, "ok"),
    "pagerduty": (202, '{"status": "success", "message": "Event processed"}'),
    "discord": (204, ""),
    "teams": (202, ""),
    "webhook": (200, ""),
    "opsgenie": (202, '{"result": "Request will be processed", "took": 0.1, "requestId": "0"}'),
    "telegram": (200, '{"ok": true, "result": {"message_id": 1, "date": 0, "chat": {"id": 1, "type": "group"}}}'),
    "mattermost": (200, "ok"),
    "rocketchat": (200, '{"success": true}'),
    "webex": (200, "{}"),
    "victorops": (200, '{"result": "success", "entity_id": "0"}'),
}
REFUSED = 400


class HttpReceiver(Receiver):
    """One service of ANSWERS on a loopback port.

    As the real one, it refuses what is not of its shape, with the reasons. `failing` makes it answer 503, so that
    Alertmanager tries again; what comes meanwhile counts among `attempts` only.
    """

    def __init__(self, service: str, name: str | None = None) -> None:
        super().__init__()
        self.service, self.name = service, name or service
        self.failing = False
        self.attempts = 0
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    def take(self, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
        """Keep a message and return the status and text of the answer."""
        self.attempts += 1
        if self.failing:
            return 503, "unavailable"
        try:
            content: Any = json.loads(body)
        except ValueError as error:
            content, found = body.decode(errors="replace"), [f"$: no JSON: {error}"]
        else:
            found = list(problems(self.service, content, len(body)))
        arrival = ReceivedMessage(self.name, content, tuple(found), headers, len(body))
        self._arrivals.append(arrival)
        return (REFUSED, "; ".join(arrival.problems)) if arrival.problems else ANSWERS[self.service]

    def alerts(self, status: str) -> list[dict[str, Any]]:
        """Return the alerts with this status, in order, as Alertmanager's own webhook writes them."""
        return [alert for one in self.arrivals for alert in one.content["alerts"] if alert["status"] == status]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, receiver: HttpReceiver) -> None:
        self.receiver = receiver
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, text = self.server.receiver.take(body, dict(self.headers))
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name of the standard library
        pass
