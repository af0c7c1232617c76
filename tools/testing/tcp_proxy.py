"""A cable between a server and its clients that can be cut."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from tools.stack.process import PATIENCE_SECONDS

Result = TypeVar("Result")


class TcpProxy:
    """A TCP cable to host:port that can be cut and mended, from `address` on this side.

    restore(): bytes flow. blackhole(): connections are accepted and stay open, and nothing flows, as with a firewall
    that drops packets; what was sent meanwhile arrives after restore(). cut(): all are reset, new ones as well.
    close(): the port is refused. All take effect before they return.
    """

    def __init__(self, target_host: str, target_port: int) -> None:
        self.target = (target_host, target_port)
        self.flowing = True
        self.resetting = False
        self.accepted = 0
        self.sides: set[_Side] = set()
        # One thread owns every socket: closing one that another thread reads from would delay the reset for ever.
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._in_loop(self._listen)
        self.host, self.port = self._server.sockets[0].getsockname()[:2]

    @property
    def address(self) -> str:
        """Return HOST:PORT."""
        return f"{self.host}:{self.port}"

    @property
    def connections(self) -> int:
        """Return how many client connections are open."""
        return sum(side.is_client for side in list(self.sides))

    def blackhole(self) -> None:
        """Let nothing through any more; connections stay, and new ones are accepted."""
        self._in_loop(self._set, False, False)

    def cut(self) -> None:
        """Reset all connections, and from now on new ones at once."""
        self._in_loop(self._set, True, True)

    def restore(self) -> None:
        """Let everything through again."""
        self._in_loop(self._set, True, False)

    def close(self) -> None:
        """End it."""
        if self._loop.is_closed():
            return
        self._in_loop(self._shut)
        self.cut()
        self._in_loop(asyncio.sleep, 0)  # one round for the closed sockets to be let go of
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _in_loop(self, work: Callable[..., Coroutine[Any, Any, Result]], *arguments: Any) -> Result:
        return asyncio.run_coroutine_threadsafe(work(*arguments), self._loop).result(PATIENCE_SECONDS)

    async def _listen(self) -> asyncio.Server:
        return await self._loop.create_server(lambda: _Side(self), "127.0.0.1", 0)

    async def _shut(self) -> None:
        # In the loop: a connection that ends meanwhile closes the server as well, and only one of them may.
        self._server.close()

    async def _set(self, flowing: bool, resetting: bool) -> None:
        self.flowing, self.resetting = flowing, resetting
        for side in list(self.sides):
            side.apply()
        await asyncio.sleep(0)  # aborted sockets are closed in the next round


class _Side(asyncio.Protocol):
    """One end of a connection through the proxy: towards the client, or towards the target."""

    def __init__(self, proxy: TcpProxy, peer: "_Side | None" = None) -> None:
        self._proxy = proxy
        self._peer = peer
        self._dialling: asyncio.Task[None] | None = None
        self.is_client = peer is None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._proxy.sides.add(self)
        self._proxy.accepted += self.is_client
        if self._peer:
            self._peer._peer = self
            self._peer.apply()
        # Not at once: before Python 3.11.4, reading starts after this method even if it is paused here.
        asyncio.get_running_loop().call_soon(self.apply)

    def apply(self) -> None:
        """Do what the state of the proxy asks for."""
        if self._proxy.resetting:
            self.reset()
        elif self.transport.is_closing() or (self._peer and self._peer.transport.is_closing()):
            self.transport.close()
        elif self._proxy.flowing and self._peer:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()
            if self._proxy.flowing and self._dialling is None:
                self._dialling = asyncio.get_running_loop().create_task(self._dial())

    async def _dial(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: _Side(self._proxy, self), *self._proxy.target)
        except OSError:
            self.reset()

    def reset(self) -> None:
        """Close with RST instead of FIN, which a linger time of 0 s does."""
        connection = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        assert self._peer is not None
        self._peer.transport.write(data)

    def pause_writing(self) -> None:
        if self._peer:
            self._peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._peer:
            self._peer.apply()

    def connection_lost(self, error: Exception | None) -> None:
        self._proxy.sides.discard(self)
        if self._peer:
            self._peer.transport.close()
