"""The routes that change issues: for Grafana's server on behalf of its users, and for scripts.

    POST /api/v1/errors/ACTION                                     a JSON body
    POST /api/v1/errors/grafana/api/v2/alerts?action=resolve&...   query parameters, as a panel's action sends them

Trust: a client with the right `errors.token` is trusted to name the user who acts (X-Grafana-User) and to check that
this user may. Grafana does both: it lets only Editors POST under `api/v2/alerts` of a data source of type alertmanager,
replaces a browser's X-Grafana-User by the login it knows, and adds the token, which no browser ever sees. Nothing can
be read here, because Grafana lets Viewers GET.
"""

import asyncio
import contextlib
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
from exporter.issues import parsing, stores
from exporter.issues.selection import Selection
from exporter.web.responses import SAFE_HEADERS, in_thread, is_json, read_body

logger = logging.getLogger(__name__)

PATH = "/api/v1/errors"
TOKEN_HEADER = "X-Platform-Token"  # noqa: S105 - a header's name
"""A header of its own: Authorization may be needed for the users of the web configuration, in front of everything."""

MOST_BODY_BYTES = 1024 * 1024
MOST_REQUESTS = 4
"""Concurrent changes; the next one gets 503."""


def routes(config: Callable[[], Config]) -> list[Route]:
    """Return the routes; `config` returns the configuration in force, which a reload may change."""
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
        """Change issues as a JSON body says; the action is the last part of the path."""
        action = request.url.path.rsplit("/", 1)[-1]
        if not is_json(request):
            return self._refused(request) or _answer(415, "Content-Type is not application/json")
        return await self._answer(request, action, "api", parsing.from_body)

    async def by_query(self, request: Request) -> Response:
        """Change issues as the query says."""
        given = request.query_params.multi_items()
        actions = [value for name, value in given if name == "action"]
        rest = [(name, value) for name, value in given if name != "action"]
        action = actions[0] if len(actions) == 1 else ""
        return await self._answer(request, action, "grafana", lambda body: parsing.from_query(rest, body))

    async def status(self, request: Request) -> Response:
        """Answer `Save & test` of Grafana's data source as an Alertmanager would."""
        return self._refused(request) or JSONResponse(
            {"cluster": {"status": "disabled", "peers": []}, "config": {"original": ""}, "versionInfo": {}}
        )

    async def _answer(
        self, request: Request, action: str, via: str, read: Callable[[bytes], parsing.ChangeRequest]
    ) -> Response:
        refused = self._refused(request)
        if refused:
            return refused
        actor = parsing.actor_of(request.headers.getlist(parsing.USER_HEADER))
        if actor is None:
            return _answer(
                403, "X-Grafana-User is missing or invalid; set `send_user_header = true` in Grafana's [dataproxy]"
            )
        chosen = next((known for known in changing.ACTIONS if known == action), None)
        if chosen is None:
            return _answer(400, f"invalid action {action!r}: expected one of {', '.join(changing.ACTIONS)}")
        if self._under_way.locked():
            return _answer(503, f"{MOST_REQUESTS} changes are running, which is the limit; try again")
        async with self._under_way:
            body = await read_body(request, MOST_BODY_BYTES)
            if body is None:
                return _answer(413, f"the body exceeds {MOST_BODY_BYTES} bytes")
            return await in_thread(lambda: self._change(chosen, actor, via, read, body))

    def _change(
        self, action: changing.Action, actor: str, via: str, read: Callable[[bytes], parsing.ChangeRequest], body: bytes
    ) -> Response:
        """Change the issues. Blocks."""
        try:
            asked = read(body)
            selection, change = parsing.interpret(asked, action, actor, datetime.now(UTC))
            done = self._apply(selection, change, actor, via, asked.expected)
        except ChangeError as error:
            return _answer(400, str(error))
        except UnknownIssueError as error:
            return _answer(404, str(error))
        except CountError as error:
            return _answer(409, str(error))
        except psycopg.DataError as error:
            return _answer(400, f"the database does not take a value of the request: {error.diag.message_primary}")
        except (PlatformError, psycopg.Error) as error:
            logger.error("error issues could not be changed: %s", error)
            return _answer(503, "no issue was changed; see the exporter's log")
        changed = [{k: v for k, v in dataclasses.asdict(one).items() if k != "changed"} for one in done if one.changed]
        logger.info("%s: %s of %d error issues by %s", via, action, len(changed), actor)
        return JSONResponse(
            {"action": action, "by": actor, "changed": changed, "unchanged": len(done) - len(changed)},
            headers=SAFE_HEADERS,
        )

    def _apply(
        self, selection: Selection, change: changing.Change, actor: str, via: str, expected: int | None
    ) -> list[changing.Changed]:
        """Change issues by their ids in each event store that has them; what a filter selects, in the first.

        Where filters are made, in Grafana, issues of the first are listed. Raises as `changing.apply`.
        """
        chosen = self._config().stores if selection.ids else self._config().stores[:1]
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(connect(store, "errors")) for store in chosen]
            return stores.apply(connections, selection, change, actor, via=via, expected=expected)

    def _refused(self, request: Request) -> Response | None:
        """Return the answer to a request without the token, which is compared in constant time."""
        token = self._config().errors.token
        if token is None:
            return _answer(404, "changing issues is off: set `errors.token_file` in the exporter's configuration")
        if not token.equals(request.headers.get(TOKEN_HEADER, "").encode("latin-1")):  # as Starlette decodes headers
            return _answer(401, f"expected the token of `errors.token_file` in {TOKEN_HEADER}")
        return None


def _answer(status: int, error: str) -> Response:
    return JSONResponse({"error": error}, status, headers=SAFE_HEADERS)
