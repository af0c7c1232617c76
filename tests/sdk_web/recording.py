"""What the SDK has taken in, as mappings; and a client that speaks ASGI without a server."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from platform_sdk.delivery import kinds
from platform_sdk.delivery.intake import Intake
from platform_sdk.events import EVENTS


@dataclass(frozen=True)
class Recorded:
    """Read an intake's events."""

    intake: Intake

    @property
    def requests(self) -> list[dict[str, Any]]:
        return self._events(kinds.HTTP_REQUEST)

    @property
    def request(self) -> dict[str, Any]:
        """Return the only request."""
        (only,) = self.requests
        return only

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Return the calls to external APIs."""
        return self._events(kinds.API_CALL)

    @property
    def activities(self) -> list[dict[str, Any]]:
        return self._events(kinds.USER_ACTIVITY)

    @property
    def errors(self) -> list[tuple[Any, ...]]:
        """Return (severity, captured, fingerprint, endpoint, user id, ip, user agent, job id, context)."""
        hidden = kinds.positions(kinds.ERROR, "message", "stack_trace", "trace_id", "trace_sampled")
        errors = (enumerate(event) for event in self._all() if event[kinds.KIND] == kinds.ERROR)
        return [tuple(value for at, value in error if at >= kinds.FIRST and at not in hidden) for error in errors]

    @property
    def traces(self) -> list[tuple[str, str | None, bool | None]]:
        """Return kind, trace id and whether it is sampled, of all events that may have a trace."""
        found = []
        for event in self._all():
            names = [column.name for column in EVENTS[event[kinds.KIND]].columns]
            if "trace_id" in names:
                values = dict(zip(names, event[kinds.FIRST :], strict=False))
                found.append((kinds.name_of(event), values["trace_id"], values["trace_sampled"]))
        return found

    @property
    def error_chains(self) -> list[list[str]]:
        """Return the names of the exceptions, each with those it came from."""
        return [[link.name for link in error[1].chain] for error in self.errors]

    def _events(self, kind: int) -> list[dict[str, Any]]:
        names = [column.name for column in EVENTS[kind].columns]
        return [
            dict(zip(names, event[kinds.FIRST :], strict=False)) for event in self._all() if event[kinds.KIND] == kind
        ]

    def _all(self) -> list[tuple[Any, ...]]:
        lanes = (self.intake.plain, self.intake.other, self.intake.urgent)
        return [event for lane in lanes for event in lane.events]


Headers = Iterable[tuple[str, str]]


@dataclass
class Call:
    """A request made of an ASGI application by messages, and what came of it."""

    app: Any
    path: str = "/"
    method: str = "GET"
    headers: Headers = ()
    type: str = "http"
    client: tuple[str, int] | None = ("192.0.2.1", 4711)
    incoming: list[dict[str, Any]] | None = None
    scope: dict[str, Any] = field(default_factory=dict)
    sent: list[dict[str, Any]] = field(default_factory=list)
    error: BaseException | None = None

    def run(self) -> "Call":
        asyncio.run(self())
        return self

    async def __call__(self) -> None:
        self.scope = {
            "type": self.type, "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1",
            "method": self.method, "scheme": "http", "path": self.path, "raw_path": self.path.encode(),
            "query_string": b"", "root_path": "", "client": self.client, "server": ("testserver", 80),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in self.headers],
            **self.scope,
        }  # fmt: skip
        if self.type == "websocket":
            del self.scope["method"]
        waiting = list(self.incoming or [{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> dict[str, Any]:
            if not waiting:
                await asyncio.sleep(3600)
            return waiting.pop(0)

        async def send(message: dict[str, Any]) -> None:
            self.sent.append(message)

        try:
            await self.app(self.scope, receive, send)
        except Exception as error:  # noqa: BLE001 - the server's part
            self.error = error

    @property
    def status(self) -> int:
        return int(next(message["status"] for message in self.sent if "status" in message))

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)
