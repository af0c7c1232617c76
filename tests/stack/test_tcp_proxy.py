"""The cable that the fault tests cut."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.servers import PATIENCE_SECONDS, TcpProxy, poll_until

Proxy = Callable[[str, int], TcpProxy]


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """Return the address of a server that says everything back."""

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield listener.getsockname()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(PATIENCE_SECONDS)


def _call(proxy: TcpProxy, timeout_seconds: float = 5) -> socket.socket:
    return socket.create_connection((proxy.host, proxy.port), timeout=timeout_seconds)


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := connection.recv(65536)):
        data += more
    return data


def test_bytes_flow(tcp_proxy: Proxy, echo: tuple[str, int]) -> None:
    """More than any buffer holds, both ways."""
    message = bytes(range(256)) * 20_000
    with _call(tcp_proxy(*echo)) as connection:
        sender = threading.Thread(target=connection.sendall, args=(message,))
        sender.start()
        received = _read(connection, len(message))
        sender.join(PATIENCE_SECONDS)

    assert received == message


def test_a_black_hole_accepts_and_is_silent(tcp_proxy: Proxy, echo: tuple[str, int]) -> None:
    """Old connections and new ones; what was sent arrives when it is over."""
    proxy = tcp_proxy(*echo)
    with _call(proxy, 0.2) as old:
        old.sendall(b"a")
        assert old.recv(1) == b"a"
        proxy.blackhole()
        with _call(proxy, 0.2) as new:
            for connection in (old, new):
                connection.sendall(b"b")
                with pytest.raises(TimeoutError):
                    connection.recv(1)
            proxy.restore()
            for connection in (old, new):
                connection.settimeout(5)
                assert connection.recv(1) == b"b"


def test_a_cut_resets(tcp_proxy: Proxy, echo: tuple[str, int]) -> None:
    """Old connections and new ones, until it is mended."""
    proxy = tcp_proxy(*echo)
    with _call(proxy) as old:
        old.sendall(b"a")
        assert old.recv(1) == b"a"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            old.recv(1)
        with pytest.raises(ConnectionResetError), _call(proxy) as new:
            new.recv(1)

    proxy.restore()
    with _call(proxy) as mended:
        mended.sendall(b"c")
        assert mended.recv(1) == b"c"


def test_it_counts_connections(tcp_proxy: Proxy, echo: tuple[str, int]) -> None:
    """Open ones, and all that ever were."""
    proxy = tcp_proxy(*echo)
    with _call(proxy), _call(proxy):
        poll_until(lambda: proxy.connections == 2)

    poll_until(lambda: proxy.connections == 0)
    assert proxy.accepted == 2


def test_a_closed_one_refuses(tcp_proxy: Proxy, echo: tuple[str, int]) -> None:
    """As a port that no one listens on."""
    proxy = tcp_proxy(*echo)
    proxy.close()

    with pytest.raises(ConnectionRefusedError):
        _call(proxy)


def test_a_dead_target_resets(tcp_proxy: Proxy) -> None:
    """The proxy cannot refuse what it has accepted already."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()

    with pytest.raises(ConnectionResetError), _call(tcp_proxy(*address)) as connection:
        connection.recv(1)
