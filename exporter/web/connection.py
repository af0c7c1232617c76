"""The connection to one client: uvicorn's protocol with a deadline for every wait."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

REQUEST_SECONDS = 10.0
"""How long a client may take to send a whole request, from its first byte (or from the connection)."""

SEND_SECONDS = 30.0
"""How long a client may take to read the rest of an answer."""

MOST_HEADER_BYTES = 64 * 1024

Waiting = dict[object, Callable[[], object]]
"""The connections that wait for their client, the longest wait first, each with a function that closes it."""

Certificate = Mapping[str, Any] | None


class Connection(HttpToolsProtocol):
    """uvicorn's protocol with what it lacks: deadlines, a limit on headers, and the check of a client's names."""

    def __init__(
        self, config: uvicorn.Config, state: ServerState, waiting: Waiting, admits: Callable[[Certificate], bool]
    ) -> None:
        super().__init__(config, state, {}, asyncio.get_running_loop())
        self._waiting = waiting
        self._admits = admits
        self._deadline: asyncio.TimerHandle | None = None
        self._receiving = self._in_headers = True
        self._header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own
        super().connection_made(transport)
        self._wait_for_client(REQUEST_SECONDS, self.transport.abort)
        if not self._admits(transport.get_extra_info("peercert")):
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._header_bytes += len(data)
        if self._in_headers and self._header_bytes > MOST_HEADER_BYTES and not self.transport.is_closing():
            self.send_400_response(f"Headers exceed {MOST_HEADER_BYTES} bytes.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._receiving = self._in_headers = True
        self._header_bytes = 0
        self._wait_for_client(REQUEST_SECONDS, self.transport.abort)

    def on_headers_complete(self) -> None:
        self._in_headers = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._receiving = False
        self._stop_waiting()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._receiving:  # else the answer came before the whole request, whose deadline still counts
            self._wait_for_client(SEND_SECONDS, self._abort_unless_sent)

    def _wait_for_client(self, seconds: float, expire: Callable[[], None]) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(seconds, expire)
        self._waiting[self] = self.transport.abort

    def _stop_waiting(self) -> None:
        self._waiting.pop(self, None)
        if self._deadline:
            self._deadline.cancel()

    def _abort_unless_sent(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()
