"""The connection to one client: uvicorn's protocol on h11, with a deadline for every wait."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import h11
import uvicorn
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from exporter.web.rate_limit import TokenBucket

REQUEST_SECONDS = 10.0
"""How long a client may take to send a whole request, from its first byte (or from the connection)."""

SEND_SECONDS = 30.0
"""How long a client may take to read the rest of an answer."""

MOST_HEADER_BYTES = 64 * 1024
PIECE_BYTES = 16 * 1024
"""How much is parsed at once, so that headers end at their bound however much has arrived."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Waiter:
    """A connection that waits for its client."""

    peer: str
    close: Callable[[], object]
    served: bool = False
    """Whether a request of it was answered, and not refused."""


Waiting = dict[object, Waiter]
"""The connections that wait for their clients, the longest wait first."""


class PeerLog(logging.LoggerAdapter[logging.Logger]):
    """uvicorn's log of one connection, with the client's address; what clients cause is limited, for all of them."""

    limit = TokenBucket(10.0, 10)
    left_out = 0

    @property
    def level(self) -> int:
        """Return the level, which uvicorn reads."""
        return self.logger.level

    def warning(self, msg: object, *args: object, **kwargs: Any) -> None:
        """Log what a client did wrong: ten lines at once, and one every ten seconds."""
        if not PeerLog.limit.take():
            PeerLog.left_out += 1
            return
        left_out, PeerLog.left_out = PeerLog.left_out, 0
        super().warning(f"{msg}{f' ({left_out} such lines were left out)' if left_out else ''}", *args, **kwargs)

    def process(self, msg: str, kwargs: MutableMapping[str, Any]) -> tuple[str, MutableMapping[str, Any]]:
        """Put the client's address first."""
        peer = (self.extra or {}).get("peer") or "a client"
        return f"{peer}: {msg}", kwargs


class Connection(H11Protocol):
    """uvicorn's protocol with what it lacks: deadlines, and a bound on headers before they are parsed."""

    def __init__(self, config: uvicorn.Config, state: ServerState, waiting: Waiting, peer: str) -> None:
        super().__init__(config, state, {}, asyncio.get_running_loop())
        self.logger = PeerLog(logger, {"peer": peer})  # type: ignore[assignment]  # it has what uvicorn calls
        self._peer = peer
        self._waiting = waiting
        self._deadline: asyncio.TimerHandle | None = None
        self._receiving = self._served = False
        self._answer, self.app = self.app, self._answered

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own
        super().connection_made(transport)
        self._receiving = True
        self._wait_for_client(REQUEST_SECONDS, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        for begin in range(0, len(data), PIECE_BYTES):
            if self.transport.is_closing():
                return
            super().data_received(data[begin : begin + PIECE_BYTES])

    def handle_events(self) -> None:
        super().handle_events()
        state, (unparsed, _) = self.conn.their_state, self.conn.trailing_data
        if state is h11.SEND_BODY or (state is h11.IDLE and unparsed):
            if not self._receiving:
                self._receiving = True
                self._wait_for_client(REQUEST_SECONDS, self.transport.abort)
        elif state is not h11.IDLE:
            self._receiving = False
            self._stop_waiting()
        elif self._receiving and self.cycle is not None:  # the answer came before the end of the request
            self._receiving = False
            self._wait_for_client(SEND_SECONDS, self._abort_unless_sent)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, and close; uvicorn's own fails where an answer began, or none may have a body."""
        if self.cycle is not None:  # whatever else the application sends is lost
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        with contextlib.suppress(h11.LocalProtocolError):
            super().send_400_response(msg)
        self.transport.close()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and not self._receiving:
            # Where it receives, the answer came before the whole request, whose deadline still counts.
            self._wait_for_client(SEND_SECONDS, self._abort_unless_sent)

    def shutdown(self) -> None:
        try:
            super().shutdown()
        except h11.LocalProtocolError:  # what came last was not HTTP
            self.transport.close()

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and note whether it was refused. A client that leaves while it sends is not an error."""

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._served = self._served or message["status"] < 400
            await send(message)

        with contextlib.suppress(ClientDisconnect):
            await self._answer(scope, receive, noting)

    def _wait_for_client(self, seconds: float, expire: Callable[[], None]) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(seconds, expire)
        self._waiting[self] = Waiter(self._peer, self.transport.abort, self._served)

    def _stop_waiting(self) -> None:
        self._waiting.pop(self, None)
        if self._deadline:
            self._deadline.cancel()

    def _abort_unless_sent(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()
