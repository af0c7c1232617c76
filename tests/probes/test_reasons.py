"""Classification of real failures, as the operating system and the libraries raise them."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import urllib3

from exporter.probes.base import Reason
from exporter.probes.reasons import reason_of
from tests.servers import PATIENCE_SECONDS
from tools.stack.ports import free_port


@contextmanager
def peer(*, answer: bytes | None = None, resets: bool = False) -> Iterator[int]:
    """Run a server for one connection that answers with `answer`, resets, or says nothing; yield its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                if answer is not None:
                    connection.recv(1000)
                    connection.sendall(answer)
                elif resets:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                else:
                    done.wait(PATIENCE_SECONDS)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            done.set()
            thread.join()


def get(url: str, timeout_seconds: float = 20) -> object:
    with urllib3.PoolManager(timeout=urllib3.Timeout(total=timeout_seconds), retries=False) as pool:
        return pool.request("GET", url)


def failure_of(call: Callable[[], object]) -> BaseException:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which exception comes is the question
        call()
    return caught.value


def test_refused() -> None:
    """A port without a listener is refused."""
    assert reason_of(failure_of(lambda: get(f"http://127.0.0.1:{free_port()}/"))) is Reason.REFUSED


def test_no_unix_socket() -> None:
    """A Unix socket that is not there is refused."""
    with socket.socket(socket.AF_UNIX) as client:
        assert reason_of(failure_of(lambda: client.connect("/nowhere/redis.sock"))) is Reason.REFUSED


def test_unreachable() -> None:
    """An address the network has no way to is refused."""
    assert reason_of(OSError(113, "No route to host")) is Reason.REFUSED


def test_timeout() -> None:
    """A peer that says nothing is a timeout."""
    with peer() as port:
        assert reason_of(failure_of(lambda: get(f"http://127.0.0.1:{port}/", 0.2))) is Reason.TIMEOUT


def test_dns() -> None:
    """A name that does not exist is dns."""
    assert reason_of(failure_of(lambda: get("http://nowhere.invalid/"))) is Reason.DNS


def test_tls() -> None:
    """A peer that does not speak TLS is tls."""
    with peer(answer=b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        assert reason_of(failure_of(lambda: get(f"https://127.0.0.1:{port}/"))) is Reason.TLS


def test_reset() -> None:
    """A connection that the peer resets is protocol."""
    with peer(resets=True) as port:
        assert reason_of(failure_of(lambda: get(f"http://127.0.0.1:{port}/"))) is Reason.PROTOCOL


def test_certificate() -> None:
    """A certificate that is not trusted is tls."""
    assert reason_of(ssl.SSLCertVerificationError("self-signed certificate")) is Reason.TLS


def test_unknown() -> None:
    """An exception that says nothing about a connection has no reason."""
    assert reason_of(ValueError("x")) is None
