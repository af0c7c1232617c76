"""Answer those who change issues over HTTP: Grafana's server in its users' names, and scripts.

    POST /api/v1/errors/{resolve,reopen,ignore}                    a JSON body
    POST /api/v1/errors/grafana/api/v2/alerts?action=resolve&...   query parameters, as a panel's action sends them

Trust: whoever sends the right `errors.token` is believed about who acts (X-Grafana-User), and that this person may.
Grafana is both: it lets only Editors POST under `api/v2/alerts` of a data source of type alertmanager, replaces any
X-Grafana-User of the browser's by the login it knows, and adds the token, which no browser ever sees. Nothing is read
here: Grafana lets Viewers GET.
"""

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from datetime import UTC, datetime

import psycopg
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from exporter.config.settings import Config
from exporter.database.connection import connect
from exporter.errors import ChangeError, CountError, PlatformError, UnknownIssueError
from exporter.issues import change as changing
from exporter.issues import parsing as asking
from exporter.web.posting import is_json, read_body
from exporter.web.routes import in_thread

logger = logging.getLogger(__name__)

PATH = "/api/v1/errors"
TOKEN_HEADER = "X-Platform-Token"  # noqa: S105 - a header's name
"""A header of its own: Authorization may be needed for the users of the web configuration, in front of everything."""

MOST_BODY_BYTES = 1024 * 1024
MOST_REQUESTS = 4
"""Changes under way at once; the next one gets 503."""


def routes(config: Callable[[], Config]) -> list[Route]:
    """Return the routes; `config` gives the configuration in force, which a reload may change."""
    api = _Api(config)
    return [
        Route(f"{PATH}/grafana/api/v2/alerts", api.by_query, methods=["POST"]),
        Route(f"{PATH}/grafana/api/v2/status", api.status, methods=["GET"]),
        *(Route(f"{PATH}/{action}", api.by_body, methods=["POST"], name=action) for action in changing.ACTIONS),
    ]


class _Api:
    def __init__(self, config: Callable[[], Config]) -> None:
        self._config = config
        self._under_way = asyncio.Semaphore(MOST_REQUESTS)

    async def by_body(self, request: Request) -> Response:
        """Change what a JSON body asks for; the action is the address's last part."""
        action = request.url.path.rsplit("/", 1)[-1]
        if not is_json(request):
            return self._refused(request) or _answer(415, "Content-Type is not application/json")
        return await self._answer(request, action, "api", lambda body: asking.from_body(body))

    async def by_query(self, request: Request) -> Response:
        """Change what the query asks for."""
        given = request.query_params.multi_items()
        actions = [value for name, value in given if name == "action"]
        rest = [(name, value) for name, value in given if name != "action"]
        action = actions[0] if len(actions) == 1 else ""
        return await self._answer(request, action, "grafana", lambda body: asking.from_query(rest, body))

    async def status(self, request: Request) -> Response:
        """Answer `Save & test` of Grafana's data source, which takes us for an Alertmanager."""
        return self._refused(request) or JSONResponse(
            {"cluster": {"status": "disabled", "peers": []}, "config": {"original": ""}, "versionInfo": {}}
        )

    async def _answer(self, request: Request, action: str, via: str, read: Callable[[bytes], asking.Asked]) -> Response:
        refused = self._refused(request)
        if refused:
            return refused
        actor = asking.actor_of(request.headers)
        if actor is None:
            return _answer(
                403, "X-Grafana-User is missing or no name; set `send_user_header = true` in Grafana's [dataproxy]"
            )
        chosen = next((known for known in changing.ACTIONS if known == action), None)
        if chosen is None:
            return _answer(400, f"`action` is {action!r}; wanted one of {', '.join(changing.ACTIONS)}")
        if self._under_way.locked():
            return _answer(503, f"{MOST_REQUESTS} changes are under way, which is the limit; try again")
        async with self._under_way:
            body = await read_body(request, MOST_BODY_BYTES)
            if body is None:
                return _answer(413, f"the body exceeds {MOST_BODY_BYTES} bytes")
            return await in_thread(lambda: self._change(chosen, actor, via, read, body))

    def _change(
        self, action: changing.Action, actor: str, via: str, read: Callable[[bytes], asking.Asked], body: bytes
    ) -> Response:
        """Do it. Blocks."""
        try:
            asked = read(body)
            selection, change = asking.understood(asked, action, datetime.now(UTC))
            with connect(self._config().database, "errors") as connection:
                done = changing.apply(connection, selection, change, actor, via=via, expected=asked.expected)
        except ChangeError as error:
            return _answer(400, str(error))
        except UnknownIssueError as error:
            return _answer(404, str(error))
        except CountError as error:
            return _answer(409, str(error))
        except (PlatformError, psycopg.Error) as error:
            logger.error("error issues could not be changed: %s", error)
            return _answer(503, "the issues could not be changed, none was; the exporter's log says why")
        changed = [{k: v for k, v in dataclasses.asdict(one).items() if k != "changed"} for one in done if one.changed]
        logger.info("%s: %s of %d error issues by %s", via, action, len(changed), actor)
        return JSONResponse(
            {"action": action, "by": actor, "changed": changed, "unchanged": len(done) - len(changed)}, headers=_SAFE
        )

    def _refused(self, request: Request) -> Response | None:
        """Return the answer to who has no token, compared in constant time."""
        token = self._config().errors.token
        if token is None:
            return _answer(
                404, "issues cannot be changed here: set `errors.token_file` in the exporter's configuration"
            )
        return (
            None
            if token.equals(request.headers.get(TOKEN_HEADER, "").encode("latin-1"))  # as Starlette decodes headers
            else _answer(401, f"wanted the token of `errors.token_file` in {TOKEN_HEADER}")
        )


def _answer(status: int, error: str) -> Response:
    return JSONResponse({"error": error}, status, headers=_SAFE)


_SAFE = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
