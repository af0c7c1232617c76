"""Stall, flood, signal and end the server: real sockets, real processes."""

import concurrent.futures
import contextlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import trustme

from exporter.errors import PlatformError
from exporter.web import connection as connection_module
from exporter.web import server as server_module
from exporter.web.rate_limit import TokenBucket
from exporter.web.routes import build_app
from exporter.web.server import MOST_CONNECTIONS, bind
from tests.exposition.serving import FakeSite, Running, poll, serving
from tests.servers import PATIENCE_SECONDS
from tools.stack.ports import free_port

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """Serve plain HTTP."""
    with serving(build_app(FakeSite())) as running:
        yield running


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    """Return an authority of our own."""
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the path of the authority's certificate."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return str(path)


@pytest.fixture(scope="module")
def running_tls(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Serve HTTPS."""
    folder = tmp_path_factory.mktemp("tls")
    certificate = ca.issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    web_config = folder / "web.yml"
    web_config.write_text("tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n")
    with serving(build_app(FakeSite()), web_config) as running:
        yield running


def half_a_client_hello() -> bytes:
    """Return the first half of what a TLS client sends first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    hello = outgoing.read()
    return hello[: len(hello) // 2]


def is_closed(connection: socket.socket, within_seconds: float = PATIENCE_SECONDS) -> bool:
    """Return whether the server closes a connection in time."""
    connection.settimeout(within_seconds)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        pass
    return True


def ask(connection: socket.socket, path: str = "/-/healthy") -> int:
    """Send a request on a connection that is kept, and return the status once the whole answer is read."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer.status


@pytest.fixture
def no_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clients stall for ten minutes, so that a scrape that waited for one of them would time out."""
    monkeypatch.setattr(server_module, "HANDSHAKE_SECONDS", 600.0)
    monkeypatch.setattr(connection_module, "REQUEST_SECONDS", 600.0)


@pytest.mark.usefixtures("no_deadlines")
@pytest.mark.parametrize("sent", [b"", half_a_client_hello()], ids=["nothing", "half a ClientHello"])
def test_stalled_tls_clients_do_not_stall_others(running_tls: Running, ca_file: str, sent: bytes) -> None:
    """While 50 clients stall in their handshake, a scrape is answered."""
    with contextlib.ExitStack() as stalled:
        for _ in range(50):
            stalled.enter_context(running_tls.connect()).sendall(sent)
        answer = requests.get(running_tls.url("/metrics"), verify=ca_file, timeout=PATIENCE_SECONDS)

        assert answer.status_code == 200


@pytest.mark.usefixtures("no_deadlines")
@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTTP/1.1\r\nHost: "], ids=["nothing", "half a request"])
def test_more_stalled_clients_than_connections_do_not_stall_others(running: Running, sent: bytes) -> None:
    """Where more clients stall than there may be connections, those that stall for longest are closed for a scrape."""
    with contextlib.ExitStack() as stalled:
        for _ in range(MOST_CONNECTIONS + 50):
            stalled.enter_context(running.connect()).sendall(sent)
        answer = requests.get(running.url("/metrics"), timeout=PATIENCE_SECONDS)

        assert answer.status_code == 200
        assert len(running.server.server_state.connections) <= MOST_CONNECTIONS


@pytest.mark.usefixtures("no_deadlines")
def test_more_stalled_tls_clients_than_connections_do_not_stall_others(running_tls: Running, ca_file: str) -> None:
    """The bound on connections counts handshakes too."""
    with contextlib.ExitStack() as stalled:
        for _ in range(MOST_CONNECTIONS + 50):
            stalled.enter_context(running_tls.connect())
        answer = requests.get(running_tls.url("/metrics"), verify=ca_file, timeout=PATIENCE_SECONDS)

        assert answer.status_code == 200


@pytest.mark.parametrize(
    "sent", [b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET"], ids=["nothing", "G", "keep-alive"]
)
def test_client_that_stalls_is_closed(monkeypatch: pytest.MonkeyPatch, running: Running, sent: bytes) -> None:
    """A client that does not send its whole request in time is closed."""
    monkeypatch.setattr(connection_module, "REQUEST_SECONDS", 0.2)
    with running.connect() as connection:
        connection.sendall(sent)

        assert is_closed(connection)


def test_client_that_trickles_is_closed(monkeypatch: pytest.MonkeyPatch, running: Running) -> None:
    """A byte now and then does not extend the time for a request."""
    monkeypatch.setattr(connection_module, "REQUEST_SECONDS", 0.3)
    with running.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")

        def refused() -> bool:
            try:
                connection.sendall(b"a")
            except ConnectionError:
                return True
            return False

        assert poll(refused)


def test_handshake_that_stalls_is_closed(monkeypatch: pytest.MonkeyPatch, running_tls: Running) -> None:
    """A client that does not finish its handshake in time is closed."""
    monkeypatch.setattr(server_module, "HANDSHAKE_SECONDS", 0.2)
    with running_tls.connect() as connection:
        connection.sendall(half_a_client_hello())

        assert is_closed(connection)


def test_client_that_does_not_read_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that asks for much and reads none of it is closed."""
    monkeypatch.setattr(connection_module, "SEND_SECONDS", 0.2)
    with serving(build_app(FakeSite(body=b"x" * 20_000_000))) as running, running.connect() as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")

        assert poll(lambda: bool(running.server.server_state.total_requests))
        assert poll(lambda: not running.server.server_state.connections)


def test_idle_connection_is_kept(monkeypatch: pytest.MonkeyPatch, running: Running) -> None:
    """Between requests the short deadlines do not apply: Prometheus reuses its connection."""
    monkeypatch.setattr(connection_module, "REQUEST_SECONDS", 1.0)
    monkeypatch.setattr(connection_module, "SEND_SECONDS", 0.1)
    with running.connect() as connection:
        connection.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")

        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        assert not is_closed(connection, within_seconds=1.5)


def test_kept_connection_is_fast(running: Running) -> None:
    """Head and body of an answer do not wait for the client's acknowledgement, which may take 40 ms."""
    with requests.Session() as session:
        session.get(running.url("/metrics"), timeout=PATIENCE_SECONDS)
        connections = running.server.server_state.connections
        sockets = [one.transport.get_extra_info("socket") for one in connections]  # type: ignore[union-attr]

        assert [one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in sockets] == [1]


def test_endless_headers_are_refused(running: Running) -> None:
    """Headers beyond the bound get 400 and are not kept in memory."""
    with running.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX-Long: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                connection.sendall(b"a" * 65536)

        assert is_closed(connection)


def test_long_headers_are_told_their_bound(running: Running) -> None:
    """The answer to headers that are too long says so."""
    with running.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 65536)

        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_garbage_gets_400(running: Running) -> None:
    """Anything but HTTP gets 400, and the server goes on."""
    with running.connect() as connection:
        connection.sendall(b"\x16\x03\x01 not http\r\n\r\n")

        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "head",
    [
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n",
        "GET /\r\n",
        "GET / HTTP/0.9\r\nHost: a\r\n",
        "GET / HTTP/2.0\r\nHost: a\r\n",
        "GET / HTTP/3.0\r\nHost: a\r\n",
        "GET / http/1.1\r\nHost: a\r\n",
        "PRI * HTTP/2.0\r\n",
    ],
)
def test_invalid_host_or_version_gets_400(running: Running, head: str) -> None:
    """HTTP/1.1 needs one valid Host, and other versions than 1.x are not spoken; the connection ends."""
    with running.connect() as connection:
        connection.sendall(f"{head}\r\n".encode())

        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
        assert is_closed(connection)


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "without an end"])
def test_long_headers_are_bounded_before_they_are_parsed(running: Running, whole: bool) -> None:
    """Headers beyond the bound get 400 however they arrive."""
    lines = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 1000) for number in range(200))
    with running.connect() as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + (b"\r\n" if whole else b""))

        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")


@pytest.mark.usefixtures("no_deadlines")
def test_kept_scraper_outlives_clients_that_stall(running: Running) -> None:
    """Where too many stall, the connection of a scraper between two scrapes is not the one to be closed."""
    with running.connect() as scraper, contextlib.ExitStack() as stalled:
        first = ask(scraper)
        for _ in range(MOST_CONNECTIONS + 50):
            stalled.enter_context(running.connect()).sendall(b"GET /metrics HTTP/1.1\r\nHost: ")
        assert requests.get(running.url("/-/healthy"), timeout=PATIENCE_SECONDS).status_code == 200

        assert (first, ask(scraper)) == (200, 200)


def test_connection_that_was_refused_is_closed_before_a_scrapers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that idles after a refusal makes room before one that idles after an answer."""
    monkeypatch.setattr(server_module, "MOST_CONNECTIONS", 2)
    with serving(build_app(FakeSite())) as running, running.connect() as scraper, running.connect() as stranger:
        before = ask(scraper), ask(stranger, "/nope")
        with running.connect():
            assert is_closed(stranger)

        assert (before, ask(scraper)) == ((200, 404), 200)


def test_failures_are_logged_with_the_client_and_limited(
    monkeypatch: pytest.MonkeyPatch, running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that sends no HTTP is named in the log; a flood of them writes few lines, and how many it left out."""
    monkeypatch.setattr(connection_module.PeerLog, "left_out", 0)
    monkeypatch.setattr(connection_module.PeerLog, "limit", TokenBucket(1e9, 2))
    for _ in range(5):
        with running.connect() as connection:
            connection.sendall(b"nonsense\r\n\r\n")
            connection.recv(65536)
    monkeypatch.setattr(connection_module.PeerLog, "limit", TokenBucket(1e9, 1))
    with running.connect() as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        connection.recv(65536)
    lines = [record.getMessage() for record in caplog.records if "Invalid HTTP" in record.getMessage()]

    assert lines[:2] == ["127.0.0.1: Invalid HTTP request received."] * 2
    assert lines[2:] == ["127.0.0.1: Invalid HTTP request received. (3 such lines were left out)"]


def test_forwarded_address_is_not_believed(running: Running) -> None:
    """Headers that name another client change nothing."""
    headers = {"X-Forwarded-For": "10.0.0.1", "X-Forwarded-Proto": "https"}

    assert requests.get(running.url(), headers=headers, timeout=60).status_code == 200


def test_port_in_use_names_address_and_setting() -> None:
    """The error of a port in use names the address and what to change."""
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PlatformError) as caught:
            bind("127.0.0.1", port)

    assert str(caught.value) == (
        f"cannot listen on 127.0.0.1:{port}: another process holds port {port}; "
        "stop it, or choose a free port in `listen` in the configuration, or --listen"
    )


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid"])
def test_foreign_address_is_told(host: str) -> None:
    """The error of an address of another machine says so."""
    with pytest.raises(
        PlatformError, match=f"cannot listen on {host}:9847: '{host}' is not an address of this machine"
    ):
        bind(host, 9847)


@pytest.mark.parametrize(("host", "client"), [("", "127.0.0.1"), ("localhost", "127.0.0.1"), ("0.0.0.0", "127.0.0.1")])
def test_host_forms(host: str, client: str) -> None:
    """No host means all addresses; a name with several addresses means IPv4."""
    with (
        bind(host, 0) as listener,
        socket.create_connection((client, listener.getsockname()[1]), timeout=60) as connection,
    ):
        assert connection.getpeername()[0] == client


PROGRAM = """
import logging, sys, time
from exporter.web.rate_limit import TokenBucket
from exporter.web.routes import build_app
from exporter.web.server import serve

class Site:
    def render(self, accept, scrape_timeout_seconds, client):
        print("rendering", flush=True)
        time.sleep(scrape_timeout_seconds or 0)
        return b"rendered", "text/plain"
    def not_ready(self): return []
    def notices(self): return []
    def health(self): return {}
    def reload(self): pass

def on_sighup():
    print("sighup", flush=True)
    raise RuntimeError("bad file")

logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(name)s %(message)s")
serve(build_app(Site()), "127.0.0.1", int(sys.argv[1]), None, on_sighup)
print("returned", flush=True)
"""


@pytest.fixture
def process() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a server as a process of its own; return it and its address."""
    port = free_port()
    program = [sys.executable, "-c", textwrap.dedent(PROGRAM), str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout
        assert "listening on" in child.stdout.readline()
        yield child, f"http://127.0.0.1:{port}"
        child.kill()


@contextlib.contextmanager
def scrape_under_way(
    child: subprocess.Popen[str], url: str, seconds: str
) -> Iterator[concurrent.futures.Future[requests.Response]]:
    """Start a scrape that takes so long, and wait until it is being rendered."""
    headers = {"X-Prometheus-Scrape-Timeout-Seconds": seconds}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        scrape = pool.submit(requests.get, f"{url}/metrics", headers=headers, timeout=60)
        assert child.stdout
        assert child.stdout.readline() == "rendering\n"
        yield scrape


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_lets_a_scrape_finish(process: tuple[subprocess.Popen[str], str], number: signal.Signals) -> None:
    """SIGTERM and SIGINT end the process with 0 once the scrape under way is answered."""
    child, url = process
    with scrape_under_way(child, url, "1") as scrape:
        child.send_signal(number)

        assert scrape.result().content == b"rendered"
    assert child.wait(PATIENCE_SECONDS) == 0
    assert child.stdout
    assert child.stdout.read().endswith("returned\n")


def test_signal_ends_a_scrape_that_hangs(process: tuple[subprocess.Popen[str], str]) -> None:
    """A scrape that hangs for ten minutes does not keep the process: it is cancelled after SHUTDOWN_SECONDS."""
    child, url = process
    with scrape_under_way(child, url, "600") as scrape:
        child.send_signal(signal.SIGTERM)

        assert child.wait(PATIENCE_SECONDS) == 0
        assert child.stdout
        assert "graceful shutdown exceeded" in child.stdout.read()
        with pytest.raises(requests.RequestException):
            scrape.result().raise_for_status()


def test_signal_closes_idle_connections(process: tuple[subprocess.Popen[str], str]) -> None:
    """Connections without a request do not delay the end."""
    child, url = process
    with requests.Session() as session, socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))):
        session.get(f"{url}/-/healthy", timeout=60)
        child.send_signal(signal.SIGTERM)

        assert child.wait(PATIENCE_SECONDS) == 0
        assert child.stdout
        assert "graceful shutdown exceeded" not in child.stdout.read()


def test_sighup_is_survived(process: tuple[subprocess.Popen[str], str]) -> None:
    """SIGHUP calls the callback, whose failure is logged and ends nothing."""
    child, url = process
    child.send_signal(signal.SIGHUP)

    assert child.stdout
    assert child.stdout.readline() == "sighup\n"
    assert "reloading the configuration failed; the old one stays in force" in child.stdout.readline()
    assert requests.get(f"{url}/-/healthy", timeout=60).status_code == 200
