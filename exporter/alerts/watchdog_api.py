"""The route that Alertmanager posts PlatformWatchdog to: POST /api/v1/alerts/watchdog."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exporter.alerts.history_api import refusal
from exporter.alerts.notification import MOST_BODY_BYTES, DisplayedAlert, parse
from exporter.alerts.watchdog import ALERTNAME, WatchdogSwitch
from exporter.errors import NotificationError
from exporter.sections import Secret
from exporter.web.responses import in_thread, read_body, text

PATH = "/api/v1/alerts/watchdog"


def route(current: Callable[[], tuple[Secret | None, WatchdogSwitch | None]]) -> Route:
    """Return the route; `current` returns the token and the switch in force, which a reload may change."""

    async def receive(request: Request) -> Response:
        token, switch = current()
        refused = refusal(request, token, "watchdog", "the dead man's switch")
        if refused or switch is None:
            return refused or text("the dead man's switch has just been switched off", 404)
        body = await read_body(request, MOST_BODY_BYTES)
        if body is None:
            return text(f"the body exceeds {MOST_BODY_BYTES} bytes", 413)
        try:
            notification = parse(body, DisplayedAlert)
        except NotificationError as error:
            return text(str(error), 400)
        found = await in_thread(lambda: switch.receive(notification))
        return text("seen" if found else f"ignored: no alert in it fires whose name ends in {ALERTNAME}")

    return Route(PATH, receive, methods=["POST"])
