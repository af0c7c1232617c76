"""The HTTP server: one port, one process, many clients of whom any may stall.

uvicorn answers HTTP, parsed by h11, but has no deadline for a client that sends nothing, half a TLS handshake or half a
request, and no limit on connections. This module adds them:

    accept -> TLS handshake -> request -> answer -> idle -> next request
              HANDSHAKE_...    REQUEST_...  the app's  SEND_... or IDLE_...

Every wait for a client has its deadline. Where MOST_CONNECTIONS are open, a new one closes one that waits for its
client: those that never got an answer before those that did, whoever has most, the one that has waited longest. Clients
that stall can never keep a scrape out, nor end the connection that a scraper keeps.
"""

import asyncio
import contextlib
import errno
import functools
import ipaddress
import logging
import signal
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING

import uvicorn
from starlette.types import ASGIApp

from exporter.errors import PlatformError
from exporter.web.admission import Admission
from exporter.web.connection import MOST_HEADER_BYTES, Connection, PeerLog, Waiter, Waiting

# Most exporters serve without TLS and users, whose library takes a tenth of their start.
if TYPE_CHECKING:
    from exporter.web.handshake import Handshake
    from exporter.web.web_config import WebConfig

logger = logging.getLogger(__name__)

HANDSHAKE_SECONDS = 5.0
IDLE_SECONDS = 75
"""How long a connection stays open between requests: more than a minute, so that Prometheus reuses its own."""

SHUTDOWN_SECONDS = 4
MOST_CONNECTIONS = 128
BACKLOG = 256


LISTEN_SETTING = "`listen` in the configuration, or --listen"


def serve(
    app: ASGIApp,
    host: str,
    port: int,
    web: "WebConfig | None",
    on_sighup: Callable[[], None],
    setting: str = LISTEN_SETTING,
    allowed_hosts: Collection[str] = (),
) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests under way and return. Blocks; needs the main thread.

    `on_sighup` is called in a thread at every SIGHUP. On a loopback address, and anywhere with `allowed_hosts`,
    requests for other hosts than this machine and those are refused. Raises PlatformError, naming `setting`, where
    the address cannot be bound.
    """
    with bind(host, port, setting) as listener:
        WebServer(admitted(app, listener, host, allowed_hosts), listener, web, on_sighup).run()


def admitted(app: ASGIApp, listener: socket.socket, host: str, allowed_hosts: Collection[str]) -> Admission:
    """Return `app` for the requests that `serve` takes at this address."""
    is_local = ipaddress.ip_address(listener.getsockname()[0]).is_loopback
    return Admission(app, (host, *allowed_hosts) if is_local or allowed_hosts else None, any_address=not is_local)


def bind(host: str, port: int, setting: str = LISTEN_SETTING) -> socket.socket:
    """Return a listening socket; an empty host means all addresses, IPv6 and IPv4.

    `setting` names what to change in errors. Raises PlatformError.
    """
    try:
        if not host and socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True)
        found = socket.getaddrinfo(host or "0.0.0.0", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)  # noqa: S104 - asked for by the empty host
        # A name such as localhost may have both; like Go's net.Listen, take IPv4 where there is one.
        family, _, _, _, address = min(found, key=lambda item: item[0] != socket.AF_INET)
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise PlatformError(_explain(error, host, port, setting)) from error


def _explain(error: OSError, host: str, port: int, setting: str) -> str:
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return (
            f"cannot listen on {shown}: another process holds port {port}; stop it, or choose a free port in {setting}"
        )
    if error.errno == errno.EACCES:
        return f"cannot listen on {shown}: ports below 1024 need root; choose a port from 1024 to 65535 in {setting}"
    if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
        return f"cannot listen on {shown}: {host!r} is not an address of this machine; in {setting}, name one that is"
    return f"cannot listen on {shown}: {error.strerror or error}; choose a free HOST:PORT in {setting}"


class WebServer(uvicorn.Server):
    """uvicorn's server with the connections above; it ends within SHUTDOWN_SECONDS of a signal.

    Outside the main thread it handles no signals; set `should_exit` to stop it.
    """

    def __init__(
        self, app: ASGIApp, listener: socket.socket, web: "WebConfig | None", on_sighup: Callable[[], None]
    ) -> None:
        super().__init__(
            uvicorn.Config(
                web.guard(app) if web else app,
                loop="asyncio",
                http=Connection,
                h11_max_incomplete_event_size=MOST_HEADER_BYTES,
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=IDLE_SECONDS,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
                backlog=BACKLOG,
            )
        )
        self._listener = listener
        self._web = web
        self._on_sighup = on_sighup
        self._hanging_up = threading.Lock()
        self.waiting: Waiting = {}

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections, with deadlines, which uvicorn's own way does not have."""
        acceptor = _Acceptor(self, self._listener, self._web)
        self.servers = [acceptor]  # type: ignore[list-item]  # uvicorn calls close() and wait_closed() on it, no more
        self.started = True
        scheme = "https" if self._web and self._web.tls() else "http"
        host, port = self._listener.getsockname()[:2]
        logger.info("listening on %s://%s:%s", scheme, f"[{host}]" if ":" in host else host, port)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals, and return in the end: uvicorn would raise them again, and exit with 143."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def _stop(self, number: signal.Signals) -> None:
        logger.info("%s: finishing the requests under way", number.name)
        self.should_exit = True

    def _hang_up(self) -> None:
        threading.Thread(target=self._call_on_sighup, name="sighup", daemon=True).start()

    def _call_on_sighup(self) -> None:
        with self._hanging_up:
            try:
                self._on_sighup()
            except Exception:
                logger.exception("SIGHUP: reloading the configuration failed; the old one stays in force")


class _Acceptor:
    """Accept connections until closed, and keep at most MOST_CONNECTIONS of them."""

    def __init__(self, server: WebServer, listener: socket.socket, web: "WebConfig | None") -> None:
        self._server = server
        self._listener = listener
        self._web = web
        self._loop = asyncio.get_running_loop()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._fresh: set[socket.socket] = set()
        self._accepting = self._loop.create_task(self._accept())
        self._accepting.add_done_callback(self._ended)

    def close(self) -> None:
        for task in (self._accepting, *self._handshakes):
            task.cancel()

    async def wait_closed(self) -> None:
        await asyncio.gather(self._accepting, *self._handshakes, return_exceptions=True)

    def _ended(self, accepting: asyncio.Task[None]) -> None:
        self._server.should_exit = True
        if not accepting.cancelled() and accepting.exception():
            logger.critical("cannot accept connections any more", exc_info=accepting.exception())

    async def _accept(self) -> None:
        self._listener.setblocking(False)
        while True:
            try:
                client, address = await self._loop.sock_accept(self._listener)
            except ConnectionError:
                continue  # the client went away between its SYN and our accept
            except OSError as error:
                if error.errno in (errno.EBADF, errno.EINVAL, errno.ENOTSOCK):
                    raise
                logger.error("cannot accept a connection: %s; trying again in a second", error.strerror)
                await asyncio.sleep(1)
                continue
            self._make_room()
            self._fresh.add(client)
            task = self._loop.create_task(self._shake_hands(client, address[0]))
            self._handshakes.add(task)
            task.add_done_callback(functools.partial(self._shaken, client))
            self._server.waiting[task] = Waiter(address[0], task.cancel)
            await asyncio.sleep(0)  # a queue of clients would otherwise be accepted without any other work done

    def _make_room(self) -> None:
        waiting = self._server.waiting
        if len(self._handshakes) + len(self._server.server_state.connections) >= MOST_CONNECTIONS and waiting:
            held = Counter(waiter.peer for waiter in waiting.values())
            # Of equals min() takes the first, which has waited longest.
            first = min(waiting, key=lambda one: (waiting[one].served, -held[waiting[one].peer]))
            waiting.pop(first).close()

    async def _shake_hands(self, client: socket.socket, peer: str) -> None:
        self._fresh.discard(client)
        try:
            # asyncio does this only where a socket's `proto` is set, which an accepted one's is not. Without it head
            # and body of an answer, which are two writes, are 40 ms apart on a connection that is kept.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tls = self._tls(client)
            deadlines = {"ssl_handshake_timeout": HANDSHAKE_SECONDS, "ssl_shutdown_timeout": HANDSHAKE_SECONDS}
            await self._loop.connect_accepted_socket(
                lambda: Connection(self._server.config, self._server.server_state, self._server.waiting, peer),
                client,
                ssl=tls,  # type: ignore[arg-type]  # it is used as a context, and is one
                **(deadlines if tls else {}),
            )
        except ssl.SSLError as error:
            client.close()
            PeerLog(logger, {"peer": peer}).warning("the TLS handshake failed: %s", error)
        except OSError as error:
            client.close()
            logger.debug("%s: the client gave up before its request: %s", peer, error)

    def _tls(self, client: socket.socket) -> "Handshake | None":
        context = self._web.tls() if self._web else None
        if context is None:
            return None
        from exporter.web.handshake import Handshake

        return Handshake(context, client)

    def _shaken(self, client: socket.socket, task: asyncio.Task[None]) -> None:
        self._handshakes.discard(task)
        self._server.waiting.pop(task, None)
        if client in self._fresh:  # cancelled before its first step: nothing else closes the socket
            self._fresh.discard(client)
            client.close()
        if not task.cancelled() and (error := task.exception()):
            logger.error("a connection could not be set up", exc_info=error)
